//! A web site on this machine, for tests that fetch from one.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

/// A site that has an address and does not answer yet.
pub(crate) struct Site {
    /// Its address, without a slash at its end.
    pub(crate) base: String,
    listener: TcpListener,
}

impl Site {
    /// A site at a free port of the loopback interface.
    pub(crate) fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        Self { base, listener }
    }

    /// Answers for as long as the test runs, and says where.
    pub(crate) fn serve(self, page: impl Fn(&str) -> Option<Vec<u8>> + Send + 'static) -> String {
        std::thread::spawn(move || {
            for stream in self.listener.incoming() {
                answer(&stream.unwrap(), &page);
            }
        });
        self.base
    }
}

fn answer(stream: &TcpStream, page: &impl Fn(&str) -> Option<Vec<u8>>) {
    let mut lines = BufReader::new(stream).lines();
    let Some(Ok(request)) = lines.next() else { return };
    // To the end of the head.
    lines.take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty())).for_each(drop);
    let (status, body) = match page(request.split(' ').nth(1).unwrap_or_default()) {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", Vec::new()),
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let mut stream = stream;
    // A client that has seen enough may be gone.
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).ok();
}

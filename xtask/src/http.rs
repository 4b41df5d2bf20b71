//! An HTTP/1.1 client over one plain socket, exact about what went wrong and when.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// Why there was no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A kept connection was closed by the server before a byte of the answer: the server may always do that, and
    /// RFC 9112 (9.3.1) has clients send an idempotent request again on a new connection.
    Stale(String),
    /// Everything else: refused, reset, cut off, timed out, malformed.
    Broken(String),
}

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// The server keeps the connection open.
    pub(crate) kept: bool,
}

/// A connection, possibly used before.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    used: bool,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Result<Self, Failure> {
        let connect = || {
            let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
            stream.set_read_timeout(Some(READ_TIMEOUT))?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let stream =
            connect().map_err(|error: std::io::Error| Failure::Broken(format!("connect: {error}")))?;
        Ok(Self { stream: BufReader::new(stream), used: false })
    }

    /// Sends a GET and reads the whole answer.
    pub(crate) fn get(&mut self, path: &str, keep: bool) -> Result<Answer, Failure> {
        let used = std::mem::replace(&mut self.used, true);
        let early = |what: String| if used { Failure::Stale(what) } else { Failure::Broken(what) };
        let connection = if keep { "keep-alive" } else { "close" };
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\r\n");
        self.stream
            .get_mut()
            .write_all(request.as_bytes())
            .map_err(|error| early(format!("send: {error}")))?;
        match self.stream.fill_buf() {
            Ok([]) => return Err(early("closed without an answer".to_owned())),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                return Err(early(format!("answer: {error}")));
            }
            Err(error) => return Err(Failure::Broken(format!("answer: {error}"))),
        }
        self.answer().map_err(|error| Failure::Broken(format!("answer: {error}")))
    }

    fn answer(&mut self) -> std::io::Result<Answer> {
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status: u16 = status.ok_or_else(|| invalid(format!("status line `{status_line}`")))?;
        let (mut length, mut chunked, mut kept) = (None, false, true);
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| invalid(format!("header `{line}`")))?;
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => {
                    length = Some(value.parse().map_err(|_| invalid(format!("length `{value}`")))?)
                }
                "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
                "connection" => kept = !value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        let body = match (chunked, length) {
            (true, _) => self.chunks()?,
            (false, Some(length)) => self.exactly(length)?,
            (false, None) => return Err(invalid("neither a length nor chunks".to_owned())),
        };
        Ok(Answer { status, body, kept })
    }

    fn chunks(&mut self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
                .map_err(|_| invalid(format!("chunk size `{line}`")))?;
            body.extend(self.exactly(size)?);
            self.line()?;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn exactly(&mut self, length: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

fn invalid(what: String) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Answers one connection with these bytes per request, then closes.
    fn server(answers: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            for answer in answers {
                let mut line = String::new();
                while stream.read_line(&mut line).unwrap() > 2 {
                    line.clear();
                }
                stream.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        });
        address
    }

    #[test]
    fn answers_with_length_and_with_chunks_are_read_on_one_connection() {
        let address = server(&[
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ]);
        let mut connection = Connection::open(address).unwrap_or_else(|_| panic!("connects"));
        let first = connection.get("/", true).unwrap();
        assert_eq!((first.status, first.body.as_slice(), first.kept), (200, b"hi".as_slice(), true));
        let second = connection.get("/", true).unwrap();
        assert_eq!((second.status, second.body.as_slice(), second.kept), (503, b"abc".as_slice(), false));
        assert!(matches!(connection.get("/", true), Err(Failure::Stale(_))), "closed between two requests");
    }

    #[test]
    fn an_answer_that_is_cut_off_is_a_failure_and_so_is_none_on_a_new_connection() {
        let cut = server(&["HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"]);
        assert!(matches!(
            Connection::open(cut).unwrap_or_else(|_| panic!()).get("/", true),
            Err(Failure::Broken(_))
        ));
        let silent = server(&[""]);
        assert!(matches!(
            Connection::open(silent).unwrap_or_else(|_| panic!()).get("/", true),
            Err(Failure::Broken(_))
        ));
    }
}

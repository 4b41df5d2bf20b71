//! Constant HTTP load that counts every request that was not answered well.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

#[derive(Default)]
struct Counters {
    answered: AtomicU64,
    failures: Mutex<Vec<String>>,
    bodies: Mutex<BTreeSet<String>>,
    stop: AtomicBool,
}

pub(crate) struct Load {
    counters: Arc<Counters>,
    tasks: Vec<JoinHandle<()>>,
}

/// What the load saw.
pub(crate) struct Seen {
    pub(crate) answered: u64,
    pub(crate) failures: Vec<String>,
    pub(crate) bodies: BTreeSet<String>,
}

impl Load {
    /// Half of the clients keep their connection as long as they may, the others make a new one for each request.
    pub(crate) fn start(port: u16, clients: usize) -> Self {
        let counters = Arc::new(Counters::default());
        let tasks = (0..clients)
            .map(|number| tokio::spawn(client(port, number % 2 == 0, Arc::clone(&counters))))
            .collect();
        Self { counters, tasks }
    }

    pub(crate) fn answered(&self) -> u64 {
        self.counters.answered.load(Ordering::Relaxed)
    }

    pub(crate) async fn stop(self) -> Seen {
        self.counters.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        let failures = std::mem::take(&mut *self.counters.failures.lock().unwrap());
        let bodies = std::mem::take(&mut *self.counters.bodies.lock().unwrap());
        Seen { answered: self.counters.answered.load(Ordering::Relaxed), failures, bodies }
    }
}

async fn client(port: u16, keep_alive: bool, counters: Arc<Counters>) {
    let mut connection = None;
    while !counters.stop.load(Ordering::Relaxed) {
        match request(&mut connection, port, "/", keep_alive).await {
            Ok(body) => {
                counters.answered.fetch_add(1, Ordering::Relaxed);
                counters.bodies.lock().unwrap().insert(body);
            }
            Err(error) => {
                connection = None;
                let kind = if keep_alive { "keep-alive" } else { "close" };
                counters.failures.lock().unwrap().push(format!("{kind}: {error}"));
                // Do not spin when nobody listens.
                tokio::task::yield_now().await;
            }
        }
    }
}

/// One request on a connection of its own; gives the body.
pub(crate) async fn get(port: u16) -> io::Result<String> {
    request(&mut None, port, "/", false).await
}

/// The same for another path.
pub(crate) async fn get_path(port: u16, path: &str) -> io::Result<String> {
    request(&mut None, port, path, false).await
}

async fn request(
    connection: &mut Option<BufReader<TcpStream>>,
    port: u16,
    path: &str,
    keep_alive: bool,
) -> io::Result<String> {
    let mut stream = match connection.take() {
        Some(stream) => stream,
        None => BufReader::new(TcpStream::connect(("127.0.0.1", port)).await?),
    };
    let header = if keep_alive { "keep-alive" } else { "close" };
    let text = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: {header}\r\n\r\n");
    stream.get_mut().write_all(text.as_bytes()).await?;
    let (mut length, mut close, mut status) = (0, false, String::new());
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the connection ended before the answer did",
            ));
        }
        let line = line.trim_end().to_ascii_lowercase();
        if status.is_empty() {
            status.clone_from(&line);
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        close |= line == "connection: close";
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    if !status.contains(" 200 ") {
        return Err(io::Error::other(status));
    }
    if !close {
        *connection = Some(stream);
    }
    Ok(String::from_utf8(body).unwrap())
}

//! How connections end when an instance is replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use muster_supervisor_protocol::{AppSpec, ApplyOutcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Supervisor, until};
use crate::load::get;

const HTTP2: &str = r"
const server = require('http2').createServer((request, response) => {
  setTimeout(() => response.end(`${require('path').basename(__filename)}`), 2);
});
server.listen(Number(process.env.PORT || 0), '127.0.0.1');
";

/// Requests over HTTP/2, several at a time on each connection; a new connection as soon as the server says goodbye.
/// A stream that was sent and refused is a failure: not every client sends it again.
async fn http2_client(port: u16, stop: Arc<AtomicBool>, answered: Arc<AtomicU64>) -> Vec<String> {
    let mut failures = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let stream = match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(stream) => stream,
            Err(error) => {
                failures.push(format!("connect: {error}"));
                continue;
            }
        };
        let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
        let driver = tokio::spawn(connection);
        'requests: while !stop.load(Ordering::Relaxed) {
            let mut waiting = Vec::new();
            for _ in 0..3 {
                match std::future::poll_fn(|context| sender.poll_ready(context)).await {
                    Ok(()) => {}
                    Err(error) if error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR) => {
                        break 'requests;
                    }
                    Err(error) if error.is_io() => break 'requests,
                    Err(error) => {
                        failures.push(format!("ready: {error}"));
                        break 'requests;
                    }
                };
                let request = http::Request::get(format!("http://127.0.0.1:{port}/")).body(()).unwrap();
                match sender.send_request(request, true) {
                    Ok((response, _)) => waiting.push(response),
                    // Not sent: the server has said goodbye in between.
                    Err(_) => break,
                }
            }
            let sent = waiting.len();
            for response in waiting {
                match response.await {
                    Ok(response) if response.status() == 200 => {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(response) => failures.push(response.status().to_string()),
                    Err(error) => failures.push(format!("stream: {error}")),
                }
            }
            if sent < 3 {
                break;
            }
        }
        drop(sender);
        drop(driver.await);
    }
    failures
}

#[tokio::test]
async fn http2_clients_are_told_to_move_on_and_no_stream_is_refused() {
    let supervisor = Supervisor::start().await;
    let spec = |release: &str| AppSpec { instances: 2, ..supervisor.app("shop", release, HTTP2) };
    supervisor.run(&spec("1")).await;
    let port = supervisor.port("shop").await;
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> =
        (0..6).map(|_| tokio::spawn(http2_client(port, Arc::clone(&stop), Arc::clone(&answered)))).collect();
    for release in ["2", "3", "4", "5"] {
        let before = answered.load(Ordering::Relaxed);
        until("load", async || (answered.load(Ordering::Relaxed) > before + 200).then_some(())).await;
        assert_eq!(supervisor.run(&spec(release)).await, ApplyOutcome::Replaced);
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        assert_eq!(client.await.unwrap(), Vec::<String>::new());
    }
    let killed = supervisor.stderr().contains("SIGKILL");
    assert!(!killed, "every session ended before the deadline\n{}", supervisor.stderr());
}

const WEBSOCKET: &str = r"
const http = require('http');
const crypto = require('crypto');
const server = http.createServer((request, response) => response.end(require('path').basename(__filename)));
server.on('upgrade', (request, socket) => {
  const key = request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
  const accept = crypto.createHash('sha1').update(key).digest('base64');
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
    `Sec-WebSocket-Accept: ${accept}\r\n\r\n`);
  socket.on('data', (data) => socket.write(data));
});
server.listen(Number(process.env.PORT || 0), '127.0.0.1');
";

#[tokio::test]
async fn a_websocket_works_until_shortly_before_the_deadline_and_is_told_that_the_server_goes_away() {
    let supervisor = Supervisor::start().await;
    let spec =
        |release: &str| AppSpec { kill_timeout_ms: 2_000, ..supervisor.app("shop", release, WEBSOCKET) };
    supervisor.run(&spec("1")).await;
    let port = supervisor.port("shop").await;
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert_ne!(socket.read_buf(&mut head).await.unwrap(), 0);
    }
    let second = spec("2");
    let (_, applied) = tokio::join!(
        async {
            until("the new release answers", async || get(port).await.ok().filter(|b| b == "shop-2.js"))
                .await;
            // The old instance drains, and goes on speaking.
            socket.write_all(b"echo").await.unwrap();
            let mut echo = [0; 4];
            socket.read_exact(&mut echo).await.unwrap();
            assert_eq!(&echo, b"echo");
            let mut rest = Vec::new();
            socket.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, [0x88, 0x02, 0x03, 0xe9], "a close frame with status 1001");
        },
        supervisor.run(&second)
    );
    assert_eq!(applied, ApplyOutcome::Replaced);
}

#[tokio::test]
async fn a_long_answer_is_finished_by_the_old_instance() {
    let supervisor = Supervisor::start().await;
    let source = r"
        require('http').createServer((request, response) => {
          if (request.url === '/') return response.end(require('path').basename(__filename));
          response.setHeader('content-length', 20);
          let left = 20;
          const more = setInterval(() => {
            response.write('x');
            left -= 1;
            if (left === 0) { clearInterval(more); response.end(); }
          }, 50);
        }).listen(Number(process.env.PORT || 0), '127.0.0.1');
    ";
    let spec = |release: &str| supervisor.app("shop", release, source);
    supervisor.run(&spec("1")).await;
    let port = supervisor.port("shop").await;
    let second = spec("2");
    let (body, applied) = tokio::join!(crate::load::get_path(port, "/long"), supervisor.run(&second));
    assert_eq!(body.unwrap(), "x".repeat(20));
    assert_eq!(applied, ApplyOutcome::Replaced);
}

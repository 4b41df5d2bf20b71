//! When is a process ready? What has to be asked, and the probes that ask.
//!
//! Instances of a cluster share their port, so a probe of the port would be answered by just any of them. A probe of
//! a worker therefore makes a connection of its own and hands it to exactly that worker, as a cluster primary may.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_supervisor_protocol::{AppSpec, ExecMode, Readiness};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::process::ports::{Acceptor, Accepts};
use crate::process::{Order, ports};

const PAUSE: Duration = Duration::from_millis(50);
const ACCEPTING_PAUSE: Duration = Duration::from_millis(10);
/// The status line of an answer is not longer.
const HEAD_BYTES: usize = 512;

/// What to do at some point of a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Check {
    /// Nothing: something else will tell.
    Wait,
    /// It is ready.
    Ready,
    /// Ask until it answers.
    Probe(Probe),
}

/// A question that is repeated until it is answered well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Probe {
    /// It is still alive after this time.
    Alive { after: Duration },
    /// A connection is accepted.
    Tcp { port: u16, timeout: Duration },
    /// It waits for connections on one of the sockets it was handed, given by inode. Where that cannot be seen it is
    /// enough to be alive after this time.
    Accepting { sockets: Vec<u64>, after: Duration },
    /// A request is answered with a status below 400.
    Http { port: u16, path: String, timeout: Duration },
}

/// What is known of a process that was just started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// Our hook is in it, and tells of servers that are opened without asking us.
    pub(crate) hooked: bool,
    /// Inodes of the sockets it was handed.
    pub(crate) sockets: Vec<u64>,
}

/// Inodes of sockets.
pub(crate) fn inodes(sockets: &[(String, Arc<OwnedFd>)]) -> Vec<u64> {
    sockets
        .iter()
        .filter_map(|(_, socket)| rustix::fs::fstat(&**socket).ok())
        .map(|stat| stat.st_ino)
        .collect()
}

/// For how long a process is looked at that cannot tell by itself that it is ready, when people start it by pm2's commands:
/// scripts start applications by the dozen, one after the other, and pm2 itself does not wait at all.
const ALIVE_UNDER_PM2: Duration = Duration::from_millis(150);

/// What to do as soon as the process is started.
pub(crate) fn when_started(spec: &AppSpec, known: Known) -> Check {
    let usual = Duration::from_millis(spec.min_uptime_ms.min(spec.listen_timeout_ms / 2));
    let after = if spec.pm2.is_some() { usual.min(ALIVE_UNDER_PM2) } else { usual };
    let alive = || Check::Probe(Probe::Alive { after });
    match (&spec.readiness, spec.exec_mode) {
        (Readiness::Started, _) => alive(),
        (Readiness::ReadyMessage, _) => Check::Wait,
        (Readiness::Listening, ExecMode::Fork) if !known.sockets.is_empty() => {
            Check::Probe(Probe::Accepting { sockets: known.sockets, after })
        }
        (Readiness::Listening, ExecMode::Fork) => match spec.port {
            Some(port) => Check::Probe(Probe::Tcp { port, timeout: Duration::from_secs(1) }),
            None => alive(),
        },
        (Readiness::Tcp { .. } | Readiness::Http { .. }, ExecMode::Fork) => {
            probe(spec).map_or(Check::Wait, Check::Probe)
        }
        // A server that is opened without asking us is told by the hook only.
        (Readiness::Listening | Readiness::Tcp { .. } | Readiness::Http { .. }, ExecMode::Cluster)
            if known.hooked =>
        {
            Check::Wait
        }
        (Readiness::Listening, ExecMode::Cluster) => match spec.port {
            Some(port) => Check::Probe(Probe::Tcp { port, timeout: Duration::from_secs(1) }),
            None => Check::Wait,
        },
        (Readiness::Tcp { .. } | Readiness::Http { .. }, ExecMode::Cluster) => {
            probe(spec).map_or(Check::Wait, Check::Probe)
        }
    }
}

/// What to do when a cluster worker listens on a port (`None`: on a unix socket).
pub(crate) fn when_listening(spec: &AppSpec, port: Option<u16>) -> Check {
    let wanted = match &spec.readiness {
        Readiness::Listening => spec.port,
        Readiness::Tcp { port, .. } | Readiness::Http { port, .. } => port.or(spec.port),
        // Whoever listens has got that far.
        Readiness::Started => return Check::Ready,
        Readiness::ReadyMessage => return Check::Wait,
    };
    if wanted.is_some() && wanted != port {
        return Check::Wait;
    }
    match probe(spec) {
        Some(probe @ Probe::Http { .. }) => Check::Probe(probe),
        _ => Check::Ready,
    }
}

fn probe(spec: &AppSpec) -> Option<Probe> {
    match &spec.readiness {
        Readiness::Tcp { port, timeout_ms } => {
            Some(Probe::Tcp { port: port.or(spec.port)?, timeout: Duration::from_millis(*timeout_ms) })
        }
        Readiness::Http { port, path, timeout_ms } => Some(Probe::Http {
            port: port.or(spec.port)?,
            path: path.clone(),
            timeout: Duration::from_millis(*timeout_ms),
        }),
        Readiness::Listening | Readiness::ReadyMessage | Readiness::Started => None,
    }
}

/// How a probe reaches the process.
#[derive(Debug, Clone)]
pub(crate) enum Route {
    /// By the port on loopback, which must belong to this process: a stranger on the port would answer as well. On a
    /// shared port the connection itself must be accepted by this process.
    Port { pid: u32, shared: bool },
    /// By a connection handed to one worker.
    Worker { key: String, orders: mpsc::UnboundedSender<Order> },
}

/// Ends when the process answered well. Its caller has the deadline. What a person should know when it never does is
/// told to `notice`.
pub(crate) async fn until_ready(probe: Probe, route: Route, notice: impl Fn(String)) {
    let (timeout, port) = match &probe {
        Probe::Alive { after } => return tokio::time::sleep(*after).await,
        Probe::Accepting { sockets, after } => return until_accepting(sockets, *after, &route, notice).await,
        Probe::Tcp { port, timeout } | Probe::Http { port, timeout, .. } => (*timeout, *port),
    };
    let mut noticed = None;
    loop {
        let what = match tokio::time::timeout(timeout, attempt(&probe, &route)).await {
            Ok(Ok(())) => return,
            Ok(Err(problem)) => problem,
            Err(_) => format!("port {port} did not answer within {} ms", timeout.as_millis()),
        };
        if noticed.as_ref() != Some(&what) && !what.is_empty() {
            notice(what.clone());
            noticed = Some(what);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn until_accepting(sockets: &[u64], after: Duration, route: &Route, notice: impl Fn(String)) {
    // It is handed sockets when it starts only, and then there is nobody to hand a connection to it.
    let Route::Port { pid, .. } = route else { return };
    let started = Instant::now();
    let mut noticed = false;
    loop {
        let old = started.elapsed() >= after;
        match ports::accepts(*pid, sockets) {
            Accepts::Yes => return,
            Accepts::Perhaps if old => return,
            Accepts::Perhaps => {}
            Accepts::No if old && !noticed => {
                noticed = true;
                notice(
                    "it did not take connections on the sockets it was handed (LISTEN_FDS, from descriptor 3 on)"
                        .to_owned(),
                );
            }
            Accepts::No => {}
        }
        tokio::time::sleep(ACCEPTING_PAUSE).await;
    }
}

/// One attempt. An empty problem is what is to be expected from a process that is still starting.
async fn attempt(probe: &Probe, route: &Route) -> Result<(), String> {
    let (port, path) = match probe {
        Probe::Alive { .. } | Probe::Accepting { .. } => return Ok(()),
        Probe::Tcp { port, .. } => (*port, None),
        Probe::Http { port, path, .. } => (*port, Some(path)),
    };
    let stream = match route {
        Route::Port { pid, shared } => {
            let Some(stream) = connect(port).await else { return Err(String::new()) };
            if !ports::listens(*pid, port) {
                return Err(format!("port {port} is in use by another process"));
            }
            if *shared && !accepted_by(*pid, port, &stream).await {
                return Err(String::new());
            }
            stream
        }
        Route::Worker { key, orders } => {
            let (ours, theirs) =
                connection_pair().await.map_err(|error| format!("it cannot be probed: {error}"))?;
            let order = Order::Connection { key: key.clone(), connection: Arc::new(theirs) };
            orders.send(order).map_err(|_| String::new())?;
            ours
        }
    };
    let Some(path) = path else { return Ok(()) };
    match ask(stream, path).await {
        Some(status) if (200..400).contains(&status) => Ok(()),
        Some(status) => Err(format!("GET {path} on port {port} was answered with status {status}")),
        None => Err(format!("GET {path} on port {port} was not answered with HTTP")),
    }
}

async fn connect(port: u16) -> Option<TcpStream> {
    match TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await {
        Ok(stream) => Some(stream),
        Err(_) => TcpStream::connect(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).await.ok(),
    }
}

/// Whether this process, and not another instance, took the connection. Waits until someone has.
async fn accepted_by(pid: u32, port: u16, stream: &TcpStream) -> bool {
    let Ok(own) = stream.local_addr() else { return false };
    loop {
        match ports::acceptor(pid, port, own.port()) {
            Acceptor::Nobody => tokio::time::sleep(ACCEPTING_PAUSE).await,
            Acceptor::It => return true,
            Acceptor::Another => return false,
        }
    }
}

/// Both ends of a connection over loopback.
async fn connection_pair() -> std::io::Result<(TcpStream, OwnedFd)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let ours = TcpStream::connect(listener.local_addr()?).await?;
    let own_address = ours.local_addr()?;
    loop {
        let (theirs, peer) = listener.accept().await?;
        // Somebody else on the machine may have been quicker.
        if peer == own_address {
            return Ok((ours, OwnedFd::from(theirs.into_std()?)));
        }
    }
}

/// One request; gives the status.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, path: &str) -> Option<u16> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: muster-supervisor\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut head = Vec::with_capacity(HEAD_BYTES);
    while !head.contains(&b'\n') && head.len() < HEAD_BYTES {
        if stream.read_buf(&mut head).await.ok()? == 0 {
            break;
        }
    }
    status(&head)
}

fn status(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r' || *byte == b'\n').next()?).ok()?;
    let mut words = line.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_line_is_read_strictly() {
        assert_eq!(status(b"HTTP/1.1 204 No Content\r\nServer: x\r\n"), Some(204));
        assert_eq!(status(b"HTTP/1.0 500\r\n"), Some(500));
        assert_eq!(status(b"SSH-2.0-OpenSSH\r\n"), None);
        assert_eq!(status(b""), None);
    }

    #[test]
    fn a_worker_is_ready_only_on_the_port_that_is_expected() {
        let mut spec = AppSpec::new("a", "/", "a.js");
        spec.exec_mode = ExecMode::Cluster;
        assert_eq!(when_listening(&spec, Some(9100)), Check::Ready);
        spec.port = Some(3000);
        assert_eq!(when_listening(&spec, Some(9100)), Check::Wait);
        assert_eq!(when_listening(&spec, Some(3000)), Check::Ready);
        spec.readiness = Readiness::Http { port: None, path: "/health".into(), timeout_ms: 5 };
        assert!(matches!(when_listening(&spec, Some(3000)), Check::Probe(Probe::Http { port: 3000, .. })));
        spec.readiness = Readiness::ReadyMessage;
        assert_eq!(when_listening(&spec, Some(3000)), Check::Wait);
    }
}

//! The keeper process: holds what it is given until a supervisor takes it.
//!
//! While a supervisor is connected it is asleep. When none is, it reads the output pipes of the applications, so that
//! none of them ever waits for a full pipe, and hands what it read to the next supervisor.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::wire::{Frame, Inbox, Kind, send};
use super::{PROCESS_NAME, SOCKET_NAME};
use crate::private_socket;
use crate::takeover::STATE_FORMAT;

/// Kept per pipe while no supervisor is there; what is beyond is counted.
const MAX_SPILL_BYTES: usize = 1024 * 1024;
/// How long a supervisor may take to accept what it is sent.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// What nobody alive uses is kept for this long without a supervisor.
const UNUSED_LIMIT: Duration = Duration::from_secs(60);

/// Why the keeper cannot do its work.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}")]
pub struct KeepError {
    what: &'static str,
    #[source]
    source: io::Error,
}

/// Keeps until it is told to leave, or nothing it keeps is used any longer. Standard input is the connection of the
/// supervisor that started it.
pub fn keep(state_dir: &Path) -> Result<(), KeepError> {
    let failed = |what| move |source| KeepError { what, source };
    // Whatever ends the group or the terminal of the supervisor shall not end this process.
    if let Err(error) = rustix::process::setsid() {
        tracing::debug!(%error, "no session of its own");
    }
    let name = std::ffi::CString::new(PROCESS_NAME).unwrap_or_default();
    if let Err(error) = rustix::thread::set_name(&name) {
        tracing::debug!(%error, "no name of its own");
    }
    let terminated = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&terminated)).map_err(failed("listen for signals"))?;
    }
    let first = io::stdin().as_fd().try_clone_to_owned().map_err(failed("use standard input"))?;
    let nothing = File::open("/dev/null").map_err(failed("open /dev/null"))?;
    rustix::stdio::dup2_stdin(&nothing).map_err(|errno| failed("replace standard input")(errno.into()))?;
    let listener = private_socket::bind(&state_dir.join(SOCKET_NAME)).map_err(failed("open its socket"))?;
    listener.set_nonblocking(true).map_err(failed("open its socket"))?;
    let mut kept = Kept { descriptors: BTreeMap::new(), texts: BTreeMap::new() };
    let mut supervisor = kept.greet(UnixStream::from(first));
    let mut unused_since = None;
    loop {
        let timeout = supervisor.is_none().then_some(Timespec { tv_sec: 1, tv_nsec: 0 });
        let ready = wait(&listener, supervisor.as_ref(), &kept, timeout.as_ref()).map_err(failed("poll"))?;
        // With a supervisor there, it is the one to decide.
        if terminated.swap(false, Ordering::Relaxed) && supervisor.is_none() {
            return Ok(());
        }
        if ready.listener
            && let Ok((stream, _)) = listener.accept()
        {
            // Only who holds the lock of the state directory connects, so the one before is gone.
            supervisor = kept.greet(stream);
            continue;
        }
        if ready.supervisor
            && let Some((stream, inbox)) = &mut supervisor
        {
            match kept.serve(stream, inbox) {
                Served::Open => {}
                Served::Closed => supervisor = None,
                Served::Leave => return Ok(()),
            }
        }
        for key in ready.pipes {
            kept.spill(&key);
        }
        if supervisor.is_some() || kept.used() {
            unused_since = None;
        } else if unused_since.get_or_insert_with(Instant::now).elapsed() > UNUSED_LIMIT {
            tracing::warn!("no supervisor came for a minute and no application is left: the keeper ends");
            return Ok(());
        }
    }
}

struct Ready {
    listener: bool,
    supervisor: bool,
    pipes: Vec<String>,
}

fn wait(
    listener: &UnixListener,
    supervisor: Option<&(UnixStream, Inbox)>,
    kept: &Kept,
    timeout: Option<&Timespec>,
) -> io::Result<Ready> {
    let mut polled = vec![PollFd::new(listener, PollFlags::IN)];
    let mut keys = Vec::new();
    match supervisor {
        Some((stream, _)) => polled.push(PollFd::new(stream, PollFlags::IN)),
        None => {
            for (key, held) in kept.descriptors.iter().filter(|(key, held)| is_pipe(key) && !held.ended) {
                polled.push(PollFd::new(&held.descriptor, PollFlags::IN));
                keys.push(key.clone());
            }
        }
    }
    match poll(&mut polled, timeout) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => {
            return Ok(Ready { listener: false, supervisor: false, pipes: vec![] });
        }
        Err(error) => return Err(error.into()),
    }
    let mut events = polled.iter().map(|polled| !polled.revents().is_empty());
    let listener = events.next().unwrap_or(false);
    let supervisor = supervisor.is_some() && events.next().unwrap_or(false);
    let pipes = keys.into_iter().zip(events).filter_map(|(key, ready)| ready.then_some(key)).collect();
    Ok(Ready { listener, supervisor, pipes })
}

/// Output of applications; the other descriptors are only held.
fn is_pipe(key: &str) -> bool {
    key.ends_with("/out") || key.ends_with("/err")
}

struct Held {
    descriptor: OwnedFd,
    spill: Vec<u8>,
    /// Bytes that were read and not kept.
    missing: u64,
    ended: bool,
}

struct Kept {
    descriptors: BTreeMap<String, Held>,
    texts: BTreeMap<String, Vec<u8>>,
}

enum Served {
    Open,
    Closed,
    Leave,
}

impl Kept {
    /// Gives a new supervisor everything there is.
    fn greet(&mut self, stream: UnixStream) -> Option<(UnixStream, Inbox)> {
        match self.tell_all(&stream) {
            Ok(()) => Some((stream, Inbox::default())),
            Err(error) => {
                tracing::warn!(%error, "a supervisor came and went");
                None
            }
        }
    }

    fn tell_all(&mut self, stream: &UnixStream) -> io::Result<()> {
        let peer = rustix::net::sockopt::socket_peercred(stream)?.uid;
        if peer != rustix::process::geteuid() && !peer.is_root() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to another user"));
        }
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(WRITE_LIMIT))?;
        send(stream, Kind::Hello, env!("CARGO_PKG_VERSION"), &STATE_FORMAT.to_be_bytes(), None)?;
        for (key, text) in &self.texts {
            send(stream, Kind::Text, key, text, None)?;
        }
        for (key, held) in &self.descriptors {
            send(stream, Kind::Descriptor, key, b"", Some(held.descriptor.as_fd()))?;
            if !held.spill.is_empty() {
                let body = [&held.missing.to_be_bytes(), held.spill.as_slice()].concat();
                send(stream, Kind::Spill, key, &body, None)?;
            }
        }
        send(stream, Kind::End, "", b"", None)?;
        for held in self.descriptors.values_mut() {
            held.spill = Vec::new();
            held.missing = 0;
        }
        Ok(())
    }

    fn serve(&mut self, stream: &UnixStream, inbox: &mut Inbox) -> Served {
        match inbox.receive(stream) {
            Ok(true) => {}
            Ok(false) | Err(_) => return Served::Closed,
        }
        loop {
            match inbox.next() {
                Ok(None) => return Served::Open,
                Ok(Some(frame)) => match self.obey(stream, frame) {
                    Ok(true) => {}
                    Ok(false) => return Served::Leave,
                    Err(_) => return Served::Closed,
                },
                Err(error) => {
                    tracing::error!(%error, "the supervisor is not understood");
                    return Served::Closed;
                }
            }
        }
    }

    /// False: leave.
    fn obey(&mut self, stream: &UnixStream, frame: Frame) -> io::Result<bool> {
        match frame.kind {
            Kind::Descriptor => {
                if let Some(descriptor) = frame.descriptor {
                    let held = Held { descriptor, spill: Vec::new(), missing: 0, ended: false };
                    self.descriptors.insert(frame.key, held);
                }
            }
            Kind::Text => {
                self.texts.insert(frame.key, frame.body);
            }
            Kind::Forget => {
                self.descriptors.remove(&frame.key);
                self.texts.remove(&frame.key);
            }
            Kind::Sync => send(stream, Kind::Sync, "", b"", None)?,
            Kind::Leave => return Ok(false),
            Kind::Hello | Kind::Spill | Kind::End => {}
        }
        Ok(true)
    }

    fn spill(&mut self, key: &str) {
        let Some(held) = self.descriptors.get_mut(key) else { return };
        let Ok(pipe) = held.descriptor.try_clone() else { return };
        let mut chunk = [0; 16 * 1024];
        // The supervisor made it non-blocking.
        match File::from(pipe).read(&mut chunk) {
            Ok(0) => held.ended = true,
            Ok(count) => {
                let room = MAX_SPILL_BYTES.saturating_sub(held.spill.len()).min(count);
                held.spill.extend_from_slice(&chunk[..room]);
                held.missing += (count - room) as u64;
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => held.ended = true,
        }
    }

    /// Whether a process is left whose output is kept.
    fn used(&self) -> bool {
        self.descriptors.iter().any(|(key, held)| is_pipe(key) && !held.ended)
    }
}

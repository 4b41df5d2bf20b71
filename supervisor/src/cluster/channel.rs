//! The IPC channel to one worker: newline-delimited JSON over a stream socket, with descriptors attached to lines.

pub(crate) mod rest;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde_json::Value;
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::protocol::{self, Incoming};

/// Longer lines of a worker are skipped; only an application's own messages can be that long.
const MAX_LINE_BYTES: usize = 1024 * 1024;
/// A worker that sends a longer one is cut off: nobody could read that, and we are kept busy with it.
const MAX_SKIPPED_BYTES: usize = 32 * 1024 * 1024;
/// Messages of Node's cluster module are short (the longest carry a path, or the ticket keys of a TLS server); what
/// they say is kept.
const MAX_INTERNAL_BYTES: usize = 64 * 1024;
/// A worker that does not read its channel is not read from either, so our memory stays bounded: in messages and in
/// bytes, each way.
const MAX_QUEUED: usize = 256;
const MAX_QUEUED_BYTES: usize = 2 * 1024 * 1024;
/// How often a handle the worker reports as lost is sent again; Node itself gives up after three.
const MAX_RESENDS: u32 = 3;
const READ_CHUNK_BYTES: usize = 8 * 1024;

/// The supervisor's end.
#[derive(Debug)]
pub(crate) struct Channel {
    stream: UnixStream,
    partial: Vec<u8>,
    /// How much of a line that is too long was passed over so far.
    skipping: Option<usize>,
    /// Whole lines that were read and not looked at yet.
    received: VecDeque<Vec<u8>>,
    received_bytes: usize,
    queue: VecDeque<Outgoing>,
    queued_bytes: usize,
    gauge: ChannelGauge,
    /// Why the worker is not listened to any longer; told once.
    cut_off: Option<String>,
    /// The handle on its way; the next one waits for its acknowledgement.
    unacknowledged: Option<(Outgoing, u32)>,
    closed: bool,
}

/// How many bytes wait for a worker to read them.
#[derive(Debug, Clone, Default)]
pub(crate) struct ChannelGauge(Arc<AtomicUsize>);

impl ChannelGauge {
    /// Whether there is room for a message from outside.
    pub(crate) fn has_room(&self) -> bool {
        self.0.load(Ordering::Relaxed) < MAX_QUEUED_BYTES
    }
}

#[derive(Debug, Clone)]
struct Outgoing {
    bytes: Arc<[u8]>,
    sent: usize,
    handle: Option<Arc<OwnedFd>>,
    /// Key of the listening socket the handle is, when it is one.
    socket: Option<String>,
}

impl std::os::fd::AsFd for Channel {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Channel {
    /// Makes a channel and the end the worker inherits.
    pub(crate) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        Ok((Self::over(ours)?, theirs))
    }

    /// Our end of a channel with nothing under way.
    pub(crate) fn over(ours: OwnedFd) -> io::Result<Self> {
        let ours = std::os::unix::net::UnixStream::from(ours);
        ours.set_nonblocking(true)?;
        Ok(Self {
            stream: UnixStream::from_std(ours)?,
            partial: Vec::new(),
            skipping: None,
            received: VecDeque::new(),
            received_bytes: 0,
            queue: VecDeque::new(),
            queued_bytes: 0,
            gauge: ChannelGauge::default(),
            cut_off: None,
            unacknowledged: None,
            closed: false,
        })
    }

    pub(crate) fn gauge(&self) -> ChannelGauge {
        self.gauge.clone()
    }

    /// Queues a message.
    pub(crate) fn send(&mut self, message: &Value) {
        self.push(message, None, None);
    }

    /// Queues a message that carries a descriptor: the listening socket of a key, or a connection.
    pub(crate) fn send_with(&mut self, message: &Value, handle: Arc<OwnedFd>, socket: Option<String>) {
        self.push(message, Some(handle), socket);
    }

    fn push(&mut self, message: &Value, handle: Option<Arc<OwnedFd>>, socket: Option<String>) {
        if self.closed {
            return;
        }
        let mut line = message.to_string().into_bytes();
        line.push(b'\n');
        self.queued_bytes += line.len();
        self.queue.push_back(Outgoing { bytes: line.into(), sent: 0, handle, socket });
        self.flush();
    }

    /// The next message of the worker; `None` once when the channel has closed. Also writes what is queued.
    /// Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Incoming> {
        loop {
            if let Some(line) = self.received.pop_front() {
                self.received_bytes -= line.len();
                match self.understand(&line) {
                    Incoming::HandleAck => {
                        self.unacknowledged = None;
                        self.flush();
                    }
                    Incoming::HandleNack => self.resend(),
                    Incoming::Handle => self.send(&protocol::handle_ack()),
                    other => return Some(other),
                }
                continue;
            }
            if let Some(reason) = self.cut_off.take() {
                self.close();
                return Some(Incoming::Nonsense { reason });
            }
            if self.closed {
                return None;
            }
            let reading = self.queue.len() < MAX_QUEUED && self.queued_bytes < MAX_QUEUED_BYTES;
            let interest = match (reading, self.writable_next()) {
                (_, false) => Interest::READABLE,
                (true, true) => Interest::READABLE | Interest::WRITABLE,
                (false, true) => Interest::WRITABLE,
            };
            match self.stream.ready(interest).await {
                Ok(ready) => {
                    if ready.is_writable() {
                        self.flush();
                    }
                    if ready.is_readable() || ready.is_read_closed() {
                        self.fill();
                    }
                }
                Err(_) => self.closed = true,
            }
        }
    }

    /// What a line says. Nonsense ends the channel: whoever writes it is broken, or an enemy.
    fn understand(&mut self, line: &[u8]) -> Incoming {
        let reason = match protocol::parse(line) {
            Some(incoming) if incoming.kept() && line.len() > MAX_INTERNAL_BYTES => {
                format!("it sent a message of {} bytes in the name of Node.js on its IPC channel", line.len())
            }
            Some(incoming) => return incoming,
            None if line.iter().all(u8::is_ascii_whitespace) => return Incoming::Other,
            None => "it sent something that is no JSON on its IPC channel".to_owned(),
        };
        self.received.clear();
        self.received_bytes = 0;
        self.close();
        Incoming::Nonsense { reason }
    }

    fn writable_next(&self) -> bool {
        match self.queue.front() {
            Some(outgoing) => outgoing.handle.is_none() || outgoing.sent > 0 || self.unacknowledged.is_none(),
            None => false,
        }
    }

    fn flush(&mut self) {
        self.write_queued();
        self.measure();
    }

    fn measure(&self) {
        self.gauge.0.store(self.queued_bytes, Ordering::Relaxed);
    }

    fn write_queued(&mut self) {
        while !self.closed && self.writable_next() {
            let Some(outgoing) = self.queue.front_mut() else { return };
            let rest = &outgoing.bytes[outgoing.sent..];
            // The descriptor travels with the first byte of its line, once.
            let handle = outgoing.handle.as_ref().filter(|_| outgoing.sent == 0);
            let stream = &self.stream;
            match stream.try_io(Interest::WRITABLE, || send_bytes(stream, rest, handle)) {
                Ok(sent) => outgoing.sent += sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.close();
                    return;
                }
            }
            if outgoing.sent == outgoing.bytes.len()
                && let Some(done) = self.queue.pop_front()
            {
                self.queued_bytes -= done.bytes.len();
                if done.handle.is_some() {
                    let resends = 0;
                    self.unacknowledged = Some((Outgoing { sent: 0, ..done }, resends));
                }
            }
        }
    }

    fn resend(&mut self) {
        if let Some((outgoing, resends)) = self.unacknowledged.take()
            && outgoing.handle.is_some()
            && resends < MAX_RESENDS
        {
            // It goes first and is marked as sent again by hand, because flush starts counting at zero.
            self.queued_bytes += outgoing.bytes.len();
            self.queue.push_front(outgoing.clone());
            self.flush();
            if self.unacknowledged.is_some() {
                self.unacknowledged = Some((outgoing, resends + 1));
            }
        } else {
            self.flush();
        }
    }

    fn fill(&mut self) {
        loop {
            self.partial.reserve(READ_CHUNK_BYTES);
            let from = self.partial.len();
            match self.stream.try_read_buf(&mut self.partial) {
                Ok(0) => {
                    self.close();
                    return;
                }
                Ok(_) => self.split(from),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.close();
                    return;
                }
            }
            let full = self.received.len() >= MAX_QUEUED || self.received_bytes >= MAX_QUEUED_BYTES;
            if full || self.queue.len() >= MAX_QUEUED || self.cut_off.is_some() {
                break;
            }
        }
        if self.partial.is_empty() {
            self.partial.shrink_to(0);
        }
    }

    fn split(&mut self, from: usize) {
        let mut start = 0;
        let mut search = from;
        while let Some(offset) = self.partial[search..].iter().position(|byte| *byte == b'\n') {
            let end = search + offset;
            if self.skipping.take().is_none() {
                self.received_bytes += end - start;
                self.received.push_back(self.partial[start..end].to_vec());
            }
            start = end + 1;
            search = start;
        }
        self.partial.drain(..start);
        if self.skipping.is_some() || self.partial.len() > MAX_LINE_BYTES {
            let skipped = self.skipping.unwrap_or(0) + self.partial.len();
            self.skipping = Some(skipped);
            self.partial = Vec::new();
            if skipped > MAX_SKIPPED_BYTES {
                let limit = MAX_SKIPPED_BYTES / (1024 * 1024);
                self.cut_off = Some(format!("it sent a message of more than {limit} MiB on its IPC channel"));
            }
        }
    }

    fn close(&mut self) {
        self.closed = true;
        self.queue.clear();
        self.queued_bytes = 0;
        self.unacknowledged = None;
    }
}

fn send_bytes(stream: &UnixStream, bytes: &[u8], handle: Option<&Arc<OwnedFd>>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = handle.map(|fd| [fd.as_fd()]);
    if let Some(fds) = &fds {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    let sent = rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};

    use super::*;

    #[tokio::test]
    async fn the_second_handle_waits_for_the_first_acknowledgement() {
        let (mut channel, theirs) = Channel::pair().unwrap();
        let worker = std::os::unix::net::UnixStream::from(theirs);
        let handle = Arc::new(OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
        channel.stream.writable().await.unwrap();
        channel.send_with(&serde_json::json!({"n": 1}), Arc::clone(&handle), None);
        channel.send_with(&serde_json::json!({"n": 2}), handle, None);
        assert_eq!(channel.queue.len(), 1, "the second one is held back");
        let mut lines = BufReader::new(worker.try_clone().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert_eq!(line, "{\"n\":1}\n");
        (&worker).write_all(b"{\"cmd\":\"NODE_HANDLE_ACK\"}\n\"ready\"\n").unwrap();
        assert_eq!(channel.next().await, Some(Incoming::Ready));
        assert!(channel.queue.is_empty(), "the second one went out");
    }

    #[tokio::test]
    async fn an_endless_message_is_skipped_and_the_next_one_is_read() {
        let (mut channel, theirs) = Channel::pair().unwrap();
        let worker = std::os::unix::net::UnixStream::from(theirs);
        let writer = std::thread::spawn(move || {
            let mut worker = worker;
            worker.write_all(&vec![b'x'; 3 * MAX_LINE_BYTES]).unwrap();
            worker.write_all(b"\n\"ready\"\n").unwrap();
        });
        assert_eq!(channel.next().await, Some(Incoming::Ready));
        assert!(channel.partial.len() <= MAX_LINE_BYTES);
        writer.join().unwrap();
        assert_eq!(channel.next().await, None, "the worker hung up");
    }

    #[tokio::test]
    async fn a_worker_that_sends_nonsense_is_cut_off() {
        let endless = |worker: &mut std::os::unix::net::UnixStream| {
            let chunk = vec![b'x'; MAX_LINE_BYTES];
            // Ends with an error as soon as nobody reads any longer.
            while worker.write_all(&chunk).is_ok() {}
        };
        let garbage = |worker: &mut std::os::unix::net::UnixStream| {
            worker.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        };
        let liar = |worker: &mut std::os::unix::net::UnixStream| {
            let act = "x".repeat(2 * MAX_INTERNAL_BYTES);
            let line = serde_json::json!({"cmd": "NODE_CLUSTER", "act": "close", "key": act});
            worker.write_all(format!("{line}\n").as_bytes()).unwrap();
        };
        type Write = fn(&mut std::os::unix::net::UnixStream);
        let all: [(Write, &str); 3] =
            [(endless, "more than 32 MiB"), (garbage, "no JSON"), (liar, "in the name of Node.js")];
        for (send, why) in all {
            let (mut channel, theirs) = Channel::pair().unwrap();
            let mut worker = std::os::unix::net::UnixStream::from(theirs);
            let writer = std::thread::spawn(move || send(&mut worker));
            let Some(Incoming::Nonsense { reason }) = channel.next().await else { panic!("{why}") };
            assert!(reason.contains(why), "{reason}");
            assert!(channel.partial.capacity() <= 2 * MAX_LINE_BYTES);
            assert_eq!(channel.next().await, None, "it is not heard any longer");
            drop(channel);
            writer.join().unwrap();
        }
    }

    #[tokio::test]
    async fn a_flood_waits_in_the_socket_and_not_with_us() {
        let (mut channel, theirs) = Channel::pair().unwrap();
        let mut worker = std::os::unix::net::UnixStream::from(theirs);
        let writer = std::thread::spawn(move || {
            let line = format!("\"{}\"\n", "x".repeat(MAX_LINE_BYTES - 100));
            for _ in 0..64 {
                worker.write_all(line.as_bytes()).unwrap();
            }
        });
        for _ in 0..64 {
            assert_eq!(channel.next().await, Some(Incoming::Other));
            assert!(channel.received_bytes <= MAX_QUEUED_BYTES + MAX_LINE_BYTES);
        }
        writer.join().unwrap();
    }
}

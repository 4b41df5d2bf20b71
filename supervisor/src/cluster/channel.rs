//! The IPC channel to one worker: newline-delimited JSON over a stream socket, with descriptors attached to lines.

pub(crate) mod rest;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde_json::Value;
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::protocol::{self, Incoming};

/// Longer lines of a worker are skipped; only an application's own messages can be that long.
const MAX_LINE_BYTES: usize = 1024 * 1024;
/// A worker that does not read its channel is not read from either, so our memory stays bounded.
const MAX_QUEUED: usize = 256;
/// How often a handle the worker reports as lost is sent again; Node itself gives up after three.
const MAX_RESENDS: u32 = 3;
const READ_CHUNK_BYTES: usize = 8 * 1024;

/// The supervisor's end.
#[derive(Debug)]
pub(crate) struct Channel {
    stream: UnixStream,
    partial: Vec<u8>,
    skipping: bool,
    /// Whole lines that were read and not looked at yet.
    received: VecDeque<Vec<u8>>,
    queue: VecDeque<Outgoing>,
    /// The handle on its way; the next one waits for its acknowledgement.
    unacknowledged: Option<(Outgoing, u32)>,
    closed: bool,
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
            skipping: false,
            received: VecDeque::new(),
            queue: VecDeque::new(),
            unacknowledged: None,
            closed: false,
        })
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
        self.queue.push_back(Outgoing { bytes: line.into(), sent: 0, handle, socket });
        self.flush();
    }

    /// The next message of the worker; `None` once when the channel has closed. Also writes what is queued.
    /// Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Incoming> {
        loop {
            if let Some(line) = self.received.pop_front() {
                let Some(incoming) = protocol::parse(&line) else { continue };
                match incoming {
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
            if self.closed {
                return None;
            }
            let reading = self.queue.len() < MAX_QUEUED;
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

    fn writable_next(&self) -> bool {
        match self.queue.front() {
            Some(outgoing) => outgoing.handle.is_none() || outgoing.sent > 0 || self.unacknowledged.is_none(),
            None => false,
        }
    }

    fn flush(&mut self) {
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
                && done.handle.is_some()
            {
                let resends = 0;
                self.unacknowledged = Some((Outgoing { sent: 0, ..done }, resends));
            }
        }
    }

    fn resend(&mut self) {
        if let Some((outgoing, resends)) = self.unacknowledged.take()
            && outgoing.handle.is_some()
            && resends < MAX_RESENDS
        {
            // It goes first and is marked as sent again by hand, because flush starts counting at zero.
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
            if self.queue.len() >= MAX_QUEUED || self.received.len() >= MAX_QUEUED {
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
            if self.skipping {
                self.skipping = false;
            } else {
                self.received.push_back(self.partial[start..end].to_vec());
            }
            start = end + 1;
            search = start;
        }
        self.partial.drain(..start);
        if self.skipping || self.partial.len() > MAX_LINE_BYTES {
            self.skipping = true;
            self.partial.clear();
        }
    }

    fn close(&mut self) {
        self.closed = true;
        self.queue.clear();
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
}

//! Frames between supervisor and keeper: length, kind, key and body, with at most one descriptor per frame.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

/// Far above what all applications of a machine need; more is a peer gone mad.
const MAX_FRAME_BYTES: usize = 256 * 1024 * 1024;
const HEAD_BYTES: usize = 7;
const CHUNK_BYTES: usize = 64 * 1024;

/// What a frame means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// First frame of the keeper; the key is its version, the body the format it speaks.
    Hello,
    /// Keep this descriptor.
    Descriptor,
    /// Keep this text.
    Text,
    /// Forget the descriptor or text of this key.
    Forget,
    /// Answer with the same once everything before is done.
    Sync,
    /// Nothing has to be kept any longer: end.
    Leave,
    /// What was read from the pipe of this key while no supervisor was there.
    Spill,
    /// That was everything.
    End,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Hello,
        Self::Descriptor,
        Self::Text,
        Self::Forget,
        Self::Sync,
        Self::Leave,
        Self::Spill,
        Self::End,
    ];

    fn number(self) -> u8 {
        Self::ALL
            .iter()
            .position(|kind| *kind == self)
            .and_then(|at| u8::try_from(at).ok())
            .unwrap_or(u8::MAX)
    }
}

/// One message.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) key: String,
    pub(super) body: Vec<u8>,
    pub(super) descriptor: Option<OwnedFd>,
}

/// Sends one frame and waits until all of it is on its way (as long as the write timeout of the stream allows).
pub(super) fn send(
    stream: &UnixStream,
    kind: Kind,
    key: &str,
    body: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let too_long = |_| io::Error::new(io::ErrorKind::InvalidInput, "a frame is too long");
    let length = u32::try_from(HEAD_BYTES - 4 + key.len() + body.len()).map_err(too_long)?;
    let key_length = u16::try_from(key.len()).map_err(too_long)?;
    let mut bytes = Vec::with_capacity(HEAD_BYTES + key.len() + body.len());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.push(kind.number());
    bytes.extend_from_slice(&key_length.to_be_bytes());
    bytes.extend_from_slice(key.as_bytes());
    bytes.extend_from_slice(body);
    let mut sent = 0;
    while sent < bytes.len() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = descriptor.map(|descriptor| [descriptor]);
        // It travels with the first byte, once.
        if let (Some(descriptors), 0) = (&descriptors, sent) {
            control.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        match rustix::net::sendmsg(stream, &[IoSlice::new(&bytes[sent..])], &mut control, SendFlags::NOSIGNAL)
        {
            Ok(count) => sent += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Puts frames together again.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    /// In the order of the frames they came with.
    descriptors: VecDeque<OwnedFd>,
}

impl Inbox {
    /// Reads what is there (waits when there is nothing). False at the end of the stream.
    pub(super) fn receive(&mut self, stream: &UnixStream) -> io::Result<bool> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let from = self.bytes.len();
        self.bytes.resize(from + CHUNK_BYTES, 0);
        let mut target = [IoSliceMut::new(&mut self.bytes[from..])];
        let received = loop {
            match rustix::net::recvmsg(stream, &mut target, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other,
            }
        };
        let count = received.as_ref().map_or(0, |message| message.bytes);
        self.bytes.truncate(from + count);
        received?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        Ok(count > 0)
    }

    /// The next whole frame, if there is one.
    pub(super) fn next(&mut self) -> io::Result<Option<Frame>> {
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let Some(head) = self.bytes.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let [a, b, c, d, kind, key_high, key_low] = *head;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).map_err(|_| invalid("length"))?;
        let key_length = usize::from(u16::from_be_bytes([key_high, key_low]));
        if length > MAX_FRAME_BYTES || HEAD_BYTES - 4 + key_length > length {
            return Err(invalid("a frame has an impossible length"));
        }
        let end = length + 4;
        if self.bytes.len() < end {
            return Ok(None);
        }
        let kind =
            *Kind::ALL.get(usize::from(kind)).ok_or_else(|| invalid("a frame is of an unknown kind"))?;
        let key = std::str::from_utf8(&self.bytes[HEAD_BYTES..HEAD_BYTES + key_length])
            .map_err(|_| invalid("a key is no text"))?
            .to_owned();
        let body = self.bytes[HEAD_BYTES + key_length..end].to_vec();
        self.bytes.drain(..end);
        let descriptor = match kind {
            Kind::Descriptor => {
                Some(self.descriptors.pop_front().ok_or_else(|| invalid("a descriptor is missing"))?)
            }
            _ => None,
        };
        Ok(Some(Frame { kind, key, body, descriptor }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn frames_and_descriptors_arrive_in_pairs_whatever_the_chunks() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let files: Vec<std::fs::File> = (0..3)
            .map(|number| {
                let mut file = tempfile::tempfile().unwrap();
                write!(file, "{number}").unwrap();
                file
            })
            .collect();
        let sender = std::thread::spawn(move || {
            for (number, file) in files.iter().enumerate() {
                send(&ours, Kind::Text, "large", &vec![b'x'; 300_000], None).unwrap();
                send(&ours, Kind::Descriptor, &format!("file/{number}"), b"", Some(file.as_fd())).unwrap();
            }
        });
        let mut inbox = Inbox::default();
        let mut seen = vec![];
        while inbox.receive(&theirs).unwrap() {
            while let Some(frame) = inbox.next().unwrap() {
                match frame.kind {
                    Kind::Text => assert_eq!(frame.body.len(), 300_000),
                    _ => {
                        let mut file = std::fs::File::from(frame.descriptor.unwrap());
                        let mut text = String::new();
                        file.rewind().unwrap();
                        file.read_to_string(&mut text).unwrap();
                        seen.push((frame.key, text));
                    }
                }
            }
        }
        sender.join().unwrap();
        let expected = ["0", "1", "2"].map(|n| (format!("file/{n}"), n.to_owned()));
        assert_eq!(seen, expected);
    }

    #[test]
    fn nonsense_is_an_error_not_a_panic() {
        for bytes in [&[0, 0, 0, 1, 0, 0, 0][..], &[0xff; 7], &[0, 0, 0, 3, 99, 0, 0], &[0, 0, 0, 3, 1, 0, 0]]
        {
            let mut inbox = Inbox { bytes: bytes.to_vec(), ..Inbox::default() };
            inbox.next().unwrap_err();
        }
        let mut inbox = Inbox { bytes: vec![0, 0, 0], ..Inbox::default() };
        assert!(inbox.next().unwrap().is_none());
    }
}

//! What is under way on a channel when the supervisor replaces itself.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Channel, Outgoing};

/// Everything between two supervisors that is not in the kernel's buffers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ChannelRest {
    /// Read, not understood yet: whole lines and the beginning of one.
    read: Vec<u8>,
    /// The line that is being read is too long and will be skipped.
    skipping: bool,
    queue: Vec<OutgoingRest>,
    /// The handle on its way, and how often it was sent again.
    unacknowledged: Option<(OutgoingRest, u32)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct OutgoingRest {
    bytes: Vec<u8>,
    sent: usize,
    carries_handle: bool,
    socket: Option<String>,
}

impl Channel {
    /// Ends reading and writing on our side and gives what is under way. The channel itself stays open.
    pub(crate) fn into_rest(self) -> ChannelRest {
        let mut read = Vec::new();
        for line in &self.received {
            read.extend_from_slice(line);
            read.push(b'\n');
        }
        read.extend_from_slice(&self.partial);
        ChannelRest {
            read,
            skipping: self.skipping.is_some(),
            queue: self.queue.iter().filter(|outgoing| outgoing.can_go_on()).map(OutgoingRest::of).collect(),
            unacknowledged: self
                .unacknowledged
                .as_ref()
                .map(|(outgoing, resends)| (OutgoingRest::of(outgoing), *resends)),
        }
    }

    /// Goes on where another supervisor stopped.
    pub(crate) fn resume(
        ours: OwnedFd,
        rest: Option<ChannelRest>,
        sockets: impl Fn(&str) -> Option<Arc<OwnedFd>>,
    ) -> io::Result<Self> {
        let mut channel = Self::over(ours)?;
        let Some(rest) = rest else { return Ok(channel) };
        channel.partial = rest.read;
        channel.split(0);
        if rest.skipping && channel.skipping.is_none() {
            channel.skipping = Some(0);
        }
        channel.queue =
            rest.queue.into_iter().map(|outgoing| outgoing.revive(&sockets)).collect::<VecDeque<_>>();
        channel.queued_bytes = channel.queue.iter().map(|outgoing| outgoing.bytes.len()).sum();
        channel.measure();
        channel.unacknowledged =
            rest.unacknowledged.map(|(outgoing, resends)| (outgoing.revive(&sockets), resends));
        Ok(channel)
    }
}

impl Outgoing {
    /// A connection of ours that was not sent yet ends with us, and so does the probe it was for.
    fn can_go_on(&self) -> bool {
        self.handle.is_none() || self.socket.is_some() || self.sent > 0
    }
}

impl OutgoingRest {
    fn of(outgoing: &Outgoing) -> Self {
        Self {
            bytes: outgoing.bytes.to_vec(),
            sent: outgoing.sent,
            carries_handle: outgoing.handle.is_some(),
            socket: outgoing.socket.clone(),
        }
    }

    fn revive(self, sockets: impl Fn(&str) -> Option<Arc<OwnedFd>>) -> Outgoing {
        let handle = self.socket.as_deref().filter(|_| self.carries_handle).and_then(sockets);
        Outgoing { bytes: self.bytes.into(), sent: self.sent, handle, socket: self.socket }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};

    use super::*;
    use crate::cluster::protocol::Incoming;

    #[tokio::test]
    async fn nothing_under_way_is_lost_or_doubled() {
        let (mut channel, theirs) = Channel::pair().unwrap();
        let worker = std::os::unix::net::UnixStream::from(theirs);
        let socket = Arc::new(OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
        (&worker).write_all(b"\"ready\"\n{\"cmd\":\"NODE_CLUSTER\",\"act\":\"onl").unwrap();
        channel.stream.readable().await.unwrap();
        channel.fill();
        channel.stream.writable().await.unwrap();
        channel.send_with(&serde_json::json!({"n": 1}), Arc::clone(&socket), Some("key".into()));
        channel.send_with(&serde_json::json!({"n": 2}), Arc::clone(&socket), Some("key".into()));
        channel.send_with(&serde_json::json!({"a connection": 3}), Arc::clone(&socket), None);
        channel.send(&serde_json::json!({"n": 4}));
        let parked = rustix::io::fcntl_dupfd_cloexec(&channel, 0).unwrap();
        let rest = serde_json::to_string(&channel.into_rest()).unwrap();

        let rest = serde_json::from_str(&rest).unwrap();
        let mut channel =
            Channel::resume(parked, Some(rest), |key| (key == "key").then(|| Arc::clone(&socket))).unwrap();
        assert_eq!(channel.next().await, Some(Incoming::Ready));
        (&worker).write_all(b"ine\",\"seq\":5}\n{\"cmd\":\"NODE_HANDLE_ACK\"}\n\"ready\"\n").unwrap();
        assert_eq!(channel.next().await, Some(Incoming::Online { seq: 5 }));
        assert_eq!(channel.next().await, Some(Incoming::Ready));
        assert!(channel.unacknowledged.is_some(), "the second socket is on its way");
        drop(channel);
        let lines: Vec<String> = BufReader::new(worker).lines().map_while(Result::ok).collect();
        assert_eq!(lines, ["{\"n\":1}", "{\"n\":2}", "{\"n\":4}"]);
    }
}

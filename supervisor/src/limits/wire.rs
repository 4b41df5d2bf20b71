//! What the supervisor and the launcher tell each other.
//!
//! Standard input of the launcher is a socket. The supervisor has put one message into it: what to execute, in a file
//! in memory, and what shall be standard input of the program. Nothing of it is in the arguments or the environment of
//! the launcher, which still has the privileges of the supervisor: neither other users nor `LD_PRELOAD` get at it. The
//! launcher answers with lines, and the program never has the socket.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use muster_supervisor_protocol::Limits;
use rustix::fs::MemfdFlags;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::{Deserialize, Serialize};

/// Goes with the descriptors.
const GREETING: &[u8] = b"launch";

/// What the launcher does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) app: String,
    pub(crate) index: u32,
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    pub(crate) cwd: String,
    pub(crate) env: BTreeMap<String, String>,
    /// Whom to become.
    pub(crate) identity: Option<Identity>,
    pub(crate) limits: Limits,
    /// Instances of the application, which share the limits of their user.
    pub(crate) instances: u32,
    pub(crate) kill_signal: i32,
    pub(crate) kill_timeout_ms: u64,
}

/// A user as the kernel knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
}

/// What the launcher answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// Everything is prepared; the program is executed next.
    Entered {
        /// What could not be done as wanted.
        notes: Vec<String>,
    },
    /// The program is not executed.
    Failed {
        /// Why.
        reason: String,
    },
}

/// Makes the socket for a launcher: our end, and its standard input.
pub(crate) fn prepare(orders: &Orders, stdin: OwnedFd) -> io::Result<(UnixStream, OwnedFd)> {
    let mut file = File::from(rustix::fs::memfd_create("muster-launch", MemfdFlags::CLOEXEC)?);
    file.write_all(&serde_json::to_vec(orders)?)?;
    file.rewind()?;
    let (ours, theirs) = UnixStream::pair()?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [file.as_fd(), stdin.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    rustix::net::sendmsg(&ours, &[IoSlice::new(GREETING)], &mut control, SendFlags::NOSIGNAL)?;
    Ok((ours, theirs.into()))
}

/// The launcher's side: takes what is in standard input, and puts the program's in its place.
pub(super) fn receive() -> io::Result<(Orders, UnixStream)> {
    let stream = io::stdin().as_fd().try_clone_to_owned()?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut greeting = [0; GREETING.len()];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    rustix::net::recvmsg(&stream, &mut [IoSliceMut::new(&mut greeting)], &mut control, flags)?;
    let descriptors: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    match <[OwnedFd; 2]>::try_from(descriptors) {
        Ok([orders, stdin]) if greeting == GREETING => {
            rustix::stdio::dup2_stdin(&stdin)?;
            Ok((serde_json::from_reader(io::BufReader::new(File::from(orders)))?, UnixStream::from(stream)))
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "standard input did not bring what it should")),
    }
}

/// Answers. A supervisor that has gone meanwhile needs no answer.
pub(super) fn answer(mut stream: &UnixStream, answer: &Answer) {
    let mut line = serde_json::to_vec(answer).unwrap_or_default();
    line.push(b'\n');
    if let Err(error) = stream.write_all(&line)
        && let Answer::Failed { reason } = answer
    {
        tracing::error!(%error, reason, "nobody waits for the answer of a launcher");
    }
}

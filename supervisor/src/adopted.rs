//! Listening sockets that a client brought for an application it is about to apply: those of the process manager the
//! application comes from, so that no connection is refused in between.

use std::collections::BTreeMap;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use muster_supervisor_protocol::MAX_ADOPTED_SOCKETS;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, sockopt};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Sockets that wait, each lot with the application it is for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Adopted {
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    lots: BTreeMap<u64, (String, Vec<OwnedFd>)>,
    last: u64,
}

/// What a client brought; let go with it.
#[derive(Debug)]
pub(crate) struct Offer {
    adopted: Adopted,
    number: u64,
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.adopted.lock().lots.remove(&self.number);
    }
}

impl Adopted {
    /// Keeps sockets for an application for as long as the offer exists.
    pub(crate) fn offer(&self, app: &str, sockets: Vec<OwnedFd>) -> Offer {
        let mut waiting = self.lock();
        waiting.last += 1;
        let number = waiting.last;
        waiting.lots.insert(number, (app.to_owned(), sockets));
        Offer { adopted: self.clone(), number }
    }

    /// The first socket of an application that fits.
    pub(crate) fn take<T>(&self, app: &str, fits: impl Fn(&OwnedFd) -> Option<T>) -> Option<(OwnedFd, T)> {
        let mut waiting = self.lock();
        for (_, sockets) in waiting.lots.values_mut().filter(|(name, _)| name == app) {
            let found = sockets.iter().enumerate().find_map(|(place, fd)| Some((place, fits(fd)?)));
            if let Some((place, found)) = found {
                return Some((sockets.remove(place), found));
            }
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads one byte with this many listening sockets attached.
pub(crate) async fn receive(stream: &UnixStream, count: u32) -> io::Result<Vec<OwnedFd>> {
    let sockets = stream.async_io(Interest::READABLE, || receive_now(stream)).await?;
    if sockets.len() != count as usize {
        return Err(io::Error::other(format!("{} descriptors came instead of {count}", sockets.len())));
    }
    for socket in &sockets {
        if !sockopt::socket_acceptconn(socket).unwrap_or(false) {
            return Err(io::Error::other("a descriptor is not a listening socket"));
        }
        // Workers share it: whoever comes second must not wait for the next connection.
        rustix::io::ioctl_fionbio(socket, true)?;
    }
    Ok(sockets)
}

fn receive_now(stream: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    const MOST: usize = MAX_ADOPTED_SOCKETS as usize;
    // Only its length counts.
    let pattern: Vec<BorrowedFd<'_>> = vec![rustix::stdio::stdin(); MOST];
    let size = rustix::net::SendAncillaryMessage::ScmRights(&pattern).size();
    let mut space = vec![MaybeUninit::uninit(); size];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0; 1];
    let mut target = [IoSliceMut::new(&mut byte)];
    let received = rustix::net::recvmsg(stream, &mut target, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut sockets = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            sockets.extend(descriptors);
        }
    }
    Ok(sockets)
}

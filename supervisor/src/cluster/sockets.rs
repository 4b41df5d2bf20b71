//! Listening sockets that belong to an application, not to one of its processes.
//!
//! All workers of an application share one socket per key. A worker that is gone leaves its connections in the queue
//! of the socket, where its successor finds them.

mod adopted;
mod open;
mod unix;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use muster_supervisor_protocol::ListenAddress;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::protocol::QueryServer;
use crate::keeper::{Keeper, Parked};
use crate::process::users::Credentials;
use open::{open, refusal};
use unix::Place;

/// Listening sockets are parked under keys that begin so.
pub(crate) const PARKED_UNDER: &str = "socket/";

/// Sockets of one application. They are our descriptors, and an application may ask for ever more of them.
const MAX_SOCKETS: usize = 256;

/// Why there is no socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What the application sees.
    pub(crate) errno: i32,
    /// What a person is told.
    pub(crate) message: String,
}

/// Who asks for a socket.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asker<'a> {
    /// Whom the application runs as; `None` = as we do.
    pub(crate) user: Option<&'a Credentials>,
    /// The port its spec names. Another privileged one is refused to an application that is not root itself.
    pub(crate) port: Option<u16>,
    /// The spec itself asks (`listen_fds`), not the application.
    listed: bool,
}

impl<'a> Asker<'a> {
    /// An application, whose spec names this port.
    pub(crate) fn app(user: Option<&'a Credentials>, port: Option<u16>) -> Self {
        Self { user, port, listed: false }
    }
}

/// The sockets of one application.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    held: BTreeMap<String, Held>,
}

#[derive(Debug)]
struct Held {
    fd: Arc<OwnedFd>,
    data: Value,
    bound: Bound,
    /// Whom the file of a unix socket was given to, when the application runs as another user.
    owner: Option<u32>,
    /// Lets go in the keeper as well. Before `fd` would do; nobody waits in between.
    _parked: Option<Parked>,
    /// Someone else goes on with it: nothing is cleaned up.
    handed_over: bool,
}

/// A socket as the next supervisor has to know it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SavedSocket {
    key: String,
    data: Value,
    bound: Bound,
    #[serde(default)]
    owner: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Bound {
    Tcp(SocketAddr),
    Udp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp {address}"),
            Self::Udp(address) => write!(f, "udp {address}"),
            Self::Unix(path) => write!(f, "unix {}", path.display()),
        }
    }
}

impl Sockets {
    /// The socket for a key (the one that is held, or a new one) and the data its first user brought along.
    pub(crate) fn get(
        &mut self,
        query: &QueryServer,
        asker: Asker<'_>,
        keeper: Option<(&Keeper, &str)>,
    ) -> Result<(Arc<OwnedFd>, Value), Refusal> {
        let key = query.key();
        if let Some(held) = self.held.get(&key) {
            return Ok((Arc::clone(&held.fd), held.data.clone()));
        }
        if self.held.len() >= MAX_SOCKETS {
            return Err(refusal(query, Errno::MFILE));
        }
        let (fd, bound) = match keeper.and_then(|(keeper, app)| adopted::take(&keeper.adopted, app, query)) {
            Some(brought) => brought,
            None => open(query, asker).map_err(|errno| refusal(query, errno))?,
        };
        let fd = Arc::new(fd);
        let data = query.data.clone();
        let owner = asker.user.map(|user| user.uid);
        let parked = keeper.map(|(keeper, app)| keeper.park(parked_key(app, &key), &*fd));
        let held = Held {
            fd: Arc::clone(&fd),
            data: data.clone(),
            bound,
            owner,
            _parked: parked,
            handed_over: false,
        };
        self.held.insert(key, held);
        Ok((fd, data))
    }

    /// The socket of one of the `listen_fds` of a spec, and its key.
    pub(crate) fn listed(
        &mut self,
        address: &ListenAddress,
        user: Option<&Credentials>,
        keeper: Option<(&Keeper, &str)>,
    ) -> Result<(Arc<OwnedFd>, String), Refusal> {
        let query = QueryServer::listed(address);
        let (fd, _) = self.get(&query, Asker { user, port: None, listed: true }, keeper)?;
        Ok((fd, query.key()))
    }

    /// The sockets an earlier supervisor held.
    pub(crate) fn resume(saved: Vec<SavedSocket>, app: &str, keeper: &Keeper) -> Self {
        let mut held = BTreeMap::new();
        for SavedSocket { key, data, bound, owner } in saved {
            match keeper.claim(&parked_key(app, &key)) {
                Some((fd, parked, _)) => {
                    let fd = Arc::new(fd);
                    held.insert(
                        key,
                        Held { fd, data, bound, owner, _parked: Some(parked), handed_over: false },
                    );
                }
                None => tracing::error!(app, socket = %bound, "a listening socket was lost"),
            }
        }
        Self { held }
    }

    /// What the next supervisor has to know.
    pub(crate) fn save(&self) -> Vec<SavedSocket> {
        let saved = |(key, held): (&String, &Held)| SavedSocket {
            key: key.clone(),
            data: held.data.clone(),
            bound: held.bound.clone(),
            owner: held.owner,
        };
        self.held.iter().map(saved).collect()
    }

    /// The socket behind a key.
    pub(crate) fn held(&self, key: &str) -> Option<Arc<OwnedFd>> {
        self.held.get(key).map(|held| Arc::clone(&held.fd))
    }

    /// Someone else goes on with them.
    pub(crate) fn hand_over(&mut self) {
        for held in self.held.values_mut() {
            held.handed_over = true;
        }
    }

    /// The TCP port behind a key.
    pub(crate) fn port(&self, key: &str) -> Option<u16> {
        match &self.held.get(key)?.bound {
            Bound::Tcp(address) => Some(address.port()),
            Bound::Udp(_) | Bound::Unix(_) => None,
        }
    }

    /// Lets go of every socket whose key is not wanted any longer; its port is free then.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.held.retain(|key, _| wanted(key));
    }

    /// What is held, in words.
    pub(crate) fn describe(&self) -> Vec<String> {
        self.held.values().map(|held| held.bound.to_string()).collect()
    }

    /// Whether nothing is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Bound::Unix(path) = &self.bound
            && !self.handed_over
            && let Err(error) = Place::of(path).and_then(|place| place.remove(self.owner))
            && error != Errno::NOENT
        {
            tracing::warn!(path = %path.display(), %error, "a unix socket of an application could not be removed");
        }
    }
}

fn parked_key(app: &str, key: &str) -> String {
    format!("{PARKED_UNDER}{app}/{key}")
}

#[cfg(test)]
mod tests;

//! The restart that a person wants: told by the controller with each heartbeat, kept on the disk until it was carried out,
//! and said to be done once the host has started again since. A wish is carried out once, whatever is told or lost.

use crate::config::StateDir;
use muster_proto::v1::RebootRequest;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;
use uuid::Uuid;

/// The longest reason that is kept.
const REASON_CHARS: usize = 500;

/// A restart that a person wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Names it.
    pub id: Uuid,
    /// Without waiting for the node's turn.
    pub at_once: bool,
    /// Who, and why.
    pub reason: String,
    /// The start of the kernel that ended with it.
    carried_out_in: Option<String>,
}

impl Wish {
    /// A wish as the controller tells it; `None` when it is none.
    pub fn told(request: RebootRequest) -> Option<Self> {
        Some(Self {
            id: Uuid::from_slice(&request.request_id).ok()?,
            at_once: request.now,
            reason: request.reason.chars().filter(|c| !c.is_control()).take(REASON_CHARS).collect(),
            carried_out_in: None,
        })
    }
}

/// The wish on the disk, for whoever talks to the controller and whoever restarts the node.
#[derive(Debug, Clone)]
pub struct Wishes {
    path: PathBuf,
}

impl Wishes {
    /// Where an agent keeps it.
    pub fn of(state: &StateDir) -> Self {
        Self { path: state.root().join("reboot-wanted.json") }
    }

    fn load(&self) -> Option<Wish> {
        let read = crate::durable::read(&self.path).and_then(|content| {
            content.map(|c| serde_json::from_slice(&c)).transpose().map_err(io::Error::from)
        });
        read.unwrap_or_else(|error| {
            let path = self.path.display();
            tracing::warn!(%path, %error, "the restart that somebody wants cannot be read");
            None
        })
    }

    fn store(&self, wish: &Wish) -> io::Result<()> {
        crate::durable::write(&self.path, &serde_json::to_vec(wish)?)
    }

    /// Takes in what the controller tells; whether there is something new to do.
    pub fn heard(&self, told: Option<Wish>) -> io::Result<bool> {
        match (self.load(), told) {
            (Some(known), Some(told)) if known.id == told.id => Ok(false),
            (_, Some(told)) => self.store(&told).map(|()| true),
            // Nobody wants it any more, or it is known to be done.
            (Some(_), None) => crate::durable::remove(&self.path).map(|()| false),
            (None, None) => Ok(false),
        }
    }

    /// The wish that is still to be carried out.
    pub(super) fn pending(&self) -> Option<Wish> {
        self.load().filter(|wish| wish.carried_out_in.is_none())
    }

    /// Notes, before the node restarts, that its wish is carried out with it.
    pub(super) fn carried_out(&self, boot_id: &str) -> io::Result<()> {
        match self.pending() {
            Some(wish) => self.store(&Wish { carried_out_in: Some(boot_id.to_owned()), ..wish }),
            None => Ok(()),
        }
    }

    /// The wish that was carried out: the host has started since.
    pub fn done(&self, boot_id: &str) -> Option<Uuid> {
        let carried_out = |wish: &Wish| wish.carried_out_in.as_deref().is_some_and(|ended| ended != boot_id);
        self.load().filter(carried_out).map(|wish| wish.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(id: u128) -> Option<Wish> {
        let request_id = Uuid::from_u128(id).as_bytes().to_vec();
        Wish::told(RebootRequest { request_id, now: true, reason: "amara: a\nnew kernel".into() })
    }

    #[test]
    fn a_wish_is_carried_out_once_and_then_done() {
        let dir = tempfile::tempdir().unwrap();
        let wishes = Wishes::of(&StateDir::new(dir.path()));
        assert!(!wishes.heard(None).unwrap() && wishes.pending().is_none());
        assert!(wishes.heard(told(1)).unwrap());
        assert!(!wishes.heard(told(1)).unwrap(), "it is told with every heartbeat");
        assert_eq!(wishes.pending().unwrap().reason, "amara: anew kernel");
        assert_eq!(wishes.done("one"), None);
        wishes.carried_out("one").unwrap();
        assert!(wishes.pending().is_none() && !wishes.heard(told(1)).unwrap());
        assert_eq!(wishes.done("one"), None, "the host has not started since");
        assert_eq!(wishes.done("two"), Some(Uuid::from_u128(1)));
        // Another one may follow before the controller has heard of that.
        assert!(wishes.heard(told(2)).unwrap() && wishes.pending().is_some());
        assert!(!wishes.heard(None).unwrap());
        assert!(wishes.pending().is_none() && wishes.done("two").is_none());
        assert_eq!(Wish::told(RebootRequest::default()), None);
        wishes.carried_out("two").unwrap();
    }
}

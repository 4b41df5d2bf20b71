//! The certificates that were withdrawn before their time: read by every handshake and every request, waited for by every
//! open connection.
//!
//! It lists serials, not nodes: a node that is invited again keeps its id, and its former certificates stay dead. Entries
//! are needed only while the certificate could still be presented, so the set stays small; the database is where it
//! comes from at a start.

use std::{collections::HashSet, fmt, sync::Arc};
use tokio::sync::watch;

/// The serial number of a certificate, in lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial(String);

impl Serial {
    /// From the number's bytes, as they stand in the certificate.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(hex::encode(bytes))
    }

    /// From a column.
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// For a column.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The shared set. Clones are the same set.
#[derive(Clone)]
pub struct Revocations(Arc<watch::Sender<HashSet<Serial>>>);

impl Revocations {
    /// With what is known at the start.
    #[must_use]
    pub fn new(serials: impl IntoIterator<Item = Serial>) -> Self {
        Self(Arc::new(watch::Sender::new(serials.into_iter().collect())))
    }

    /// Withdraws certificates. Whoever waits for one of them is woken before this returns.
    pub fn add(&self, serials: impl IntoIterator<Item = Serial>) {
        self.0.send_modify(|set| set.extend(serials));
    }

    /// Replaces the set, to forget what nobody can present any more.
    pub fn replace(&self, serials: impl IntoIterator<Item = Serial>) {
        self.0.send_replace(serials.into_iter().collect());
    }

    /// Whether a certificate was withdrawn.
    #[must_use]
    pub fn contains(&self, serial: &Serial) -> bool {
        self.0.borrow().contains(serial)
    }

    /// How many are listed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Whether none is listed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns as soon as the certificate is withdrawn; at once when it already is.
    pub async fn revoked(&self, serial: &Serial) {
        let mut changes = self.0.subscribe();
        if changes.wait_for(|set| set.contains(serial)).await.is_err() {
            // The sender lives in `self`, so this does not happen; not to return is the safe reading of it.
            std::future::pending::<()>().await;
        }
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revocations({} serials)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_woken_by_the_own_serial_only() {
        let revocations = Revocations::new([Serial::from_text("01")]);
        revocations.revoked(&Serial::from_text("01")).await;

        let (clone, serial) = (revocations.clone(), Serial::from_bytes(&[0xab]));
        let waiter = tokio::spawn(async move { clone.revoked(&serial).await });
        revocations.add([Serial::from_text("02")]);
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        revocations.add([Serial::from_text("ab")]);
        waiter.await.unwrap();
        assert!(revocations.contains(&Serial::from_text("ab")) && revocations.len() == 3);

        revocations.replace([]);
        assert!(revocations.is_empty());
    }
}

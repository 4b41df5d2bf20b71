//! The supervisor's side of the keeper.
//!
//! Calls are short round trips over a local socket and are made where they are needed, without a task in between:
//! when [`Parked`] is dropped the keeper has let go as well, so a port is free when we say so. Everything parked is
//! also held here, so that a keeper that dies is replaced and loses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::wire::{Frame, Inbox, Kind, send};
use super::{PROCESS_NAME, SOCKET_NAME};
use crate::adopted::Adopted;
use crate::cluster::sockets::PARKED_UNDER;
use crate::process::tree;
use crate::process::watch::Watch;
use crate::takeover::STATE_FORMAT;

/// A keeper that takes longer for anything is replaced; nothing else is done meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);
/// One that starts may take longer.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// What we run ourselves, also when the file is a newer version by now or gone; it can keep as well.
const OWN_IMAGE: &str = "/proc/self/exe";
/// Between two attempts to start one.
const START_PAUSE: Duration = Duration::from_secs(5);

/// The keeper's own, small program when it lies beside ours and both are of one installation; else ours.
fn program() -> PathBuf {
    match std::env::current_exe() {
        // The kernel says so of a file that was replaced: what lies beside it now may be of another version.
        Ok(own) if !own.as_os_str().as_encoded_bytes().ends_with(b" (deleted)") => {
            let keeper = own.with_file_name(PROCESS_NAME);
            if keeper.is_file() { keeper } else { PathBuf::from(OWN_IMAGE) }
        }
        Ok(_) | Err(_) => PathBuf::from(OWN_IMAGE),
    }
}

/// Shared by everything that parks something.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    inner: Arc<Mutex<Inner>>,
    /// The connection was lost.
    lost: Arc<Notify>,
    /// Listening sockets that were brought to us and wait for their application.
    pub(crate) adopted: Adopted,
}

#[derive(Debug)]
struct Inner {
    state_dir: PathBuf,
    connection: Option<Connection>,
    descriptors: BTreeMap<String, OwnedFd>,
    texts: BTreeMap<String, Vec<u8>>,
    spills: BTreeMap<String, Spill>,
    /// Keys somebody of this process answers for.
    claimed: BTreeSet<String>,
    /// Our end is near and someone else takes over: what is dropped now stays parked.
    handing_over: bool,
}

#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    inbox: Inbox,
    pid: u32,
    start_ticks: u64,
    version: String,
}

/// What an application wrote while no supervisor was there.
#[derive(Debug, Default)]
pub(crate) struct Spill {
    pub(crate) bytes: Vec<u8>,
    /// Bytes that came after these and were not kept.
    pub(crate) missing: u64,
}

/// A descriptor the keeper holds; let go when this is dropped.
#[derive(Debug)]
pub(crate) struct Parked {
    keeper: Keeper,
    key: String,
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.keeper.let_go(&self.key);
    }
}

impl Keeper {
    /// The keeper of a state directory with what it kept, or a new one. Without any the supervisor works as well, but
    /// its applications would not survive it.
    pub(crate) fn open(state_dir: &Path) -> Self {
        let mut inner = Inner {
            state_dir: state_dir.to_owned(),
            connection: None,
            descriptors: BTreeMap::new(),
            texts: BTreeMap::new(),
            spills: BTreeMap::new(),
            claimed: BTreeSet::new(),
            handing_over: false,
        };
        if let Ok(stream) = UnixStream::connect(state_dir.join(SOCKET_NAME)) {
            match inner.take(stream) {
                Ok(connection) => inner.connection = Some(connection),
                Err(error) => tracing::error!(%error, "the keeper of an earlier supervisor is of no use"),
            }
        }
        if inner.connection.is_none() {
            inner.start_and_tell();
        }
        Self { inner: Arc::new(Mutex::new(inner)), lost: Arc::default(), adopted: Adopted::default() }
    }

    /// Parks a copy of a descriptor.
    pub(crate) fn park(&self, key: String, descriptor: impl AsFd) -> Parked {
        match descriptor.as_fd().try_clone_to_owned() {
            Ok(copy) => {
                let mut inner = self.lock();
                inner.tell(&self.lost, Kind::Descriptor, &key, b"", Some(&copy));
                inner.claimed.insert(key.clone());
                inner.descriptors.insert(key.clone(), copy);
            }
            Err(error) => tracing::warn!(key, %error, "a descriptor cannot be parked"),
        }
        Parked { keeper: self.clone(), key }
    }

    /// A descriptor that was parked by an earlier supervisor, with what came through it meanwhile.
    pub(crate) fn claim(&self, key: &str) -> Option<(OwnedFd, Parked, Spill)> {
        let mut inner = self.lock();
        let descriptor = inner.descriptors.get(key)?.try_clone().ok()?;
        inner.claimed.insert(key.to_owned());
        let spill = inner.spills.remove(key).unwrap_or_default();
        Some((descriptor, Parked { keeper: self.clone(), key: key.to_owned() }, spill))
    }

    /// Lets go of everything nobody claimed.
    pub(crate) fn drop_unclaimed(&self) {
        let unclaimed: Vec<String> = {
            let inner = self.lock();
            inner.descriptors.keys().filter(|key| !inner.claimed.contains(*key)).cloned().collect()
        };
        for key in unclaimed {
            tracing::debug!(key, "nobody claims a parked descriptor");
            self.let_go(&key);
        }
        self.lock().spills.clear();
    }

    fn let_go(&self, key: &str) {
        let mut inner = self.lock();
        inner.claimed.remove(key);
        if inner.handing_over || inner.descriptors.remove(key).is_none() {
            return;
        }
        inner.tell(&self.lost, Kind::Forget, key, b"", None);
        // Whoever is told that a port is free may bind it at once.
        if key.starts_with(PARKED_UNDER) {
            inner.sync(&self.lost);
        }
    }

    /// Keeps a text under a key.
    pub(crate) fn put(&self, key: &str, text: Vec<u8>) {
        let mut inner = self.lock();
        if inner.texts.get(key) != Some(&text) {
            inner.tell(&self.lost, Kind::Text, key, &text, None);
            inner.texts.insert(key.to_owned(), text);
        }
    }

    /// Forgets a text and gives it.
    pub(crate) fn forget(&self, key: &str) -> Option<Vec<u8>> {
        let mut inner = self.lock();
        let text = inner.texts.remove(key)?;
        inner.tell(&self.lost, Kind::Forget, key, b"", None);
        Some(text)
    }

    /// Every text whose key begins so, with the rest of its key.
    pub(crate) fn texts_under(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        let inner = self.lock();
        let under =
            |(key, text): (&String, &Vec<u8>)| Some((key.strip_prefix(prefix)?.to_owned(), text.clone()));
        inner.texts.iter().filter_map(under).collect()
    }

    /// Waits until the keeper has everything. False: it has not.
    pub(crate) fn sync(&self) -> bool {
        self.lock().sync(&self.lost)
    }

    /// While on, what is dropped stays parked.
    pub(crate) fn hand_over(&self, on: bool) {
        let mut inner = self.lock();
        inner.handing_over = on;
        inner.claimed.clear();
    }

    /// Nothing has to be kept any longer.
    pub(crate) fn leave(&self) {
        let mut inner = self.lock();
        inner.tell(&self.lost, Kind::Leave, "", b"", None);
        inner.connection = None;
        if let Err(error) = std::fs::remove_file(inner.state_dir.join(SOCKET_NAME)) {
            tracing::debug!(%error, "the socket of the keeper cannot be removed");
        }
    }

    /// Replaces a keeper that ended, that does not answer, or that is of another version than ours.
    pub(crate) async fn tend(self) {
        loop {
            let (pid, version) = {
                let inner = self.lock();
                inner.connection.as_ref().map(|c| (c.pid, c.version.clone())).unwrap_or_default()
            };
            if pid != 0 && version == env!("CARGO_PKG_VERSION") {
                let watch = Watch::started(pid);
                tokio::select! {
                    _ = watch.ended() => tracing::warn!(pid, "the keeper ended"),
                    () = self.lost.notified() => {}
                }
            }
            let started = self.lock().start_and_tell();
            if !started {
                tokio::time::sleep(START_PAUSE).await;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Reads everything a keeper has. One that cannot tell must not hold on to it: it is ended.
    fn take(&mut self, stream: UnixStream) -> io::Result<Connection> {
        let pid = rustix::net::sockopt::socket_peercred(&stream)?.pid.as_raw_nonzero().get();
        let mut connection = Connection::new(stream, u32::try_from(pid).unwrap_or(0))?;
        match self.take_all(&mut connection) {
            Ok(()) => Ok(connection),
            Err(error) => {
                connection.kill();
                Err(error)
            }
        }
    }

    fn take_all(&mut self, connection: &mut Connection) -> io::Result<()> {
        loop {
            let Frame { kind, key, body, descriptor } = connection.next()?;
            match (kind, descriptor) {
                (Kind::Descriptor, Some(descriptor)) => {
                    self.descriptors.insert(key, descriptor);
                }
                (Kind::Text, _) => {
                    self.texts.insert(key, body);
                }
                (Kind::Spill, _) => {
                    if let Some((missing, bytes)) = body.split_first_chunk() {
                        let spill = Spill { bytes: bytes.to_vec(), missing: u64::from_be_bytes(*missing) };
                        self.spills.insert(key, spill);
                    }
                }
                (Kind::End, _) => return Ok(()),
                _ => {}
            }
        }
    }

    /// Replaces the keeper and gives the new one everything we have.
    fn start_and_tell(&mut self) -> bool {
        match self.start() {
            Ok(connection) => {
                if let Some(old) = self.connection.replace(connection) {
                    // It may hang; and what it holds must not be held any longer than we want.
                    old.kill();
                }
                true
            }
            Err(error) => {
                tracing::error!(%error, "no keeper can be started: applications would not survive the supervisor");
                false
            }
        }
    }

    fn start(&self) -> io::Result<Connection> {
        let (ours, theirs) = UnixStream::pair()?;
        let child = Command::new(program())
            .arg0(PROCESS_NAME)
            .args(["keep", "--state-dir"])
            .arg(&self.state_dir)
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()?;
        let mut connection = Connection::new(ours, child.id())?;
        while connection.next()?.kind != Kind::End {}
        for (key, descriptor) in &self.descriptors {
            send(&connection.stream, Kind::Descriptor, key, b"", Some(descriptor.as_fd()))?;
        }
        for (key, text) in &self.texts {
            send(&connection.stream, Kind::Text, key, text, None)?;
        }
        connection.sync()?;
        Ok(connection)
    }

    fn tell(&mut self, lost: &Notify, kind: Kind, key: &str, body: &[u8], descriptor: Option<&OwnedFd>) {
        let Some(connection) = &self.connection else { return };
        if let Err(error) = send(&connection.stream, kind, key, body, descriptor.map(AsFd::as_fd)) {
            self.lose(lost, &error);
        }
    }

    fn sync(&mut self, lost: &Notify) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        match connection.sync() {
            Ok(()) => true,
            Err(error) => {
                self.lose(lost, &error);
                false
            }
        }
    }

    fn lose(&mut self, lost: &Notify, error: &io::Error) {
        if let Some(connection) = self.connection.take() {
            tracing::warn!(pid = connection.pid, %error, "the keeper does not answer, it is replaced");
            connection.kill();
            lost.notify_one();
        }
    }
}

impl Connection {
    fn new(stream: UnixStream, pid: u32) -> io::Result<Self> {
        stream.set_read_timeout(Some(START_PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let start_ticks = tree::stat(pid).map_or(0, |stat| stat.start_ticks);
        let mut connection =
            Self { stream, inbox: Inbox::default(), pid, start_ticks, version: String::new() };
        match connection.next() {
            Ok(hello) if hello.kind == Kind::Hello && hello.body == STATE_FORMAT.to_be_bytes() => {
                connection.version = hello.key;
                connection.stream.set_read_timeout(Some(PATIENCE))?;
                Ok(connection)
            }
            other => {
                connection.kill();
                let what =
                    other.err().map_or("it speaks another format".to_owned(), |error| error.to_string());
                Err(io::Error::new(io::ErrorKind::InvalidData, format!("{what}; it was ended")))
            }
        }
    }

    fn next(&mut self) -> io::Result<Frame> {
        loop {
            if let Some(frame) = self.inbox.next()? {
                return Ok(frame);
            }
            if !self.inbox.receive(&self.stream)? {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up"));
            }
        }
    }

    fn kill(&self) {
        if tree::runs(self.pid, self.start_ticks) {
            tree::signal_one(self.pid, 9);
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        send(&self.stream, Kind::Sync, "", b"", None)?;
        while self.next()?.kind != Kind::Sync {}
        Ok(())
    }
}

//! Notices within a moment when somebody changes what is managed on the disk. Polling finds everything as well, only later:
//! where watching is not possible (too many watches, no such file system), nothing else is lost.
//!
//! Watched are the folders that hold managed paths. Of a folder that is not there yet, the nearest one above it is watched
//! until it is. Reading and opening are not among the events that are asked for: `/etc` is read all the time.

use crate::ledger::Accepted;
use futures_util::StreamExt;
use inotify::{EventMask, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};
use muster_domain::{
    assignment::Revision,
    resource::{DesiredState, Mode, Resource},
};
use muster_planning::convergence::watched_paths;
use muster_platform::Host;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Room for some hundred events; when more come at once the kernel says so.
const BUFFER_BYTES: usize = 16 * 1024;

/// Somebody who writes without pause is looked at every so often.
const MAX_REST: Duration = Duration::from_secs(1);

/// A program that writes what the agent puts back is not answered at every turn: so many changes, each within this time of
/// the one before, are put right at once, and each one more doubles the pause.
const CALM: Duration = Duration::from_secs(60);

/// A person who tries things out does not make more than that.
const AT_ONCE: u32 = 20;

/// The longest such pause; a poll is about as soon.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Watches what is managed.
pub(super) struct Drift {
    host: Arc<dyn Host>,
    rest: Duration,
    watching: Option<Watching>,
    /// What is watched belongs to this revision.
    revision: Option<Revision>,
    told: bool,
    /// A change was noticed and has not been looked at yet.
    noticed: bool,
    /// When a change that was noticed was put right last, and how many were, each soon after the one before.
    mended_at: Option<Instant>,
    mended: u32,
}

struct Watching {
    watches: Watches,
    events: EventStream<Vec<u8>>,
    folders: HashMap<WatchDescriptor, Folder>,
    /// Some folder is not there yet: when one above it changes, the watches are set anew.
    incomplete: bool,
}

/// What matters in a folder.
#[derive(Default)]
struct Folder {
    /// Names that are managed.
    managed: BTreeSet<OsString>,
    /// Names on the way to one that is not there yet.
    awaited: BTreeSet<OsString>,
}

impl Drift {
    pub(super) fn new(host: Arc<dyn Host>, rest: Duration) -> Self {
        Self {
            host,
            rest,
            watching: None,
            revision: None,
            told: false,
            noticed: false,
            mended_at: None,
            mended: 0,
        }
    }

    /// Watches what an assignment manages.
    pub(super) fn watch(&mut self, assignment: &Accepted) {
        let incomplete = self.watching.as_ref().is_some_and(|watching| watching.incomplete);
        if self.revision == Some(assignment.revision) && !incomplete {
            return;
        }
        self.revision = Some(assignment.revision);
        let resources = assignment.content.resources.iter();
        let watched: Vec<&Resource> = resources.filter(|resource| resource.mode != Mode::Ignore).collect();
        let (mut paths, all_found) = self.key_files(&watched);
        let own = watched.iter().flat_map(|resource| watched_paths(&resource.desired));
        paths.extend(own.filter_map(|path| self.host.real_path(Path::new(&path))));
        if paths.is_empty() {
            self.watching = None;
            if !all_found {
                // There is nothing that could remember to look again.
                self.revision = None;
            }
            return;
        }
        if self.watching.is_none() {
            self.watching = match begin() {
                Ok(watching) => Some(watching),
                Err(error) => return self.tell(&error),
            };
        }
        let Some(watching) = &mut self.watching else { return };
        let set = watching.set(&paths);
        // Those of a user that is not there yet are looked for again at the next look.
        watching.incomplete |= !all_found;
        if let Err(error) = set {
            self.tell(&error);
        }
    }

    /// Where the keys of users are, and whether all of these users are there.
    fn key_files(&self, resources: &[&Resource]) -> (BTreeSet<PathBuf>, bool) {
        let keys = resources.iter().filter_map(|resource| match &resource.desired {
            DesiredState::AuthorizedKey(wanted) => Some(wanted.user.as_str()),
            _ => None,
        });
        let mut names = keys.peekable();
        if names.peek().is_none() {
            return (BTreeSet::new(), true);
        }
        // Asked again with the next run.
        let Ok(accounts) = self.host.accounts() else { return (BTreeSet::new(), false) };
        let (mut paths, mut all_found) = (BTreeSet::new(), true);
        for name in names {
            match accounts.user(name) {
                Some(user) => {
                    let path = Path::new(&user.home).join(".ssh/authorized_keys");
                    paths.extend(path.is_absolute().then(|| self.host.real_path(&path)).flatten());
                }
                None => all_found = false,
            }
        }
        (paths, all_found)
    }

    /// Says once that some changes are noticed only at the next poll.
    fn tell(&mut self, error: &std::io::Error) {
        if !std::mem::replace(&mut self.told, true) {
            let hint = match error.raw_os_error() {
                Some(NO_SPACE | TOO_MANY_FILES) => {
                    "; raise fs.inotify.max_user_watches or fs.inotify.max_user_instances"
                }
                _ => "",
            };
            tracing::warn!("changes on the disk are noticed by polling only: {error}{hint}");
        }
    }

    /// A run has looked at everything, and changed something or not.
    pub(super) fn looked(&mut self, changed: bool) {
        if std::mem::take(&mut self.noticed) && changed {
            let now = Instant::now();
            let soon = self.mended_at.is_some_and(|at| now.duration_since(at) < CALM);
            self.mended = if soon { self.mended.saturating_add(1) } else { 1 };
            self.mended_at = Some(now);
        }
    }

    /// How long a change waits to be looked at.
    fn pause(&self) -> Duration {
        let doubled = 2_u32.saturating_pow(self.mended.saturating_sub(AT_ONCE).min(16));
        self.rest.saturating_mul(doubled).min(MAX_PAUSE)
    }

    /// Waits until something managed changed and rests. For ever where nothing can be watched.
    pub(super) async fn changed(&mut self) {
        let pause = self.pause();
        let Some(watching) = &mut self.watching else { return std::future::pending().await };
        watching.noticed().await;
        self.noticed = true;
        let now = Instant::now();
        tokio::time::sleep_until(now + pause).await;
        // More may be on its way: an editor, a package, a copy of a folder.
        let latest = now + pause + MAX_REST;
        while Instant::now() < latest {
            let rested = (Instant::now() + self.rest).min(latest);
            if timeout_at(rested, watching.noticed()).await.is_err() {
                break;
            }
        }
    }
}

/// No more watches.
const NO_SPACE: i32 = 28;
/// No more inotify instances.
const TOO_MANY_FILES: i32 = 24;

fn begin() -> std::io::Result<Watching> {
    let inotify = Inotify::init()?;
    let watches = inotify.watches();
    let events = inotify.into_event_stream(vec![0; BUFFER_BYTES])?;
    Ok(Watching { watches, events, folders: HashMap::new(), incomplete: false })
}

impl Watching {
    /// Sets the watches for these paths, and takes away the others. The error is the first that came up; what could be
    /// watched is.
    fn set(&mut self, paths: &BTreeSet<PathBuf>) -> std::io::Result<()> {
        let mask = WatchMask::CLOSE_WRITE
            | WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::MOVED_FROM
            | WatchMask::MOVED_TO
            | WatchMask::ATTRIB
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        let (wanted, incomplete) = folders(paths);
        self.incomplete = incomplete;
        let mut first_error = None;
        let mut set: HashMap<WatchDescriptor, Folder> = HashMap::new();
        for (path, folder) in wanted {
            match self.watches.add(&path, mask) {
                Ok(watch) => {
                    // Two paths may lead to one folder.
                    let known = set.entry(watch).or_default();
                    known.managed.extend(folder.managed);
                    known.awaited.extend(folder.awaited);
                }
                // It went away a moment ago: it is awaited from the next look on.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => self.incomplete = true,
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        for watch in self.folders.keys().filter(|watch| !set.contains_key(*watch)) {
            // One whose folder is gone is gone already.
            self.watches.remove(watch.clone()).ok();
        }
        self.folders = set;
        first_error.map_or(Ok(()), Err)
    }

    /// Waits for an event that matters.
    async fn noticed(&mut self) {
        while let Some(event) = self.events.next().await {
            let Ok(event) = event else {
                // Nothing more comes from here; polling goes on.
                return std::future::pending().await;
            };
            if event.mask.contains(EventMask::Q_OVERFLOW) {
                return;
            }
            let Some(folder) = self.folders.get(&event.wd) else { continue };
            let gone =
                event.mask.intersects(EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::IGNORED);
            if gone {
                self.incomplete = true;
                return;
            }
            if folder.matters(event.name.as_deref()) {
                return;
            }
        }
        std::future::pending().await
    }
}

impl Folder {
    fn matters(&self, name: Option<&OsStr>) -> bool {
        name.is_some_and(|name| self.managed.contains(name) || self.awaited.contains(name))
    }
}

/// Which folders are to be watched for these paths, and whether one of them is not there yet.
fn folders(paths: &BTreeSet<PathBuf>) -> (BTreeMap<PathBuf, Folder>, bool) {
    let mut folders: BTreeMap<PathBuf, Folder> = BTreeMap::new();
    let mut incomplete = false;
    for path in paths {
        let (Some(mut parent), Some(mut name)) = (path.parent(), path.file_name()) else { continue };
        let complete = parent.is_dir();
        while !parent.is_dir() {
            let (Some(above), Some(next)) = (parent.parent(), parent.file_name()) else { break };
            (parent, name) = (above, next);
        }
        incomplete |= !complete;
        let folder = folders.entry(parent.to_owned()).or_default();
        if complete {
            folder.managed.insert(name.to_owned());
        } else {
            folder.awaited.insert(name.to_owned());
        }
    }
    (folders, incomplete)
}

#[cfg(test)]
mod tests;

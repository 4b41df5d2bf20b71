//! Files that are watched for changes.
//!
//! Every folder below is watched by itself, except those that are passed over: a `node_modules` would cost thousands of
//! the kernel's watches. Each watched application has a thread of its own, because looking through a large tree takes
//! time. Must not know what a change means.

mod ignore;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;

use muster_supervisor_protocol::AppSpec;
use notify::event::{EventKind, ModifyKind};
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use ignore::Ignore;

const STACK_BYTES: usize = 256 * 1024;

/// What the thread tells, with the number it was started with.
#[derive(Debug)]
pub(crate) struct FileNews {
    pub(crate) number: u64,
    pub(crate) what: Seen,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Everything is watched from now on.
    Watching,
    /// Something is not watched, for this reason.
    Failed(String),
    /// This file changed.
    Changed(String),
}

/// Files are watched until this is dropped.
#[derive(Debug)]
pub(crate) struct FileWatch {
    number: u64,
    signals: mpsc::Sender<Signal>,
}

#[derive(Debug)]
enum Signal {
    Event(notify::Result<notify::Event>),
    Stop,
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        // A thread that has ended needs no stop.
        drop(self.signals.send(Signal::Stop));
    }
}

impl FileWatch {
    /// Watches what the spec says; `None` when it says nothing.
    pub(crate) fn start(
        spec: &Arc<AppSpec>,
        number: u64,
        news: tokio::sync::mpsc::Sender<FileNews>,
    ) -> Option<Self> {
        let watch = spec.watch.as_ref()?;
        let cwd = Path::new(&spec.cwd);
        let roots = match watch.paths.is_empty() {
            true => vec![cwd.to_owned()],
            false => watch.paths.iter().map(|path| normal(&cwd.join(path))).collect(),
        };
        let (signals, received) = mpsc::channel();
        let events = signals.clone();
        let ignore = Ignore::of(spec);
        let failed = news.clone();
        let run = move || {
            let tell = |what| news.blocking_send(FileNews { number, what }).is_ok();
            let watcher = notify::recommended_watcher(move |event| {
                // Nobody listens any more: the watcher is about to be dropped.
                drop(events.send(Signal::Event(event)));
            });
            match watcher {
                Ok(watcher) => Thread { watcher, roots, ignore }.run(&received, tell),
                Err(error) => drop(tell(Seen::Failed(explain(&error)))),
            }
        };
        let builder = std::thread::Builder::new().name("watch".to_owned()).stack_size(STACK_BYTES);
        if let Err(error) = builder.spawn(run) {
            let what = Seen::Failed(format!("no thread can be started: {error}"));
            drop(failed.try_send(FileNews { number, what }));
        }
        Some(Self { number, signals })
    }

    /// What it was started with.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

struct Thread {
    watcher: RecommendedWatcher,
    roots: Vec<PathBuf>,
    ignore: Ignore,
}

impl Thread {
    fn run(mut self, received: &mpsc::Receiver<Signal>, tell: impl Fn(Seen) -> bool) {
        let mut failure = None;
        for root in self.roots.clone() {
            let watched = match root.is_dir() {
                true => self.add(&root),
                // The folder of a file sees also that the file is replaced by another.
                false => root.parent().map_or(Ok(()), |folder| self.add_one(folder)),
            };
            if let Err(error) = watched {
                failure = Some(format!("{}: {error}", root.display()));
                break;
            }
        }
        let told = match failure {
            Some(failure) => tell(Seen::Failed(failure)),
            None => tell(Seen::Watching),
        };
        if !told {
            return;
        }
        while let Ok(Signal::Event(event)) = received.recv() {
            let (changed, failure) = match event {
                Ok(event) => self.look(&event),
                Err(error) => (None, Some(explain(&error))),
            };
            let mut news = failure.map(Seen::Failed).into_iter().chain(changed.map(Seen::Changed));
            if news.any(|news| !tell(news)) {
                return;
            }
        }
    }

    /// What changed, if anything that matters did; new folders are watched from now on.
    fn look(&mut self, event: &notify::Event) -> (Option<String>, Option<String>) {
        if event.need_rescan() {
            return (Some("more files than can be told".to_owned()), None);
        }
        if !matters(event.kind) {
            return (None, None);
        }
        let (mut changed, mut failure) = (None, None);
        for path in &event.paths {
            let Some(root) = self.roots.iter().find(|root| path.starts_with(root)) else { continue };
            if self.ignore.passes_over(path, root) {
                continue;
            }
            if fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
                && let Err(error) = self.add(&path.clone())
            {
                failure = Some(format!("{}: {error}", path.display()));
            }
            changed = Some(path.display().to_string());
        }
        (changed, failure)
    }

    /// Watches a folder and all below.
    fn add(&mut self, top: &Path) -> Result<(), String> {
        let root = self.roots.iter().find(|root| top.starts_with(root)).cloned();
        let root = root.unwrap_or_else(|| top.to_owned());
        let mut open = vec![top.to_owned()];
        while let Some(folder) = open.pop() {
            if folder != root && self.ignore.passes_over(&folder, &root) {
                continue;
            }
            self.add_one(&folder)?;
            // One that vanished meanwhile has nothing below.
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            let folders = entries.filter_map(Result::ok);
            let folders = folders.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            open.extend(folders.map(|entry| entry.path()));
        }
        Ok(())
    }

    fn add_one(&mut self, folder: &Path) -> Result<(), String> {
        match self.watcher.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => Ok(()),
            Err(error) if matches!(error.kind, ErrorKind::PathNotFound) => Ok(()),
            Err(error) => Err(explain(&error)),
        }
    }
}

/// Whether a file is another one afterwards: not when it was only looked at, or its mode changed.
fn matters(kind: EventKind) -> bool {
    match kind {
        EventKind::Create(_) | EventKind::Remove(_) | EventKind::Any => true,
        EventKind::Modify(kind) => !matches!(kind, ModifyKind::Metadata(_)),
        EventKind::Access(_) | EventKind::Other => false,
    }
}

/// The kernel has two limits, and names neither.
fn explain(error: &notify::Error) -> String {
    const ENOSPC: i32 = 28;
    const EMFILE: i32 = 24;
    let limit = |name: &str| {
        let path = format!("/proc/sys/fs/inotify/{name}");
        let now = fs::read_to_string(path).unwrap_or_default();
        format!(
            "the kernel's limit of watched folders is reached: raise fs.inotify.{name} (now {}), or watch less",
            now.trim()
        )
    };
    match &error.kind {
        ErrorKind::MaxFilesWatch => limit("max_user_watches"),
        ErrorKind::Io(io) if io.raw_os_error() == Some(ENOSPC) => limit("max_user_watches"),
        ErrorKind::Io(io) if io.raw_os_error() == Some(EMFILE) => limit("max_user_instances"),
        _ => error.to_string(),
    }
}

/// Without `.` and `..`, as the events tell paths.
fn normal(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use muster_supervisor_protocol::Watch;

    use super::*;

    #[tokio::test]
    async fn changes_are_told_in_new_folders_too_and_what_is_passed_over_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("node_modules/left-pad")).unwrap();
        let mut spec = AppSpec::new("a", root.to_str().unwrap(), "a.js");
        spec.watch = Some(Watch::default());
        let (sender, mut news) = tokio::sync::mpsc::channel(16);
        let watch = FileWatch::start(&Arc::new(spec), 7, sender).unwrap();
        let first = news.recv().await.unwrap();
        assert_eq!((first.number, first.what), (7, Seen::Watching));
        fs::write(root.join("node_modules/left-pad/index.js"), "x").unwrap();
        fs::write(root.join(".hidden"), "x").unwrap();
        fs::create_dir(root.join("lib")).unwrap();
        assert_eq!(news.recv().await.unwrap().what, Seen::Changed(root.join("lib").display().to_string()));
        fs::write(root.join("lib/b.js"), "x").unwrap();
        let file = root.join("lib/b.js").display().to_string();
        assert_eq!(news.recv().await.unwrap().what, Seen::Changed(file));
        drop(watch);
        while news.recv().await.is_some() {}
    }

    #[test]
    fn a_limit_of_the_kernel_is_named() {
        let full = notify::Error::io(std::io::Error::from_raw_os_error(24));
        assert!(explain(&full).contains("fs.inotify.max_user_instances (now "), "{}", explain(&full));
        let full = notify::Error::new(ErrorKind::MaxFilesWatch);
        assert!(explain(&full).contains("fs.inotify.max_user_watches"));
        assert_eq!(normal(Path::new("/srv/app/./../lib")), Path::new("/srv/lib"));
    }
}

//! What an agent has on a host: counted before anything is taken away, so that a person knows what they agree to.

use super::Applications;
use crate::config::StateDir;
use crate::identity::IdentityStore;
use crate::install::layout::{COMMANDS, Layout};
use crate::install::units::{AGENT, SUPERVISOR};
use muster_supervisor_protocol::Client;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the supervisor may take to say what runs.
const LIST_PATIENCE: Duration = Duration::from_secs(10);

/// An application under the supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// Its name.
    pub name: String,
    /// Processes that run.
    pub processes: usize,
}

/// Files and what they take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Size {
    files: u64,
    bytes: u64,
}

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// Name of the node and address of its controller, when it has joined.
    pub node: Option<(String, String)>,
    /// Units that are installed.
    pub units: Vec<&'static str>,
    /// What runs.
    pub applications: Vec<Application>,
    builds: usize,
    programs: Size,
    links: usize,
    state_folder: PathBuf,
    state: Size,
    releases: usize,
    released: Size,
    logs: Size,
    runtimes: usize,
}

pub(super) fn commands(layout: &Layout) -> Vec<PathBuf> {
    COMMANDS.iter().map(|name| layout.command(name)).collect()
}

impl Inventory {
    /// Counts.
    pub async fn take(layout: &Layout, state: &StateDir) -> Self {
        let node = IdentityStore::new(state.clone())
            .enrolment()
            .ok()
            .map(|enrolment| (enrolment.node_name.to_string(), enrolment.controller_url));
        let applications = state.applications();
        Self {
            node,
            units: [AGENT, SUPERVISOR].into_iter().filter(|unit| layout.unit(unit).exists()).collect(),
            applications: applications_of(state).await,
            builds: folders(&layout.library()).len(),
            programs: measure(&layout.library()),
            links: commands(layout).iter().filter(|path| path.is_symlink()).count(),
            state_folder: state.root().to_owned(),
            state: measure(state.root()),
            releases: folders(&applications).iter().map(|app| folders(&app.join("releases")).len()).sum(),
            released: measure(&applications),
            logs: measure(&state.logs()),
            runtimes: folders(&state.nodejs()).len(),
        }
    }

    /// Whether there is anything to take away.
    pub fn nothing(&self) -> bool {
        self.units.is_empty()
            && self.programs.files == 0
            && self.links == 0
            && self.state.files == 0
            && self.applications.is_empty()
    }

    /// Processes of all applications.
    pub fn processes(&self) -> usize {
        self.applications.iter().map(|application| application.processes).sum()
    }

    /// What will be done, a line each.
    pub fn describe(&self, choice: Applications) -> Vec<String> {
        let mut lines = Vec::new();
        let who = match &self.node {
            Some((name, controller)) => format!("node {name} of the fleet at {controller}"),
            None => "a member of no fleet".to_owned(),
        };
        lines.push(format!("This host is {who}. Uninstalling will:"));
        let mut line = |verb: &str, what: String| lines.push(format!("  {verb:<7} {what}"));
        let names: Vec<&str> =
            self.applications.iter().map(|application| application.name.as_str()).collect();
        let running = format!(
            "{} with {}{}",
            count(self.applications.len() as u64, "application"),
            count(self.processes() as u64, "process"),
            if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) }
        );
        match choice {
            Applications::Keep => {
                line(
                    "leave",
                    format!(
                        "{running}; their supervisor goes on restarting them, and nothing starts them after a reboot"
                    ),
                );
                let agent = self.units.iter().filter(|unit| **unit == AGENT).count();
                line(
                    "stop",
                    format!("and remove {} of {} ({AGENT})", agent, count(self.units.len() as u64, "unit")),
                );
                line("delete", "the identity of the node and what its controller last told it".to_owned());
                line(
                    "leave",
                    format!(
                        "{} ({}) and {} in {} ({})",
                        count(self.programs.files, "program"),
                        size(self.programs.bytes),
                        count(self.releases as u64, "release"),
                        self.state_folder.display(),
                        size(self.released.bytes),
                    ),
                );
            }
            Applications::Remove => {
                if !self.applications.is_empty() {
                    line("stop", running);
                }
                line(
                    "stop",
                    format!(
                        "and remove {}: {}",
                        count(self.units.len() as u64, "unit"),
                        self.units.join(", ")
                    ),
                );
                line(
                    "delete",
                    format!(
                        "{} in {} and {}, {}",
                        count(self.programs.files, "program"),
                        count(self.builds as u64, "build"),
                        count(self.links as u64, "link"),
                        size(self.programs.bytes)
                    ),
                );
                line(
                    "delete",
                    format!(
                        "{} with {}, {}: {}{} ({}), {} of logs, {} of Node.js",
                        self.state_folder.display(),
                        count(self.state.files, "file"),
                        size(self.state.bytes),
                        if self.node.is_some() { "the identity of the node, " } else { "" },
                        count(self.releases as u64, "release"),
                        size(self.released.bytes),
                        size(self.logs.bytes),
                        count(self.runtimes as u64, "version"),
                    ),
                );
            }
        }
        line("leave", "packages, users, files and whatever else was configured on this host".to_owned());
        lines
    }
}

/// What the supervisor has. When it does not answer nothing is known, and nothing runs under it.
async fn applications_of(state: &StateDir) -> Vec<Application> {
    let list = async {
        let mut client = Client::connect(state.supervisor_socket()).await.ok()?;
        client.list().await.ok()
    };
    let apps = tokio::time::timeout(LIST_PATIENCE, list).await.ok().flatten().unwrap_or_default();
    let running = |app: muster_supervisor_protocol::AppStatus| Application {
        processes: app.instances.iter().filter(|instance| instance.pid.is_some()).count(),
        name: app.name,
    };
    apps.into_iter().map(running).collect()
}

/// Folders in a folder, without those whose names begin with a dot.
fn folders(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
        .collect()
}

/// Everything below a folder. Links are not followed.
fn measure(path: &Path) -> Size {
    let mut size = Size::default();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.filter_map(Result::ok) {
            match entry.metadata() {
                Ok(found) if found.is_dir() => folders.push(entry.path()),
                Ok(found) if found.is_file() => {
                    size.files += 1;
                    size.bytes += found.len();
                }
                // Links and sockets are nothing that a person counts.
                _ => {}
            }
        }
    }
    size
}

fn count(number: u64, what: &str) -> String {
    let plural = match (number, what.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{number} {what}{plural}")
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", bytes / 1_000),
        1_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_words_that_a_person_reads() {
        assert_eq!(count(1, "process"), "1 process");
        assert_eq!(count(2, "process"), "2 processes");
        assert_eq!(count(0, "application"), "0 applications");
        assert_eq!((size(999), size(41_999_999)), ("999 B".to_owned(), "41 MB".to_owned()));
    }

    #[test]
    fn links_are_neither_followed_nor_counted() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a/file"), "12345").unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("everything")).unwrap();
        assert_eq!(measure(dir.path()), Size { files: 1, bytes: 5 });
        assert_eq!(folders(dir.path()), [dir.path().join("a")]);
    }
}

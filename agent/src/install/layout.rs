//! Where an installed agent lies. Each build in a folder of its own, and a link to the one in use:
//!
//! ```text
//! /usr/local/lib/muster/0.1.0-3f2a90c1d4e5/{muster-agent,muster-supervisor,muster-keeper,muster-pm2}
//! /usr/local/lib/muster/current  -> 0.1.0-3f2a90c1d4e5
//! /usr/local/lib/muster/previous -> the one before
//! /usr/local/bin/muster-agent    -> ../lib/muster/current/muster-agent     (and muster-supervisor, muster-pm2)
//! /etc/systemd/system/muster-{agent,supervisor}.service
//! ```
//!
//! So a build is there as a whole or not at all, the four programs always are of one build, and going back is one link.

use std::path::{Path, PathBuf};

/// What is installed.
pub const PROGRAMS: [&str; 4] = ["muster-agent", "muster-supervisor", "muster-keeper", "muster-pm2"];

/// Those that people call.
pub(crate) const COMMANDS: [&str; 3] = ["muster-agent", "muster-supervisor", "muster-pm2"];

/// The library folder, as units name it.
pub(super) const LIBRARY: &str = "/usr/local/lib/muster";

/// Paths below a root, which is `/` except in tests.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Of this machine.
    pub fn system() -> Self {
        Self::below("/")
    }

    /// Of a machine whose root folder this is.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// All builds.
    pub fn library(&self) -> PathBuf {
        self.at(LIBRARY)
    }

    /// The link to the build in use.
    pub fn current(&self) -> PathBuf {
        self.library().join("current")
    }

    /// The link to the build before it.
    pub fn previous(&self) -> PathBuf {
        self.library().join("previous")
    }

    /// A link for people.
    pub fn command(&self, name: &str) -> PathBuf {
        self.at("/usr/local/bin").join(name)
    }

    /// A unit of systemd.
    pub fn unit(&self, name: &str) -> PathBuf {
        self.at("/etc/systemd/system").join(name)
    }

    /// Whether systemd runs this machine.
    pub fn systemd_runs(&self) -> bool {
        self.at("/run/systemd/system").is_dir()
    }

    /// The name of the build that a link leads to.
    pub fn target(link: &Path) -> Option<String> {
        let target = std::fs::read_link(link).ok()?;
        let name = target.file_name()?.to_str()?.to_owned();
        // Only what we made ourselves: a plain name.
        (target.components().count() == 1).then_some(name)
    }
}

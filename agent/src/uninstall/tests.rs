//! Uninstalling below a folder that stands for `/`.

use super::*;
use crate::AgentConfig;
use crate::install::systemd::UnitState;
use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

#[derive(Default)]
struct Noted(RefCell<Vec<String>>);

impl Units for Noted {
    fn ask(&self, words: &[&str]) -> Result<(), UnitError> {
        self.0.borrow_mut().push(words.join(" "));
        Ok(())
    }

    fn show(&self, _: &str) -> Result<UnitState, UnitError> {
        Ok(UnitState::default())
    }
}

struct Machine {
    root: TempDir,
    layout: Layout,
    state: StateDir,
    units: Noted,
}

impl Machine {
    /// With an agent, and a command of somebody else.
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::below(root.path());
        let state = AgentConfig::new(root.path().join("var/lib/muster")).state_dir;
        let put = |path: PathBuf| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "12345").unwrap();
        };
        put(layout.library().join("0.1.0-abc/muster-agent"));
        put(layout.library().join("0.1.0-abc/muster-keeper"));
        put(layout.unit(AGENT));
        put(layout.unit(SUPERVISOR));
        put(state.enrolment());
        put(state.identity().join("node.key"));
        put(state.ledger().join("current"));
        put(state.applications().join("shop/releases/1/server.js"));
        put(state.applications().join("shop/releases/2/server.js"));
        put(state.logs().join("shop/0-out.log"));
        put(state.supervisor().join("supervisor.log"));
        symlink("0.1.0-abc", layout.current()).unwrap();
        put(layout.command("muster-pm2"));
        symlink("../lib/muster/current/muster-agent", layout.command("muster-agent")).unwrap();
        Self { root, layout, state, units: Noted::default() }
    }

    fn uninstaller(&self) -> Uninstaller<'_> {
        Uninstaller { layout: &self.layout, state: &self.state, units: &self.units }
    }

    fn left(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut folders = vec![self.root.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    let path = entry.path();
                    files.push(path.strip_prefix(self.root.path()).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        files.sort();
        files
    }
}

#[tokio::test]
async fn removing_everything_leaves_what_others_put_there() {
    let machine = Machine::new();
    assert!(machine.uninstaller().uninstall(Applications::Remove).await.unwrap().is_empty());
    assert_eq!(machine.left(), ["usr/local/bin/muster-pm2"]);
    assert!(!machine.state.root().exists() && !machine.layout.library().exists());
    assert_eq!(
        *machine.units.0.borrow(),
        [
            "disable --quiet --now muster-agent.service",
            "disable --quiet --now muster-supervisor.service",
            "daemon-reload",
            "stop muster.slice"
        ]
    );
    // Again: there is nothing to do, and that is fine.
    assert!(machine.uninstaller().uninstall(Applications::Remove).await.unwrap().is_empty());
}

#[tokio::test]
async fn keeping_the_applications_takes_the_identity_and_leaves_what_they_need() {
    let machine = Machine::new();
    assert!(machine.uninstaller().uninstall(Applications::Keep).await.unwrap().is_empty());
    let left = machine.left();
    for gone in [
        "etc/systemd/system/muster-agent.service",
        "var/lib/muster/agent.json",
        "var/lib/muster/identity/node.key",
    ] {
        assert!(!left.iter().any(|file| file == gone), "{left:?}");
    }
    assert!(!left.iter().any(|file| file.contains("/ledger/")), "{left:?}");
    for kept in [
        "etc/systemd/system/muster-supervisor.service",
        "usr/local/lib/muster/0.1.0-abc/muster-keeper",
        "var/lib/muster/applications/shop/releases/2/server.js",
        "var/lib/muster/logs/shop/0-out.log",
    ] {
        assert!(left.iter().any(|file| file == kept), "{left:?}");
    }
    assert_eq!(*machine.units.0.borrow(), ["disable --quiet --now muster-agent.service", "daemon-reload"]);
}

#[tokio::test]
async fn a_folder_that_is_not_ours_is_not_deleted_and_a_stray_agent_stops_everything() {
    let machine = Machine::new();
    let other = AgentConfig::new(machine.root.path().join("home")).state_dir;
    fs::create_dir_all(other.root().join("letters")).unwrap();
    let uninstaller = Uninstaller { state: &other, ..machine.uninstaller() };
    let error = uninstaller.uninstall(Applications::Remove).await.unwrap_err();
    assert!(matches!(error, UninstallError::NotOurs(_)), "{error}");
    assert!(other.root().join("letters").is_dir());

    let _stray = crate::lock::AgentLock::take(&machine.state.lock()).unwrap();
    let error = machine.uninstaller().uninstall(Applications::Remove).await.unwrap_err();
    assert!(matches!(error, UninstallError::Stray(_)), "{error}");
    assert!(machine.state.enrolment().exists() && machine.units.0.borrow().is_empty());
}

#[tokio::test]
async fn what_will_be_done_is_said_in_numbers() {
    let machine = Machine::new();
    let mut inventory = Inventory::take(&machine.layout, &machine.state).await;
    assert!(!inventory.nothing());
    let text = inventory.describe(Applications::Remove).join("\n");
    for part in
        ["2 units", "2 programs in 1 build and 1 link, 10 B", "with 7 files, 35 B", "2 releases (10 B)"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    inventory.applications = vec![
        Application { name: "shop".into(), processes: 2 },
        Application { name: "api".into(), processes: 1 },
    ];
    let text = inventory.describe(Applications::Keep).join("\n");
    assert!(text.contains("2 applications with 3 processes: shop, api"), "{text}");
    assert!(text.contains("remove 1 of 2 units"), "{text}");
    let empty = tempfile::tempdir().unwrap();
    let state = AgentConfig::new(empty.path().join("state")).state_dir;
    assert!(Inventory::take(&Layout::below(empty.path()), &state).await.nothing());
}

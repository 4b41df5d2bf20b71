//! Installing below a folder that stands for `/`, with a systemd that notes what it is asked.

use super::*;
use crate::AgentConfig;
use std::cell::RefCell;
use std::fs;
use systemd::UnitState;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixListener;

const PID: u32 = 4711;

/// A machine on which an agent is installed.
struct Machine {
    root: TempDir,
    layout: Layout,
    state: StateDir,
    asked: RefCell<Vec<String>>,
    /// Builds whose agent does not start.
    broken: RefCell<Vec<String>>,
    /// Builds whose agent does not find its controller.
    lost: RefCell<Vec<String>>,
    running: RefCell<Option<String>>,
}

impl Units for Machine {
    fn ask(&self, words: &[&str]) -> Result<(), UnitError> {
        let command = words.join(" ");
        self.asked.borrow_mut().push(command.clone());
        match words {
            ["restart", AGENT] => {
                let build = Layout::target(&self.layout.current()).unwrap();
                if self.broken.borrow().contains(&build) {
                    *self.running.borrow_mut() = None;
                    return Err(UnitError { command, reason: "Job for muster-agent.service failed".into() });
                }
                *self.running.borrow_mut() = Some(build);
            }
            ["stop", AGENT] => *self.running.borrow_mut() = None,
            _ => {}
        }
        Ok(())
    }

    fn program(&self, pid: u32) -> Option<PathBuf> {
        let build = self.running.borrow().clone().filter(|_| pid == 1)?;
        Some(self.layout.library().join(build).join("muster-agent"))
    }

    fn show(&self, unit: &str) -> Result<UnitState, UnitError> {
        if unit == SUPERVISOR {
            return Ok(UnitState { active: "active".into(), main_pid: PID, status: String::new() });
        }
        Ok(match self.running.borrow().as_ref() {
            None => UnitState { active: "inactive".into(), ..UnitState::default() },
            Some(build) => {
                let lost = self.lost.borrow().contains(build);
                let status =
                    if lost { "not connected: no such fleet" } else { "connected to https://a:8444" };
                UnitState { active: "active".into(), main_pid: 1, status: status.into() }
            }
        })
    }
}

impl Machine {
    /// With systemd, and a supervisor that answers.
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("run/systemd/system")).unwrap();
        fs::create_dir_all(root.path().join("etc/systemd/system")).unwrap();
        let state = AgentConfig::new(root.path().join("state")).state_dir;
        fs::create_dir_all(state.supervisor()).unwrap();
        let listener = UnixListener::bind(state.supervisor_socket()).unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (reader, mut writer) = stream.into_split();
                let mut lines = BufReader::new(reader).lines();
                while let Ok(Some(_)) = lines.next_line().await {
                    let pong = muster_supervisor_protocol::Pong {
                        version: "0".into(),
                        pid: PID,
                        started_at: chrono::Utc::now(),
                        upgrades: 0,
                    };
                    let reply = muster_supervisor_protocol::Reply::Pong(pong);
                    let line = format!("{}\n", serde_json::to_string(&reply).unwrap());
                    writer.write_all(line.as_bytes()).await.unwrap();
                }
            }
        });
        Self {
            layout: Layout::below(root.path()),
            state,
            root,
            asked: RefCell::default(),
            broken: RefCell::default(),
            lost: RefCell::default(),
            running: RefCell::default(),
        }
    }

    /// Four programs, and the name that their build has.
    fn build(&self, content: &str) -> (PathBuf, String) {
        let folder = self.root.path().join("downloads").join(content);
        fs::create_dir_all(&folder).unwrap();
        for name in layout::PROGRAMS {
            fs::write(folder.join(name), format!("{name} {content}")).unwrap();
        }
        let name = Build::read(&folder).unwrap().name();
        (folder, name)
    }

    async fn install(&self, folder: &Path) -> Result<Installed, InstallError> {
        self.asked.borrow_mut().clear();
        let patience = Duration::from_millis(300);
        let installer = Installer { layout: &self.layout, state: &self.state, units: self, patience };
        installer.install(folder, false).await
    }

    fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }

    fn used(&self, program: &str) -> String {
        fs::read_to_string(self.layout.command(program)).unwrap()
    }

    fn builds(&self) -> Vec<String> {
        let folders = fs::read_dir(self.layout.library()).unwrap().map(Result::unwrap);
        let mut names: Vec<String> = folders
            .filter(|entry| entry.file_type().unwrap().is_dir())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn a_first_installation_is_complete_and_a_second_changes_nothing() {
    let machine = Machine::new().await;
    let (folder, name) = machine.build("one");
    let installed = machine.install(&folder).await.unwrap();
    assert_eq!(installed, Installed { build: name.clone(), changed: true, connected: true });
    assert!(name.starts_with(concat!(env!("CARGO_PKG_VERSION"), "-")), "{name}");
    assert_eq!(
        machine.asked(),
        [
            "daemon-reload",
            "enable --quiet muster-supervisor.service muster-agent.service",
            "restart muster-supervisor.service",
            "restart muster-agent.service",
        ]
    );
    assert_eq!(machine.used("muster-agent"), "muster-agent one");
    for program in layout::PROGRAMS {
        let mode = fs::metadata(machine.layout.current().join(program)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755, "{program}");
    }
    assert!(!machine.layout.command("muster-keeper").exists(), "nobody calls the keeper");
    for unit in [AGENT, SUPERVISOR] {
        let path = machine.layout.unit(unit);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
        let state = machine.state.root().to_str().unwrap();
        assert!(fs::read_to_string(&path).unwrap().contains(state), "{unit}");
    }
    let again = machine.install(&folder).await.unwrap();
    assert_eq!(again, Installed { changed: false, ..installed });
    assert_eq!(machine.asked(), ["enable --quiet muster-supervisor.service muster-agent.service"]);
}

#[tokio::test]
async fn another_build_takes_over_and_one_before_it_is_kept() {
    let machine = Machine::new().await;
    let builds: Vec<(PathBuf, String)> = ["one", "two", "three"].map(|each| machine.build(each)).into();
    for (folder, _) in &builds {
        // As a broken-off download leaves it, and one that is under way.
        fs::create_dir_all(machine.layout.library().join(".placing-99")).unwrap();
        fs::create_dir_all(machine.layout.library().join(".incoming.abc")).unwrap();
        let abandoned = machine.layout.library().join(".incoming.def");
        fs::create_dir_all(&abandoned).unwrap();
        let yesterday = std::time::SystemTime::now() - Duration::from_secs(24 * 3600);
        fs::File::open(&abandoned).unwrap().set_modified(yesterday).unwrap();
        machine.install(folder).await.unwrap();
    }
    // The supervisor is replaced in place by the agent, and must not be restarted.
    assert_eq!(machine.asked()[1..], ["restart muster-agent.service"]);
    assert_eq!(machine.used("muster-supervisor"), "muster-supervisor three");
    let mut kept = vec![".incoming.abc".to_owned(), builds[1].1.clone(), builds[2].1.clone()];
    kept.sort();
    assert_eq!(machine.builds(), kept);
    assert_eq!(Layout::target(&machine.layout.previous()), Some(builds[1].1.clone()));
}

#[tokio::test]
async fn a_build_whose_agent_does_not_come_back_is_taken_out_of_use() {
    let machine = Machine::new().await;
    let (one, two, three) = (machine.build("one"), machine.build("two"), machine.build("three"));
    machine.install(&one.0).await.unwrap();
    // As a later version would have written them.
    let unit = machine.layout.unit(AGENT);
    let before = format!("{}\n# other\n", units::MARK);
    fs::write(&unit, &before).unwrap();
    machine.broken.borrow_mut().push(two.1.clone());
    machine.lost.borrow_mut().push(three.1.clone());
    for (folder, what) in [(two.0, "does not start"), (three.0, "no such fleet")] {
        let error = machine.install(&folder).await.unwrap_err();
        assert!(matches!(&error, InstallError::Reverted { former, .. } if *former == one.1), "{error}");
        assert!(error.to_string().contains(what), "{error}");
        assert_eq!(machine.used("muster-agent"), "muster-agent one");
        assert_eq!(*machine.running.borrow(), Some(one.1.clone()));
        assert_eq!(fs::read_to_string(&unit).unwrap(), before);
    }
}

#[tokio::test]
async fn what_was_fetched_into_the_library_is_not_copied_again() {
    use std::os::unix::fs::MetadataExt as _;
    let machine = Machine::new().await;
    let (folder, name) = machine.build("one");
    let incoming = machine.layout.library().join(".incoming.abc");
    fs::create_dir_all(machine.layout.library()).unwrap();
    fs::rename(folder, &incoming).unwrap();
    machine.install(&incoming).await.unwrap();
    let inode = |path: &Path| fs::metadata(path.join("muster-agent")).unwrap().ino();
    assert_eq!(inode(&incoming), inode(&machine.layout.library().join(name)));
}

#[tokio::test]
async fn a_first_agent_that_does_not_connect_yet_is_installed_all_the_same() {
    let machine = Machine::new().await;
    let (folder, name) = machine.build("one");
    machine.lost.borrow_mut().push(name.clone());
    let installed = machine.install(&folder).await.unwrap();
    assert_eq!(installed, Installed { build: name, changed: true, connected: false });
}

#[tokio::test]
async fn what_was_damaged_is_mended_and_what_is_somebodys_own_is_kept() {
    let machine = Machine::new().await;
    let (folder, name) = machine.build("one");
    let unit = machine.layout.unit(AGENT);
    fs::write(&unit, "[Service]\nExecStart=/opt/muster-agent run\n").unwrap();
    machine.install(&folder).await.unwrap();
    assert!(
        fs::read_to_string(unit.with_extension("service.replaced")).unwrap().contains("/opt/muster-agent")
    );
    fs::write(machine.layout.library().join(&name).join("muster-keeper"), "damaged").unwrap();
    fs::remove_file(machine.layout.command("muster-pm2")).unwrap();
    fs::write(machine.layout.unit(SUPERVISOR), format!("{}\nedited", units::MARK)).unwrap();
    let installed = machine.install(&folder).await.unwrap();
    assert!(installed.changed);
    assert_eq!(
        fs::read_to_string(machine.layout.current().join("muster-keeper")).unwrap(),
        "muster-keeper one"
    );
    assert_eq!(machine.used("muster-pm2"), "muster-pm2 one");
    assert!(machine.asked().contains(&"restart muster-supervisor.service".to_owned()));
    assert!(!machine.asked().contains(&"restart muster-agent.service".to_owned()), "{:?}", machine.asked());
}

#[tokio::test]
async fn what_cannot_work_is_refused_before_anything_is_touched() {
    let machine = Machine::new().await;
    let (folder, _) = machine.build("one");
    fs::remove_file(folder.join("muster-keeper")).unwrap();
    let error = machine.install(&folder).await.unwrap_err();
    assert!(matches!(error, InstallError::Place(PlaceError::Missing { .. })), "{error}");

    let (folder, _) = machine.build("two");
    let stray = crate::lock::AgentLock::take(&machine.state.lock()).unwrap();
    let error = machine.install(&folder).await.unwrap_err();
    assert!(matches!(error, InstallError::Stray(_)), "{error}");
    drop(stray);

    fs::remove_dir(machine.root.path().join("run/systemd/system")).unwrap();
    let error = machine.install(&folder).await.unwrap_err();
    assert!(matches!(error, InstallError::NoSystemd), "{error}");
    assert!(error.to_string().contains("--rootless"), "{error}");
    assert!(!machine.layout.library().exists() && machine.asked().is_empty());
}

#[tokio::test]
async fn an_upgrade_that_was_broken_off_before_the_restart_is_ended_by_the_next_one() {
    let machine = Machine::new().await;
    let (one, two) = (machine.build("one"), machine.build("two"));
    machine.install(&one.0).await.unwrap();
    // Everything but the restart.
    Build::read(&two.0).unwrap().place(&machine.layout).unwrap();
    release::switch(&machine.layout, &two.1).unwrap();
    assert_eq!(*machine.running.borrow(), Some(one.1));
    let installed = machine.install(&two.0).await.unwrap();
    assert!(installed.changed);
    assert_eq!(*machine.running.borrow(), Some(two.1));
}

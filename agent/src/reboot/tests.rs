use super::*;
use crate::config::StateDir;
use chrono::{DateTime, Utc};
use muster_domain::resource::{OsUpdates, ResourceKey, UpdateScope};
use muster_platform::{FakeHost, LockHolder};
use std::sync::Mutex;

/// Notes what a restart asks for.
#[derive(Default)]
struct Shell {
    refuse: Mutex<Option<String>>,
    seen: Mutex<Vec<String>>,
}

impl Shell {
    fn note(&self, text: impl Into<String>) {
        self.seen.lock().unwrap().push(text.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

impl RebootShell for Shell {
    fn take_turn(&self, reason: String) -> BoxFuture<'_, Result<(), String>> {
        self.note(format!("asks: {reason}"));
        let answer = self.refuse.lock().unwrap().clone().map_or(Ok(()), Err);
        Box::pin(async move { answer })
    }

    fn give_turn_back(&self, outcome: TurnOutcome) -> BoxFuture<'_, ()> {
        self.note(match outcome {
            TurnOutcome::Done => "gives back",
            TurnOutcome::Failed { .. } => "failed",
        });
        Box::pin(async {})
    }

    fn tell(&self, kind: &'static str, _severity: Severity, _message: String) {
        self.note(kind);
    }
}

/// Sunday, 4 January 2026.
fn run(time: &str, converged: bool) -> AfterRun {
    let now: DateTime<Utc> = format!("2026-01-04T{time}:00Z").parse().unwrap();
    AfterRun { now, window: Some(Window::parse("Sun 03:00-05:00 Europe/Berlin").unwrap()), converged }
}

fn asking() -> (Arc<FakeHost>, Arc<dyn Host>) {
    let fake = Arc::new(FakeHost::default());
    fake.set_boot(|boot| boot.requested = Some(vec!["libc6".into()]));
    (fake.clone(), fake)
}

#[tokio::test]
async fn a_node_restarts_once_in_its_window_and_is_told_about() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::new(dir.path());
    let ((fake, host), shell) = (asking(), Shell::default());
    let mut reboots = Reboots::load(&state);
    // Berlin is an hour ahead.
    assert_eq!(reboots.after_run(&host, run("04:30", true), &shell).await.as_deref(), Some("its window"));
    assert!(shell.take().is_empty());
    assert_eq!(reboots.after_run(&host, run("02:00", true), &shell).await, None);
    assert_eq!(shell.take(), ["asks: upgraded: libc6", "node.rebooting"]);
    assert_eq!(fake.boots(), 2);
    // The agent starts with the host, and finds its notes.
    drop(reboots);
    let mut reboots = Reboots::load(&state);
    assert!(reboots.keeps_turn());
    reboots.after_run(&host, run("02:05", false), &shell).await;
    assert_eq!(shell.take(), ["node.rebooted"]);
    assert!(reboots.keeps_turn());
    reboots.after_run(&host, run("02:06", true), &shell).await;
    assert_eq!(shell.take(), ["gives back"]);
    assert!(!reboots.keeps_turn());
}

#[tokio::test]
async fn a_node_that_is_not_well_again_after_its_restart_says_so_instead_of_keeping_the_turn() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::new(dir.path());
    let ((_, host), shell) = (asking(), Shell::default());
    Reboots::load(&state).after_run(&host, run("02:00", true), &shell).await;
    let mut reboots = Reboots::load(&state);
    reboots.after_run(&host, run("02:05", false), &shell).await;
    reboots.after_run(&host, run("02:19", false), &shell).await;
    assert!(reboots.keeps_turn());
    shell.take();
    reboots.after_run(&host, run("02:20", false), &shell).await;
    assert_eq!(shell.take(), ["failed"]);
    assert!(!reboots.keeps_turn());
}

#[tokio::test]
async fn a_restart_that_does_not_help_happens_once_in_a_window() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::new(dir.path());
    let ((fake, host), shell) = (asking(), Shell::default());
    fake.set_boot(|boot| boot.request_stays = true);
    for minute in 10..40 {
        // Killed and started again at every look.
        Reboots::load(&state).after_run(&host, run(&format!("02:{minute}"), true), &shell).await;
    }
    assert_eq!(fake.boots(), 2);
    let waits = Reboots::load(&state).after_run(&host, run("02:50", true), &shell).await;
    assert!(waits.is_some_and(|text| text.contains("that did not help")));
}

#[tokio::test]
async fn a_restart_waits_for_the_turn_and_for_apt() {
    let dir = tempfile::tempdir().unwrap();
    let ((fake, host), shell) = (asking(), Shell::default());
    *shell.refuse.lock().unwrap() = Some("app-2 restarts".into());
    let mut reboots = Reboots::load(&StateDir::new(dir.path()));
    let waits = reboots.after_run(&host, run("02:00", true), &shell).await;
    assert_eq!(waits.as_deref(), Some("its turn: app-2 restarts"));
    *shell.refuse.lock().unwrap() = None;
    let holder = LockHolder { pid: Some(7), command: "unattended-upgrade".into() };
    fake.set_packages(|packages| packages.lock = Some(holder));
    let waits = reboots.after_run(&host, run("02:00", true), &shell).await;
    assert_eq!(waits.as_deref(), Some("the end of unattended-upgrade (process 7)"));
    assert_eq!(fake.boots(), 1);
}

#[tokio::test]
async fn a_restart_that_a_person_wants_happens_once_in_no_window() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::new(dir.path());
    let fake = Arc::new(FakeHost::default());
    let (host, shell): (Arc<dyn Host>, _) = (fake.clone(), Shell::default());
    let wishes = Wishes::of(&state);
    let id = uuid::Uuid::from_u128(1);
    let told = |now| {
        let (request_id, reason) = (id.as_bytes().to_vec(), "amara: a new kernel".into());
        Wish::told(muster_proto::v1::RebootRequest { request_id, now, reason })
    };
    assert!(wishes.heard(told(false)).unwrap());
    *shell.refuse.lock().unwrap() = Some("app-2 restarts".into());
    let without_window = || AfterRun { window: None, ..run("12:00", true) };
    let waits = Reboots::load(&state).after_run(&host, without_window(), &shell).await;
    assert_eq!(waits.as_deref(), Some("its turn: app-2 restarts"));
    *shell.refuse.lock().unwrap() = None;
    shell.take();
    Reboots::load(&state).after_run(&host, without_window(), &shell).await;
    assert_eq!(shell.take(), ["asks: amara: a new kernel", "node.rebooting"]);
    assert_eq!(fake.boots(), 2);
    assert_eq!(wishes.done(&host.boot_id().unwrap()), Some(id));
    for _ in 0..3 {
        assert!(!wishes.heard(told(false)).unwrap(), "the controller has not heard of it yet");
        Reboots::load(&state).after_run(&host, without_window(), &shell).await;
    }
    assert_eq!(shell.take(), ["node.rebooted", "gives back"]);
    assert_eq!(fake.boots(), 2);
}

#[tokio::test]
async fn what_cannot_be_noted_is_not_done() {
    let dir = tempfile::tempdir().unwrap();
    let ((fake, host), shell) = (asking(), Shell::default());
    let mut reboots = Reboots::load(&StateDir::new(dir.path().join("is/not/there")));
    let waits = reboots.after_run(&host, run("02:00", true), &shell).await;
    assert!(waits.is_some_and(|text| text.contains("cannot be written")));
    assert_eq!((fake.boots(), shell.take()), (1, vec!["asks: upgraded: libc6".into(), "gives back".into()]));
}

#[tokio::test]
async fn a_host_that_does_not_follow_is_told_about_and_notes_that_are_damaged_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::new(dir.path());
    let ((fake, host), shell) = (asking(), Shell::default());
    fake.set_boot(|boot| boot.stuck = true);
    let mut reboots = Reboots::load(&state);
    reboots.after_run(&host, run("02:00", true), &shell).await;
    reboots.after_run(&host, run("02:20", true), &shell).await;
    assert_eq!(shell.take()[2..], ["node.reboot_failed", "gives back"]);
    std::fs::write(state.root().join("reboot.json"), "{").unwrap();
    assert!(!Reboots::load(&state).keeps_turn());
}

#[test]
fn only_what_is_enforced_restarts_a_node() {
    let window_text = "Sun 03:00-05:00";
    let updates = OsUpdates { scope: UpdateScope::All, reboot: Window::parse(window_text).ok() };
    let key = ResourceKey::new("os_updates", "os");
    let mut resource = Resource::new(key, vec![], DesiredState::OsUpdates(updates));
    assert_eq!(
        window(std::slice::from_ref(&resource)).map(ToString::to_string).as_deref(),
        Some(window_text)
    );
    resource.mode = Mode::Report;
    assert_eq!(window(&[resource]), None);
}

#[test]
fn a_newer_kernel_and_upgrades_ask_for_a_restart_where_the_agent_is_root() {
    let fake = FakeHost::default();
    let required = |host: &FakeHost| {
        let state = StateDir::new("/nowhere");
        required(Look { host, state: &state, assigned: &[] })
    };
    assert_eq!(required(&fake), None);
    fake.set_boot(|boot| boot.kernels.push("6.0.1-fake".into()));
    assert_eq!(
        required(&fake).as_deref(),
        Some("the kernel 6.0.1-fake is installed and 6.0.0-fake is running")
    );
    assert_eq!(required(&fake.unprivileged()), None);
}

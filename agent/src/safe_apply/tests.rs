use super::*;
use muster_domain::resource::{DesiredState, File, Firewall, FirewallPolicy};
use muster_platform::{CommandOutput, FakeHost, Ownership, WriteFile};
use std::path::Path;

const PATH: &str = "/etc/netplan/01.yaml";

/// A controller that answers when it is told to.
#[derive(Default)]
struct Controller(AtomicBool);

impl Reach for Controller {
    fn reach(&self) -> BoxFuture<'_, Result<(), String>> {
        let answers = self.0.load(Ordering::Relaxed);
        Box::pin(async move { if answers { Ok(()) } else { Err("no route to host".to_owned()) } })
    }
}

struct World {
    host: Arc<FakeHost>,
    controller: Arc<Controller>,
    state: StateDir,
    safe: SafeApply,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self::with_window(Duration::from_millis(300))
    }

    fn with_window(window: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = Arc::new(FakeHost::default());
        let controller = Arc::new(Controller(AtomicBool::new(true)));
        let state = StateDir::new(folder.path());
        let safe = Self::agent(&host, &controller, &state).with_window(window);
        host.tamper(PATH, "old");
        host.set_program("netplan", CommandOutput { code: Some(0), ..CommandOutput::default() });
        Self { host, controller, state, safe, _folder: folder }
    }

    /// An agent that was just started.
    fn agent(host: &Arc<FakeHost>, controller: &Arc<Controller>, state: &StateDir) -> SafeApply {
        SafeApply::new(host.clone(), state.clone(), controller.clone(), Clock::system())
            .with_window(Duration::from_millis(300))
            .with_program("/usr/bin/muster-agent".into())
    }

    fn answers(&self, answers: bool) {
        self.controller.0.store(answers, Ordering::Relaxed);
    }

    async fn begin(&self, corrective: bool) -> Result<Armed, NotBegun> {
        let resource = netplan("new");
        self.safe.begin(&[Change { resource: &resource, digest: digest(1), corrective }]).await
    }

    fn apply(&self) {
        let ownership = Ownership::default();
        let file = WriteFile { path: Path::new(PATH), content: b"new", mode: 0o600, ownership };
        self.host.write(&file).unwrap();
    }

    fn content(&self) -> Vec<u8> {
        self.host.read(Path::new(PATH), 100).unwrap()
    }

    fn timer(&self) -> String {
        let timers = self.host.timers();
        assert_eq!(timers.len(), 1, "{timers:?}");
        let (_, command) = &timers[0];
        assert_eq!(command[..2], ["/usr/bin/muster-agent", "revert"]);
        command[2].clone()
    }

    /// What the timer does.
    fn ring(&self, id: &str) -> Result<Reversion, RevertError> {
        revert(self.host.as_ref(), &self.state, Some(id), "reverted: the timer rang", 5)
    }
}

fn digest(n: u8) -> Digest {
    Digest::from_bytes([n; 32])
}

fn netplan(content: &str) -> Resource {
    let file = File {
        path: PATH.into(),
        content: content.into(),
        mode: 0o600,
        owner: None,
        group: None,
        sensitive: false,
        validate: None,
    };
    Resource::new(key(), vec![], DesiredState::File(file))
}

fn key() -> ResourceKey {
    ResourceKey::new("file", PATH)
}

#[tokio::test]
async fn what_the_controller_is_reached_with_stays() {
    let world = World::new();
    let armed = world.begin(false).await.unwrap();
    world.timer();
    world.apply();
    assert_eq!(armed.finish().await, Proof::Confirmed);
    assert_eq!((world.content(), world.host.timers()), (b"new".to_vec(), vec![]));
    assert_eq!(world.safe.recover().await, None);
    assert_eq!(world.safe.held_back(&key(), |_| Some(digest(1))), None);
    world.begin(false).await.expect("the next change may begin");
}

#[tokio::test]
async fn what_cuts_the_node_off_is_put_back_and_not_tried_again_until_it_is_another() {
    let world = World::new();
    let armed = world.begin(false).await.unwrap();
    world.apply();
    world.answers(false);
    let Proof::Reverted(reason) = armed.finish().await else { panic!("it was taken") };
    assert!(
        reason.contains("could not reach the controller") && reason.contains("no route to host"),
        "{reason}"
    );
    assert_eq!((world.content(), world.host.timers()), (b"old".to_vec(), vec![]));
    let ran: Vec<_> = world.host.commands().into_iter().map(|c| c.program.display().to_string()).collect();
    assert_eq!(ran, ["netplan"]);

    assert_eq!(world.safe.untold().unwrap().len(), 1);
    assert_eq!(world.safe.untold().unwrap().len(), 0);
    world.answers(true);
    let same = |_: &ResourceKey| Some(digest(1));
    assert_eq!(world.safe.held_back(&key(), same), Some(reason));
    assert_eq!(world.safe.held_back(&key(), |_| Some(digest(2))), None);
    assert_eq!(world.safe.held_back(&ResourceKey::new("file", "/etc/motd"), same), None);
    world.safe.forgive().unwrap();
    assert_eq!(world.safe.held_back(&key(), same), None);
}

#[tokio::test]
async fn a_file_that_was_not_there_is_gone_again_and_a_link_is_a_link() {
    let world = World::new();
    world.host.tamper_delete(PATH);
    world.host.make_symlink(Path::new("/etc/hosts"), "/run/hosts").unwrap();
    let hosts = Resource::new(
        ResourceKey::new("hosts", "hosts"),
        vec![],
        DesiredState::Hosts(muster_domain::resource::Hosts { entries: Vec::new() }),
    );
    let new = netplan("new");
    let changes = [&new, &hosts].map(|resource| Change { resource, digest: digest(1), corrective: false });
    let armed = world.safe.begin(&changes).await.unwrap();
    world.apply();
    world.host.tamper("/etc/hosts", "127.0.0.1 localhost");
    world.answers(false);
    assert!(matches!(armed.finish().await, Proof::Reverted(_)));
    assert_eq!(world.host.stat(Path::new(PATH)).unwrap(), None);
    let link = world.host.stat(Path::new("/etc/hosts")).unwrap().unwrap();
    assert_eq!(link.kind, muster_platform::FileKind::Symlink { target: "/run/hosts".into() });
}

#[tokio::test]
async fn without_a_controller_nothing_new_is_changed() {
    let world = World::new();
    world.answers(false);
    let Err(NotBegun::Waiting(reason)) = world.begin(false).await else { panic!("it began") };
    assert!(reason.starts_with("the controller cannot be reached"), "{reason}");
    assert_eq!(world.host.timers(), []);
}

#[tokio::test]
async fn a_node_that_somebody_cut_off_is_healed_once() {
    let world = World::new();
    world.answers(false);
    let armed = world.begin(true).await.unwrap();
    world.apply();
    assert!(matches!(armed.finish().await, Proof::StillCutOff(_)));
    assert_eq!(world.content(), b"old");
    assert!(matches!(world.begin(true).await, Err(NotBegun::Waiting(_))), "it flaps");
    // Not held against it: nobody knows what it would have done.
    assert_eq!(world.safe.held_back(&key(), |_| Some(digest(1))), None);
    world.answers(true);
    let armed = world.begin(true).await.unwrap();
    world.apply();
    assert_eq!(armed.finish().await, Proof::Confirmed);
    world.answers(false);
    let armed = world.begin(true).await.unwrap();
    world.answers(true);
    assert_eq!(armed.finish().await, Proof::Confirmed);
}

#[tokio::test]
async fn when_the_agent_is_killed_the_timer_puts_it_back() {
    let world = World::new();
    drop(world.begin(false).await.unwrap());
    world.apply();
    let id = world.timer();
    assert_eq!(world.ring("another").unwrap(), Reversion::Nothing);
    assert!(matches!(world.ring(&id).unwrap(), Reversion::Done(_)));
    assert_eq!((world.content(), world.ring(&id).unwrap()), (b"old".to_vec(), Reversion::Nothing));
    // The next agent learns of it.
    let next = World::agent(&world.host, &world.controller, &world.state);
    assert_eq!(next.recover().await, None);
    assert_eq!(next.untold().unwrap()[0].reason, "reverted: the timer rang");
    assert!(next.held_back(&key(), |_| Some(digest(1))).is_some());
}

#[tokio::test]
async fn an_agent_that_is_started_in_between_proves_or_puts_back() {
    for answers in [true, false] {
        let world = World::new();
        drop(world.begin(false).await.unwrap());
        world.apply();
        world.answers(answers);
        let next = World::agent(&world.host, &world.controller, &world.state);
        let left = next.recover().await.unwrap();
        assert_eq!(left.resources.keys().collect::<Vec<_>>(), [&key()]);
        assert_eq!(left.proof == Proof::Confirmed, answers);
        assert_eq!(world.content() == b"new", answers);
        assert_eq!(world.host.timers(), []);
    }
}

#[tokio::test]
async fn the_timer_rings_while_the_agent_waits_for_an_answer() {
    let world = World::with_window(WINDOW);
    let armed = world.begin(false).await.unwrap();
    world.apply();
    let id = world.timer();
    world.answers(false);
    let proof = tokio::spawn(armed.finish());
    let (host, state) = (world.host.clone(), world.state.clone());
    let rang =
        crate::blocking(move || revert(host.as_ref(), &state, Some(&id), "reverted: the timer rang", 5))
            .await;
    assert!(matches!(rang.unwrap(), Reversion::Done(_)));
    world.answers(true);
    assert_eq!(proof.await.unwrap(), Proof::Reverted("reverted: the timer rang".into()));
    assert_eq!(world.content(), b"old");
}

#[tokio::test]
async fn putting_back_that_was_interrupted_is_gone_on_with_even_when_the_controller_answers() {
    let world = World::new();
    drop(world.begin(false).await.unwrap());
    world.apply();
    let id = world.timer();
    world.host.set_faults(|faults| faults.read_only = true);
    let error = world.ring(&id).unwrap_err().to_string();
    assert!(error.contains("read-only"), "{error}");
    assert_eq!(world.content(), b"new");
    world.host.set_faults(|faults| faults.read_only = false);
    let next = World::agent(&world.host, &world.controller, &world.state);
    assert_eq!(next.recover().await.unwrap().proof, Proof::Reverted("reverted: the timer rang".into()));
    assert_eq!(world.content(), b"old");
}

#[tokio::test]
async fn a_command_that_fails_for_ever_does_not_hide_that_the_files_are_back() {
    let world = World::new();
    drop(world.begin(false).await.unwrap());
    world.apply();
    let id = world.timer();
    let failing = CommandOutput { code: Some(1), stdout: Vec::new(), stderr: "no such interface".into() };
    world.host.set_program("netplan", failing);
    for _ in 0..4 {
        assert!(matches!(world.ring(&id), Err(RevertError::Incomplete(_))));
    }
    let Reversion::Done(reverted) = world.ring(&id).unwrap() else { panic!("nothing was put back") };
    assert!(reverted.reason.contains("no such interface"), "{}", reverted.reason);
    assert_eq!(world.content(), b"old");
}

#[tokio::test]
async fn changes_that_take_long_get_their_full_time_to_be_proven() {
    let world = World::with_window(Duration::from_secs(3));
    let armed = world.begin(false).await.unwrap();
    let first = world.host.timers()[0].0.clone();
    let rang = world.timer();
    world.apply();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1600) {
        tokio::task::yield_now().await;
    }
    world.answers(false);
    let proof = tokio::spawn(armed.finish());
    while world.host.timers().iter().any(|(name, _)| *name == first) {
        assert!(began.elapsed() < Duration::from_secs(20), "the timer was not extended");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // It rang before it was disarmed, and its program had to wait until everything was applied.
    let (host, state) = (world.host.clone(), world.state.clone());
    let rung = crate::blocking(move || revert(host.as_ref(), &state, Some(&rang), "rang", 5)).await;
    assert_eq!(rung.unwrap(), Reversion::Nothing);
    assert_eq!(world.content(), b"new");
    world.answers(true);
    assert_eq!(proof.await.unwrap(), Proof::Confirmed);
    assert_eq!(world.host.timers(), []);
}

#[tokio::test]
async fn what_cannot_be_put_back_does_not_keep_the_rest_from_taking_effect() {
    let world = World::new();
    world.host.tamper("/etc/hosts", "127.0.0.1 localhost");
    let hosts = DesiredState::Hosts(muster_domain::resource::Hosts { entries: Vec::new() });
    let hosts = Resource::new(ResourceKey::new("hosts", "hosts"), vec![], hosts);
    let new = netplan("new");
    let changes = [&new, &hosts].map(|resource| Change { resource, digest: digest(1), corrective: false });
    drop(world.safe.begin(&changes).await.unwrap());
    world.apply();
    let id = world.timer();
    world.host.set_faults(|faults| {
        faults.denied.insert("/etc/hosts".into());
    });
    for _ in 0..6 {
        assert!(matches!(world.ring(&id), Err(RevertError::Incomplete(_))), "it goes on trying");
    }
    assert_eq!(world.content(), b"old");
    assert!(!world.host.commands().is_empty(), "the network was told");
    world.host.set_faults(|faults| faults.denied.clear());
    assert!(matches!(world.ring(&id).unwrap(), Reversion::Done(_)));
}

#[tokio::test]
async fn where_no_timer_can_be_armed_nothing_is_changed() {
    let world = World::new();
    world.host.set_faults(|faults| faults.no_systemd = true);
    let Err(NotBegun::Unsupported(reason)) = world.begin(false).await else { panic!("it began") };
    assert!(reason.contains("systemd"), "{reason}");
}

#[tokio::test]
async fn the_rules_of_a_firewall_and_what_the_kernel_holds_of_them_come_back() {
    let world = World::new();
    world.host.install_ufw();
    let firewall = Firewall {
        incoming: FirewallPolicy::Deny,
        outgoing: FirewallPolicy::Deny,
        rules: Vec::new(),
        exclusive: true,
    };
    let resource =
        Resource::new(ResourceKey::new("firewall", "firewall"), vec![], DesiredState::Firewall(firewall));
    let before = world.host.read(Path::new("/etc/default/ufw"), 1000).unwrap();
    let armed = world
        .safe
        .begin(&[Change { resource: &resource, digest: digest(1), corrective: false }])
        .await
        .unwrap();
    for words in [&["default", "deny", "outgoing"][..], &["--force", "enable"]] {
        let args = words.iter().map(|word| (*word).to_owned()).collect();
        let command = muster_platform::CommandLine { program: "ufw".into(), args, ..Default::default() };
        assert!(world.host.run(&command).unwrap().success());
    }
    world.answers(false);
    assert!(matches!(armed.finish().await, Proof::Reverted(_)));
    assert_eq!(world.host.read(Path::new("/etc/default/ufw"), 1000).unwrap(), before);
    let held = world
        .host
        .run(&muster_platform::CommandLine { program: "iptables".into(), ..Default::default() })
        .unwrap();
    assert!(String::from_utf8_lossy(&held.stdout).starts_with("-P INPUT ACCEPT"));
}

//! Timers of systemd that bring back what was there before, and a firewall that cuts its own node off.

use super::{World, until};
use crate::config::{Clock, StateDir};
use crate::resources;
use crate::safe_apply::{Armed, Change, Proof, Reach, SafeApply};
use futures_util::future::BoxFuture;
use muster_domain::{
    Digest,
    resource::{
        DesiredState, File, Firewall, FirewallPolicy, FirewallRule, Resource, ResourceKey, RuleAction,
    },
};
use muster_planning::convergence::Action;
use muster_platform::LinuxHost;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// A file of the network that nobody reads here.
const FILE: &str = "/etc/systemd/network/90-muster-test.network";
/// Who arms a timer and waits to be killed.
const ARMING: &str = "MUSTER_TEST_ARMS_IN";
/// On the other side of a cable that the test lays.
const PEER: &str = "192.0.2.2:8444";

/// Whatever answers there is the controller.
struct Peer(SocketAddr);

impl Reach for Peer {
    fn reach(&self) -> BoxFuture<'_, Result<(), String>> {
        let address = self.0;
        Box::pin(crate::blocking(move || {
            let connected = TcpStream::connect_timeout(&address, Duration::from_secs(1));
            connected.map(drop).map_err(|error| error.to_string())
        }))
    }
}

fn agent_program() -> PathBuf {
    let path = std::env::var_os("MUSTER_TEST_AGENT").expect("MUSTER_TEST_AGENT names muster-agent");
    PathBuf::from(path)
}

fn safe(state: &StateDir, controller: SocketAddr, window: Duration) -> SafeApply {
    let host = Arc::new(LinuxHost::system(state.root()));
    SafeApply::new(host, state.clone(), Arc::new(Peer(controller)), Clock::system())
        .with_program(agent_program())
        .with_window(window)
}

fn file() -> Resource {
    let file = File {
        path: FILE.into(),
        content: b"new".to_vec(),
        mode: 0o644,
        owner: None,
        group: None,
        sensitive: false,
        validate: None,
    };
    Resource::new(ResourceKey::new("file", FILE), vec![], DesiredState::File(file))
}

async fn begin(safe: &SafeApply, resource: &Resource) -> Armed {
    let change = Change { resource, digest: Digest::from_bytes([1; 32]), corrective: false };
    safe.begin(&[change]).await.expect("it begins")
}

fn timers(world: &World) -> Vec<String> {
    let listed =
        world.said(&["systemctl", "list-timers", "--all", "--no-legend", "--plain", "muster-revert-*"]);
    listed.lines().map(str::to_owned).collect()
}

/// Not a test of its own: the process that [`what_was_armed_is_put_back_although_whoever_armed_it_was_killed`] kills.
#[tokio::test]
async fn arms_changes_and_waits() {
    let Some(folder) = std::env::var_os(ARMING) else { return };
    let state = StateDir::new(Path::new(&folder));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let armed = begin(&safe(&state, listener.local_addr().unwrap(), Duration::from_secs(5)), &file()).await;
    std::fs::write(FILE, "new").unwrap();
    std::fs::write(state.root().join("armed"), "").unwrap();
    // Holds what it holds until it is killed.
    std::future::pending::<()>().await;
    drop(armed);
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn what_was_armed_is_put_back_although_whoever_armed_it_was_killed() {
    let world = World::here();
    std::fs::create_dir_all("/etc/systemd/network").unwrap();
    std::fs::write(FILE, "old").unwrap();
    let arming = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "host_tests::safe_apply::arms_changes_and_waits"])
        .env(ARMING, world.state.root())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let arming = Ended(arming);
    until(Duration::from_secs(30), "arming", || world.state.root().join("armed").exists());
    assert_eq!(timers(&world).len(), 1, "{:?}", timers(&world));
    // SIGKILL.
    drop(arming);
    assert_eq!(std::fs::read(FILE).unwrap(), b"new");
    until(Duration::from_secs(30), "putting back", || std::fs::read(FILE).unwrap() == b"old");
    let next = safe(&world.state, "127.0.0.1:1".parse().unwrap(), Duration::from_secs(5));
    until(Duration::from_secs(10), "the record of it", || {
        next.held_back(&ResourceKey::new("file", FILE), |_| Some(Digest::from_bytes([1; 32]))).is_some()
    });
    until(Duration::from_secs(10), "the end of the timer", || timers(&world).is_empty());
    std::fs::remove_file(FILE).unwrap();
}

#[tokio::test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
async fn what_is_confirmed_leaves_no_timer_behind() {
    let world = World::here();
    std::fs::remove_file(FILE).ok();
    std::fs::create_dir_all("/etc/systemd/network").unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let safe = safe(&world.state, listener.local_addr().unwrap(), Duration::from_secs(60));
    let armed = begin(&safe, &file()).await;
    assert_eq!(timers(&world).len(), 1);
    std::fs::write(FILE, "new").unwrap();
    assert_eq!(armed.finish().await, Proof::Confirmed);
    assert!(timers(&world).is_empty(), "{:?}", timers(&world));
    assert_eq!(std::fs::read(FILE).unwrap(), b"new");
    std::fs::remove_file(FILE).unwrap();
}

/// Ended with the test, however that ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A host of its own at the end of a cable, that echoes what it is told.
struct Cable<'a> {
    world: &'a World,
    _echo: Ended,
}

impl<'a> Cable<'a> {
    fn lay(world: &'a World) -> Self {
        for words in [
            "ip netns add peer",
            "ip link add cable0 type veth peer name cable1 netns peer",
            "ip addr add 192.0.2.1/24 dev cable0",
            "ip link set cable0 up",
            "ip -n peer addr add 192.0.2.2/24 dev cable1",
            "ip -n peer link set cable1 up",
        ] {
            world.said(&words.split(' ').collect::<Vec<_>>());
        }
        const ECHO: &str = "import socketserver as s\nclass E(s.BaseRequestHandler):\n def handle(self):\n  while d := self.request.recv(9): self.request.sendall(d)\nclass T(s.ThreadingTCPServer):\n allow_reuse_address = True\nT(('192.0.2.2', 8444), E).serve_forever()";
        let echo = Command::new("ip").args(["netns", "exec", "peer", "python3", "-c", ECHO]).spawn().unwrap();
        until(Duration::from_secs(10), "the peer answering", || TcpStream::connect(PEER).is_ok());
        Self { world, _echo: Ended(echo) }
    }
}

impl Drop for Cable<'_> {
    fn drop(&mut self) {
        self.world.run(&["ip", "netns", "del", "peer"]);
        self.world.run(&["ufw", "--force", "disable"]);
    }
}

fn answers(stream: &mut TcpStream) -> bool {
    let mut answer = [0; 4];
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    stream.write_all(b"ping").is_ok() && stream.read_exact(&mut answer).is_ok() && answer == *b"ping"
}

fn firewall(rules: Vec<FirewallRule>) -> Resource {
    let firewall =
        Firewall { incoming: FirewallPolicy::Deny, outgoing: FirewallPolicy::Allow, rules, exclusive: true };
    Resource::new(ResourceKey::new("firewall", "firewall"), vec![], DesiredState::Firewall(firewall))
}

fn deny_peer() -> FirewallRule {
    FirewallRule {
        action: RuleAction::Deny,
        outgoing: true,
        protocol: None,
        port: None,
        from: None,
        to: Some("192.0.2.2".into()),
        interface: None,
        comment: Some("a mistake".into()),
    }
}

#[tokio::test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
async fn a_rule_that_cuts_the_node_off_is_taken_back_by_itself() {
    let world = World::here();
    super::firewall::fresh(&world);
    let cable = Cable::lay(&world);
    let apply = |resource: &Resource| {
        resources::apply(world.look(), &resource.desired, Action::ConfigureFirewall).unwrap()
    };

    // From nothing: ufw is turned off again.
    let safe = safe(&world.state, PEER.parse().unwrap(), Duration::from_secs(12));
    let wrong = firewall(vec![deny_peer()]);
    let armed = begin(&safe, &wrong).await;
    apply(&wrong);
    assert!(
        TcpStream::connect_timeout(&PEER.parse().unwrap(), Duration::from_secs(1)).is_err(),
        "not cut off"
    );
    let Proof::Reverted(reason) = armed.finish().await else { panic!("it was taken") };
    assert!(reason.contains("could not reach the controller within 12 s"), "{reason}");
    assert!(TcpStream::connect(PEER).is_ok());
    assert!(world.said(&["ufw", "status"]).contains("inactive"));
    assert!(!world.said(&["iptables", "-S"]).contains("192.0.2.2"));
    assert!(timers(&world).is_empty());

    // From a firewall that is in force: its rules come back, and only they.
    let right =
        firewall(vec![FirewallRule { to: None, action: RuleAction::Allow, outgoing: false, ..deny_peer() }]);
    let armed = begin(&safe, &right).await;
    apply(&right);
    assert_eq!(armed.finish().await, Proof::Confirmed);
    let rules = world.said(&["iptables", "-S"]);
    let mut open = TcpStream::connect(PEER).unwrap();
    assert!(answers(&mut open));
    let armed = begin(&safe, &wrong).await;
    apply(&wrong);
    assert!(
        TcpStream::connect_timeout(&PEER.parse().unwrap(), Duration::from_secs(1)).is_err(),
        "not cut off"
    );
    assert!(answers(&mut open), "a connection that was open lives on, and proves nothing");
    // Whoever made it is gone; the timer alone brings the node back.
    drop(armed);
    until(Duration::from_secs(40), "the way back", || {
        TcpStream::connect_timeout(&PEER.parse().unwrap(), Duration::from_millis(300)).is_ok()
    });
    until(Duration::from_secs(20), "the former rules", || world.said(&["iptables", "-S"]) == rules);
    until(Duration::from_secs(20), "the end of the timer", || timers(&world).is_empty());
    drop(cable);
}

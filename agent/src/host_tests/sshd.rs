//! The SSH server of the distribution.

use super::World;
use crate::resources::{self, SSHD_FILE};
use muster_domain::resource::{DesiredState, Resource, ResourceKey, Sshd};
use muster_planning::convergence::{self, Action, Effort, Observed, Verdict};
use std::path::Path;

const CONFIG: &str = "/etc/ssh/sshd_config";
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0Qy1Zk5Zs1b2n3m4c5v6b7n8m9q0w1e2r3t4y5u6i7 amara\n";

fn sshd(pairs: &[(&str, &str)]) -> DesiredState {
    let settings =
        pairs.iter().map(|(keyword, value)| ((*keyword).to_owned(), (*value).to_owned())).collect();
    DesiredState::Sshd(Sshd { settings })
}

fn observe(world: &World, desired: &DesiredState) -> Observed {
    let apps = Ok(Vec::new());
    let view = resources::View { state: &world.state, apps: &apps, cpus: 1 };
    let resource = Resource::new(ResourceKey::new("sshd", "sshd"), vec![], desired.clone());
    resources::observe(&world.host, view, &resource)
}

fn decide(world: &World, desired: &DesiredState) -> Verdict {
    convergence::verdict(desired, &observe(world, desired), Effort::default())
}

fn apply(world: &World, desired: &DesiredState) -> Result<Option<String>, String> {
    resources::apply(world.look(), desired, Action::ConfigureSshd)
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn settings_are_in_force_in_the_server_that_runs_and_nobody_is_locked_out() {
    let world = World::here();
    let keys = Path::new("/root/.ssh/authorized_keys");
    let (kept_keys, kept_config) = (std::fs::read(keys).ok(), std::fs::read_to_string(CONFIG).unwrap());
    world.said(&["systemctl", "restart", "ssh.service"]);
    let pid = world.said(&["systemctl", "show", "-p", "MainPID", "--value", "ssh.service"]);
    let wanted = sshd(&[
        ("PasswordAuthentication", "no"),
        ("PermitRootLogin", "prohibit-password"),
        ("X11Forwarding", "no"),
        ("ChallengeResponseAuthentication", "no"),
        ("AcceptEnv", "LANG TZ"),
        ("Ciphers", "-chacha20-poly1305@openssh.com"),
        ("Port", "22"),
        ("Port", "2222"),
    ]);
    std::fs::remove_file(keys).ok();
    let Verdict::Impossible { reason } = decide(&world, &wanted) else {
        panic!("{:?}", decide(&world, &wanted))
    };
    assert!(reason.contains("authorized_key"), "{reason}");
    std::fs::create_dir_all("/root/.ssh").unwrap();
    std::fs::write(keys, KEY).unwrap();
    world.said(&["chmod", "-R", "go-w", "/root/.ssh"]);
    assert!(matches!(decide(&world, &wanted), Verdict::Change { .. }), "{:?}", decide(&world, &wanted));

    apply(&world, &wanted).unwrap();
    assert_eq!(decide(&world, &wanted), Verdict::InPlace, "{:?}", observe(&world, &wanted));
    // Reloaded, not restarted, and it listens where it should.
    assert_eq!(world.said(&["systemctl", "show", "-p", "MainPID", "--value", "ssh.service"]), pid);
    super::until(std::time::Duration::from_secs(10), "listening on the new port", || {
        std::net::TcpStream::connect("127.0.0.1:2222").is_ok()
    });

    // What is bad is refused by the server itself, and nothing changes.
    let before = std::fs::read(SSHD_FILE).unwrap();
    let error = apply(&world, &sshd(&[("Bogus", "yes")])).unwrap_err();
    assert!(error.contains(SSHD_FILE) && error.contains("Bogus"), "{error}");
    assert_eq!(std::fs::read(SSHD_FILE).unwrap(), before);

    // Somebody says something else first.
    std::fs::write(CONFIG, format!("X11Forwarding yes\n{kept_config}")).unwrap();
    let Verdict::Impossible { reason } = decide(&world, &wanted) else { panic!("it was not noticed") };
    assert!(
        reason.contains("X11Forwarding is yes instead of no") && reason.contains("sshd_config:1"),
        "{reason}"
    );

    // It is not read at all.
    let without: String = kept_config
        .lines()
        .filter(|line| !line.starts_with("Include"))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(CONFIG, &without).unwrap();
    assert!(matches!(decide(&world, &wanted), Verdict::Change { .. }));
    apply(&world, &wanted).unwrap();
    assert_eq!(decide(&world, &wanted), Verdict::InPlace);
    assert!(resources::remove(world.look(), &wanted).unwrap().is_some());
    assert_eq!(std::fs::read_to_string(CONFIG).unwrap(), without);
    assert!(!Path::new(SSHD_FILE).exists());

    // One that nobody has started yet, as where a socket waits for the first connection, can be asked as well.
    world.said(&["systemctl", "stop", "ssh.service"]);
    world.said(&["rm", "-rf", "/run/sshd"]);
    let observed = observe(&world, &wanted);
    world.said(&["systemctl", "start", "ssh.service"]);
    assert!(matches!(observed, Observed::Sshd(_)), "{observed:?}");

    std::fs::write(CONFIG, kept_config).unwrap();
    match kept_keys {
        Some(content) => std::fs::write(keys, content).unwrap(),
        None => std::fs::remove_file(keys).unwrap(),
    }
    world.said(&["systemctl", "reload", "ssh.service"]);
}

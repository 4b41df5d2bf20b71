use super::*;
use crate::config::StateDir;
use muster_domain::resource::DesiredState;
use muster_planning::convergence::{Effort, Verdict, verdict};
use muster_platform::{CommandOutput, FakeHost, Host};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0Qy1Zk5Zs1b2n3m4c5v6b7n8m9q0w1e2r3t4y5u6i7 amara\n";

struct World {
    host: FakeHost,
    state: StateDir,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = FakeHost::default();
        host.install_sshd();
        host.tamper("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\namara:x:1000:1000::/home/amara:/bin/bash\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n");
        host.tamper("/etc/group", "root:x:0:\nsudo:x:27:amara\namara:x:1000:\n");
        host.tamper("/etc/shadow", "root:$6$x$y:1::::::\namara:!:1::::::\n");
        Self { host, state: StateDir::new(folder.path()), _folder: folder }
    }

    fn with_key() -> Self {
        let world = Self::new();
        world.host.tamper("/root/.ssh/authorized_keys", format!("# a key\n{KEY}"));
        world
    }

    fn look(&self) -> Look<'_> {
        Look { host: &self.host, state: &self.state, assigned: &[] }
    }

    fn decide(&self, wanted: &Sshd) -> Verdict {
        verdict(&DesiredState::Sshd(wanted.clone()), &observe(self.look(), wanted), Effort::default())
    }
}

fn hardened() -> Sshd {
    let settings =
        [("PasswordAuthentication", "no"), ("PermitRootLogin", "prohibit-password"), ("X11Forwarding", "no")];
    Sshd { settings: settings.map(|(keyword, value)| (keyword.to_owned(), value.to_owned())).into() }
}

#[test]
fn who_may_become_root_by_the_base_role_is_an_administrator() {
    let world = World::new();
    world.host.tamper("/etc/group", "root:x:0:\namara:x:1000:\n");
    let names = |world: &World| -> Vec<String> {
        let admins = accounts::admins(&world.host, &[], &[]).unwrap();
        admins.into_iter().map(|admin| admin.name).collect()
    };
    assert_eq!(names(&world), ["root"]);
    world.host.tamper("/etc/sudoers.d/90-muster-admins", "# made\namara ALL=(ALL:ALL) NOPASSWD: ALL\n");
    assert_eq!(names(&world), ["root", "amara"]);
}

#[test]
fn what_was_applied_is_in_force_and_stays_so() {
    let world = World::with_key();
    let wanted = hardened();
    let Verdict::Change { reason, .. } = world.decide(&wanted) else { panic!("{:?}", world.decide(&wanted)) };
    assert_eq!(reason, "its file is missing");
    let difference = diff(world.look(), &wanted, &observe(world.look(), &wanted)).unwrap();
    assert!(difference.contains("+ PasswordAuthentication no"), "{difference}");
    apply(world.look(), &wanted, Action::ConfigureSshd).unwrap();
    assert_eq!(world.decide(&wanted), Verdict::InPlace);
    let told: Vec<String> = world
        .host
        .commands()
        .into_iter()
        .filter(|c| c.program.ends_with("systemctl"))
        .map(|c| c.args.join(" "))
        .collect();
    assert!(told.contains(&"try-reload-or-restart ssh.service".to_owned()), "{told:?}");

    // The second is refused by the server, which says nothing at all about its settings then.
    for broken in ["PasswordAuthentication yes\n", "nonsense\n"] {
        world.host.tamper(FILE, broken);
        let Verdict::Change { reason, .. } = world.decide(&wanted) else {
            panic!("{broken} was not noticed")
        };
        assert_eq!(reason, "its settings differ");
        apply(world.look(), &wanted, Action::ConfigureSshd).unwrap();
        assert_eq!(world.decide(&wanted), Verdict::InPlace);
    }
    // What is not ours is not put right; the server says where it is.
    world.host.tamper(CONFIG, "Include /etc/ssh/sshd_config.d/*.conf\nnonsense\n");
    let Observed::Unreadable(error) = observe(world.look(), &wanted) else { panic!("it was not noticed") };
    assert!(error.contains("sshd_config line 2"), "{error}");
}

#[test]
fn passwords_stay_while_no_key_would_be_taken() {
    let world = World::new();
    let Verdict::Impossible { reason } = world.decide(&hardened()) else { panic!("everybody is locked out") };
    assert!(reason.contains("authorized_key"), "{reason}");
    for (path, content) in [
        ("/root/.ssh/authorized_keys", "# ssh-ed25519 AAAA\n"),
        ("/home/amara/.ssh/authorized_keys3", KEY),
        ("/var/www/.ssh/authorized_keys", KEY),
    ] {
        world.host.tamper(path, content);
        assert!(matches!(world.decide(&hardened()), Verdict::Impossible { .. }), "{path}");
    }
    world.host.tamper("/home/amara/.ssh/authorized_keys", format!("no-pty,from=\"10.0.0.1\" {KEY}"));
    assert!(matches!(world.decide(&hardened()), Verdict::Change { .. }));
    // The server does not take a key that others could have put there.
    let open = Ownership::default();
    world.host.set_attributes(Path::new("/home/amara/.ssh"), 0o777, open).unwrap();
    assert!(matches!(world.decide(&hardened()), Verdict::Impossible { .. }));
}

#[test]
fn a_server_that_does_not_read_the_folder_is_made_to_read_our_file_only() {
    let world = World::with_key();
    world.host.tamper(CONFIG, "X11Forwarding yes\n");
    world.host.tamper("/etc/ssh/sshd_config.d/50-cloud.conf", "PasswordAuthentication yes\n");
    let wanted = hardened();
    let Verdict::Change { reason, .. } = world.decide(&wanted) else { panic!() };
    assert!(reason.contains("does not read its file"), "{reason}");
    let note = apply(world.look(), &wanted, Action::ConfigureSshd).unwrap().unwrap();
    assert!(note.contains(CONFIG), "{note}");
    let config = world.host.read(Path::new(CONFIG), 1000).unwrap();
    assert_eq!(config, format!("Include {FILE}\nX11Forwarding yes\n").into_bytes());
    assert_eq!(world.decide(&wanted), Verdict::InPlace);
    remove(world.look(), &wanted).unwrap().unwrap();
    assert_eq!(world.host.read(Path::new(CONFIG), 1000).unwrap(), b"X11Forwarding yes\n");
    assert_eq!(remove(world.look(), &wanted).unwrap(), None);
}

#[test]
fn a_server_that_a_socket_starts_is_managed_before_anybody_connected() {
    let world = World::with_key();
    world.host.make_directory(Path::new("/run"), 0o755, Ownership::default()).unwrap();
    assert!(matches!(world.decide(&hardened()), Verdict::Change { .. }), "{:?}", world.decide(&hardened()));
    apply(world.look(), &hardened(), Action::ConfigureSshd).unwrap();
    // As when the last connection ended.
    world.host.tamper_delete("/run/sshd");
    assert_eq!(world.decide(&hardened()), Verdict::InPlace);
}

#[test]
fn a_configuration_that_cannot_be_written_leaves_nothing_behind() {
    let world = World::with_key();
    world.host.tamper(CONFIG, "X11Forwarding yes\n");
    world.host.set_faults(|faults| {
        faults.denied.insert(CONFIG.into());
    });
    let error = apply(world.look(), &hardened(), Action::ConfigureSshd).unwrap_err();
    assert!(error.contains("permission denied"), "{error}");
    assert_eq!(world.host.stat(Path::new(FILE)).unwrap(), None);
}

#[test]
fn what_stands_before_our_file_is_named() {
    let world = World::with_key();
    world.host.tamper(CONFIG, "# x\nx11forwarding yes\nInclude /etc/ssh/sshd_config.d/*.conf\n");
    apply(world.look(), &hardened(), Action::ConfigureSshd).unwrap();
    let Verdict::Impossible { reason } = world.decide(&hardened()) else { panic!() };
    assert!(
        reason.contains("X11Forwarding is yes instead of no") && reason.contains("sshd_config:2"),
        "{reason}"
    );
}

#[test]
fn what_the_server_does_not_accept_is_not_put_into_place() {
    let world = World::with_key();
    // The one here knows every keyword, and wants a value.
    let wanted = Sshd { settings: vec![("Bogus".into(), String::new())] };
    let error = apply(world.look(), &wanted, Action::ConfigureSshd).unwrap_err();
    assert!(error.contains("Bad configuration option: Bogus"), "{error}");
    assert_eq!(world.host.stat(Path::new(FILE)).unwrap(), None);
    assert!(!reload_pending(world.look()).unwrap());
}

#[test]
fn a_reload_that_fails_brings_the_former_settings_back() {
    let world = World::with_key();
    world.host.tamper(FILE, "X11Forwarding yes\n");
    let failing = CommandOutput { code: Some(1), stdout: Vec::new(), stderr: "it will not".into() };
    world.host.set_program("systemctl", failing);
    let error = apply(world.look(), &hardened(), Action::ConfigureSshd).unwrap_err();
    assert!(error.contains("former settings are back"), "{error}");
    assert_eq!(world.host.read(Path::new(FILE), 1000).unwrap(), b"X11Forwarding yes\n");
    // And it is still known that the server has to be told.
    world.host.set_program("systemctl", CommandOutput { code: Some(0), ..CommandOutput::default() });
    apply(world.look(), &hardened(), Action::ConfigureSshd).unwrap();
    assert_eq!(world.decide(&hardened()), Verdict::InPlace);
}

#[test]
fn killed_before_the_reload_the_next_run_tells_the_server() {
    let world = World::with_key();
    apply(world.look(), &hardened(), Action::ConfigureSshd).unwrap();
    durable::write(&marker(world.look()), b"").unwrap();
    let Verdict::Change { reason, .. } = world.decide(&hardened()) else { panic!("it was forgotten") };
    assert_eq!(reason, "the server has not read it yet");
    apply(world.look(), &hardened(), Action::ConfigureSshd).unwrap();
    assert_eq!(world.decide(&hardened()), Verdict::InPlace);
}

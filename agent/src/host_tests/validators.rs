//! Each daemon judges good and bad files, and nothing of what is judged is ever in place.

use super::{World, tree};
use crate::resources::validate::check;
use muster_domain::resource::{File, Validator};
use std::path::Path;

fn file(path: &str, content: &str, mode: u32, validate: Validator) -> File {
    File {
        path: path.into(),
        content: content.into(),
        mode,
        owner: Some("root".into()),
        group: Some("root".into()),
        sensitive: false,
        validate: Some(validate),
    }
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn nginx_judges_its_whole_configuration_and_the_tree_is_not_touched() {
    let world = World::here();
    let (before, mounts) = (tree("/etc/nginx"), std::fs::read_to_string("/proc/self/mountinfo").unwrap());
    let judge =
        |path: &str, content: &str| check(world.look(), &file(path, content, 0o644, Validator::Nginx));
    // A new file, an old one, one behind a link, one in a folder that is not there.
    judge("/etc/nginx/sites-enabled/shop", "server { listen 127.0.0.1:8081; server_name shop; }").unwrap();
    let error = judge("/etc/nginx/sites-enabled/shop", "server { listen 80x; }").unwrap_err();
    assert!(error.contains("/etc/nginx/sites-enabled/shop:1") && error.contains("80x"), "{error}");
    assert!(error.starts_with("nginx refuses it: host not found"), "{error}");
    let error = judge("/etc/nginx/nginx.conf", "events {} http { bogus on; }").unwrap_err();
    assert!(
        error.contains("unknown directive \"bogus\"") && error.contains("/etc/nginx/nginx.conf:1"),
        "{error}"
    );
    judge("/etc/nginx/sites-available/default", "server { listen 127.0.0.1:8082; }").unwrap();
    judge("/etc/nginx/sites-available/default", "server {").unwrap_err();
    judge("/etc/nginx/sites-enabled/default", "server { listen 127.0.0.1:8083; }").unwrap();
    judge("/etc/nginx/not/there/yet", "anything").unwrap();
    assert_eq!(tree("/etc/nginx"), before);
    assert_eq!(std::fs::read_to_string("/proc/self/mountinfo").unwrap(), mounts);
    assert!(world.run(&["nginx", "-t"]).success());
    // Two files that break each other: the second is refused, and what is there decides.
    std::fs::write("/etc/nginx/conf.d/one.conf", "upstream shop { server 127.0.0.1:1; }\n").unwrap();
    let twice = judge("/etc/nginx/conf.d/two.conf", "upstream shop { server 127.0.0.1:1; }\n");
    std::fs::remove_file("/etc/nginx/conf.d/one.conf").unwrap();
    assert!(twice.unwrap_err().contains("duplicate upstream"));
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn nginx_that_was_broken_by_hand_in_another_file_holds_nobody_up() {
    let world = World::here();
    let judge = |content: &str| {
        check(world.look(), &file("/etc/nginx/conf.d/zz.conf", content, 0o644, Validator::Nginx))
    };
    std::fs::write("/etc/nginx/conf.d/aa.conf", "broken by hand;\n").unwrap();
    let (good, bad) = (judge("# nothing\n"), judge("also bad"));
    std::fs::remove_file("/etc/nginx/conf.d/aa.conf").unwrap();
    good.unwrap();
    // nginx stops at the first mistake, so this one is found when the other is gone.
    bad.unwrap();
    judge("also bad").unwrap_err();
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn sshd_sudo_haproxy_logrotate_systemd_and_stunnel_judge_their_files() {
    let world = World::here();
    let judge = |path: &str, content: &str, mode, validator: Validator| {
        check(world.look(), &file(path, content, mode, validator))
    };
    let before = [
        "/etc/ssh",
        "/etc/sudoers.d",
        "/etc/haproxy",
        "/etc/logrotate.d",
        "/etc/systemd/system",
        "/etc/stunnel",
    ]
    .map(tree);
    let table: [(&str, u32, Validator, &str, &str, &str); 7] = [
        (
            "/etc/ssh/sshd_config.d/10-x.conf",
            0o644,
            Validator::Sshd,
            "X11Forwarding no\n",
            "X11Frwarding no\n",
            "/etc/ssh/sshd_config.d/10-x.conf",
        ),
        (
            "/etc/sudoers.d/ops",
            0o440,
            Validator::Sudoers,
            "%sudo ALL=(ALL) NOPASSWD: ALL\n",
            "%sudo ALL=(ALL NOPASSWD: ALL\n",
            "/etc/sudoers.d/ops:1",
        ),
        (
            "/etc/haproxy/haproxy.cfg",
            0o644,
            Validator::Haproxy,
            "defaults\n timeout connect 1s\n timeout client 1s\n timeout server 1s\nfrontend x\n mode http\n bind 127.0.0.1:8090\n",
            "frontend x\n foo bar\n",
            "unknown keyword 'foo'",
        ),
        (
            "/etc/logrotate.d/shop",
            0o644,
            Validator::Logrotate,
            "/var/log/not-yet.log {\n weekly\n}\n",
            "/var/log/not-yet.log {\n wekly\n}\n",
            "unknown option 'wekly'",
        ),
        (
            "/etc/systemd/system/shop.service",
            0o644,
            Validator::SystemdUnit,
            "[Service]\nExecStart=/srv/not/there/yet\n",
            "[Service]\nExecStart=/bin/true\nRestrt=always\n",
            "Unknown key 'Restrt'",
        ),
        (
            "/etc/systemd/system/nginx.service.d/limits.conf",
            0o644,
            Validator::SystemdUnit,
            "[Service]\nNice=3\n",
            "[Service]\nNicee=3\n",
            "Unknown key 'Nicee'",
        ),
        (
            "/etc/systemd/system/shop.timer",
            0o644,
            Validator::SystemdUnit,
            "[Timer]\nOnCalendar=daily\nUnit=nginx.service\n",
            "[Timer]\nOnCalendar=dayly\n",
            "calendar",
        ),
    ];
    for (path, mode, validator, good, bad, said) in table {
        judge(path, good, mode, validator.clone()).unwrap_or_else(|error| panic!("{path}: {error}"));
        let error = judge(path, bad, mode, validator).expect_err(path);
        assert!(error.contains(said), "{path}: {error}");
    }
    // sudo wants its files closed, and says so.
    let open = judge("/etc/sudoers.d/ops", "%sudo ALL=(ALL) ALL\n", 0o666, Validator::Sudoers).unwrap_err();
    assert!(open.contains("/etc/sudoers.d/ops"), "{open}");
    let after = [
        "/etc/ssh",
        "/etc/sudoers.d",
        "/etc/haproxy",
        "/etc/logrotate.d",
        "/etc/systemd/system",
        "/etc/stunnel",
    ]
    .map(tree);
    assert_eq!(after, before);
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn stunnel_loads_its_keys_and_binds_without_being_in_the_way_of_one_that_runs() {
    let world = World::here();
    let made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /etc/stunnel/k.pem -out /etc/stunnel/c.pem -subj /CN=x -days 2";
    world.said(&made.split(' ').collect::<Vec<_>>());
    let judge = |content: &str| {
        check(world.look(), &file("/etc/stunnel/redis.conf", content, 0o600, Validator::Stunnel))
    };
    let service = |extra: &str| {
        format!(
            "setuid = nobody\npid = /run/x.pid\n[redis]\naccept = 127.0.0.1:6380\nconnect = 127.0.0.1:6379\nkey = /etc/stunnel/k.pem\n{extra}\n"
        )
    };
    // Somebody else listens there already.
    let _taken = std::net::TcpListener::bind("127.0.0.1:6380").unwrap();
    judge(&service("cert = /etc/stunnel/c.pem")).unwrap();
    let error = judge(&service("cert = /etc/stunnel/c.pem\nacept = 1")).unwrap_err();
    assert!(error.contains("/etc/stunnel/redis.conf:8:") && error.contains("acept"), "{error}");
    let error = judge(&service("cert = /etc/stunnel/missing.pem")).unwrap_err();
    assert!(error.contains("No such file"), "{error}");
    assert!(!Path::new("/run/x.pid").exists());
    assert!(!world.run(&["pgrep", "stunnel4"]).success(), "a trial is still there");
}

use super::*;
use muster_domain::inventory::InstalledFirewallRule;
use muster_platform::{CommandOutput, FakeHost};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Files of a host that somebody has kept by hand for some years.
fn files(root: &Path) {
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("etc/hostname", "shop-1\n");
    write("etc/timezone", "Europe/Berlin\n");
    write(
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n\
         amara:x:1000:1000:Amara,,,:/home/amara:/bin/bash\nnobody:x:65534:65534::/:/usr/sbin/nologin\n",
    );
    write("etc/group", "root:x:0:\nsudo:x:27:amara\namara:x:1000:\nshop:x:1002:amara,www-data\n");
    write("etc/sudoers.d/amara", "amara ALL=(ALL) NOPASSWD:ALL\n");
    write(
        "home/amara/.ssh/authorized_keys",
        "# laptop\nssh-ed25519 AAAAC3Nza amara@laptop\nroot:$6$x$y:1:\n",
    );
    write(
        "home/amara/.pm2/dump.pm2",
        r#"[{"name": "web", "pm_exec_path": "/srv/web/s.js", "env": {"KEY": "hush"}}]"#,
    );
    write("etc/cron.d/nightly", "PATH=/bin\n15 2 * * * amara /srv/report --all\n");
    write("etc/crontab", "17 * * * * root cd / && run-parts --report /etc/cron.hourly\n");
    write("var/spool/cron/crontabs/amara", "@daily /srv/clean\n");
    write("etc/nginx/sites-available/shop", "server {}\n");
    write("etc/nginx/snippets/shop.key", "-----BEGIN PRIVATE KEY-----\nhush\n");
    fs::create_dir_all(root.join("etc/nginx/sites-enabled")).unwrap();
    std::os::unix::fs::symlink("../sites-available/shop", root.join("etc/nginx/sites-enabled/shop")).unwrap();
    write("etc/ufw/ufw.conf", "# x\nENABLED=yes\nLOGLEVEL=low\n");
    write("etc/default/ufw", "IPV6=yes\nDEFAULT_INPUT_POLICY=\"DROP\"\n");
    write(
        "etc/ufw/user.rules",
        "### tuple ### allow tcp 22 0.0.0.0/0 any 10.0.0.0/8 in\n### tuple ### allow any 80 0.0.0.0/0 any 0.0.0.0/0 in\n\
         ### tuple ### deny tcp 25 0.0.0.0/0 any 0.0.0.0/0 out\n",
    );
    write("etc/ufw/user6.rules", "### tuple ### allow any 80 ::/0 any ::/0 in\n");
    write("etc/sysctl.d/90-shop.conf", "net.core.somaxconn = 4096\n");
}

#[test]
fn a_host_kept_by_hand_is_read_without_its_secrets() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let host = FakeHost::new("shop-1");
    let says =
        |text: &str| CommandOutput { code: Some(0), stdout: text.as_bytes().to_vec(), stderr: String::new() };
    host.set_program("apt-mark", says("nginx\nlinux-image-amd64\nbase-files\n"));
    host.set_program(
        "dpkg-query",
        says("ii \tnginx\tamd64\t1.22.1-9\toptional\tno\thttpd\t, \nii \tbase-files\tamd64\t12\trequired\tyes\tadmin\t, \nhi \tredis\tamd64\t7.0\toptional\tno\tdatabase\t, \n"),
    );
    for (name, mode) in [("worker.service", 0o600), ("open.service", 0o644)] {
        let path = dir.path().join("etc/systemd/system").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(
            &path,
            "[Service]\nEnvironment=KEY=hush\n"
                .replace("KEY=hush", if mode == 0o600 { "KEY=hush" } else { "A=1" }),
        )
        .unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    host.set_program("systemctl", says("worker.service enabled enabled\nopen.service enabled enabled\n"));
    let inventory = take(&host, dir.path());
    let units: Vec<_> = inventory.units.iter().map(|unit| unit.name.as_str()).collect();
    assert_eq!(units, ["open.service"]);
    assert!(inventory.notes.iter().any(|note| note.contains("worker.service was left out")));
    assert_eq!(inventory.hostname.as_deref(), Some("shop-1"));
    assert_eq!(inventory.timezone.as_deref(), Some("Europe/Berlin"));
    let packages: Vec<_> = inventory.packages.iter().map(|p| (p.name.as_str(), p.held)).collect();
    assert_eq!(packages, [("nginx", false), ("redis", true)]);
    let [amara] = &inventory.users[..] else { panic!("{:?}", inventory.users) };
    assert_eq!((amara.name.as_str(), amara.sudo, amara.comment.as_str()), ("amara", true, "Amara"));
    assert_eq!(amara.groups, ["sudo", "shop"]);
    assert_eq!(amara.authorized_keys, ["ssh-ed25519 AAAAC3Nza amara@laptop"]);
    assert_eq!(inventory.groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>(), ["shop"]);
    let jobs: Vec<_> = inventory
        .cron_jobs
        .iter()
        .map(|j| (j.user.as_str(), j.schedule.as_str(), j.command.as_str()))
        .collect();
    assert_eq!(jobs, [("amara", "@daily", "/srv/clean")]);
    let files: Vec<_> = inventory.files.iter().map(|f| (f.path.as_str(), f.link_to.as_deref())).collect();
    assert_eq!(
        files,
        [
            ("/etc/nginx/sites-available/shop", None),
            ("/etc/nginx/sites-enabled/shop", Some("../sites-available/shop")),
            ("/etc/cron.d/nightly", None),
            ("/etc/sysctl.d/90-shop.conf", None),
            ("/etc/sudoers.d/amara", None),
        ]
    );
    let firewall = inventory.firewall.as_ref().unwrap();
    assert!(firewall.active && firewall.default_incoming.as_deref() == Some("deny"));
    let rule = |port, protocol: Option<&str>, from: Option<&str>| InstalledFirewallRule {
        action: "allow".into(),
        port,
        port_to: None,
        protocol: protocol.map(str::to_owned),
        from: from.map(str::to_owned),
    };
    assert_eq!(firewall.rules, [rule(22, Some("tcp"), Some("10.0.0.0/8")), rule(80, None, None)]);
    assert_eq!(firewall.other_rules.len(), 1, "{:?}", firewall.other_rules);
    assert_eq!(inventory.pm2_applications[0].script, "/srv/web/s.js");
    let text = serde_json::to_string(&inventory).unwrap();
    assert!(!text.contains("hush") && !text.contains("$6$"), "{text}");
    assert!(inventory.notes.iter().any(|note| note.contains("shop.key")), "{:?}", inventory.notes);
}

#[test]
fn what_is_too_long_is_left_out_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("etc/nginx/conf.d");
    fs::create_dir_all(&folder).unwrap();
    for index in 0..8 {
        fs::write(folder.join(format!("site-{index}.conf")), "x".repeat(200_000)).unwrap();
    }
    fs::write(folder.join("huge.conf"), "x".repeat(300_000)).unwrap();
    let inventory = take(&FakeHost::new("h"), dir.path());
    assert!(serde_json::to_vec(&inventory).unwrap().len() <= MAX_INVENTORY_BYTES);
    assert!((1..8).contains(&inventory.files.len()));
    assert!(inventory.notes.iter().any(|note| note.contains("huge.conf")));
    assert!(inventory.notes.iter().any(|note| note.contains("was left out")));
}

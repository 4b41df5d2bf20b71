//! Every kind of resource on a real host: as it is declared, as it is declared otherwise, and broken by hand.

use anyhow::{Context as _, Result, bail};
use muster_lab::{Host, wait_for};

use crate::BOUND;
use crate::scene::{NODE, Scene};

/// A resource: its key, a line of shell that succeeds when the host has version `$V` of it, and one that breaks it.
struct Kind {
    key: &'static str,
    holds: &'static str,
    breaks: &'static str,
}

const KINDS: [Kind; 18] = [
    Kind {
        key: "directory:/srv/kinds",
        holds: "test $(stat -c %a /srv/kinds) = 75$V",
        breaks: "chmod 777 /srv/kinds",
    },
    Kind {
        key: "file:/srv/kinds/file",
        holds: "grep -qx \"version $V\" /srv/kinds/file && test $(stat -c %U:%a /srv/kinds/file) = root:64$V",
        breaks: "echo changed > /srv/kinds/file; chown nobody /srv/kinds/file",
    },
    Kind {
        key: "symlink:/srv/kinds/link",
        holds: "test $(readlink /srv/kinds/link) = target-$V",
        breaks: "ln -sfn elsewhere /srv/kinds/link",
    },
    Kind {
        key: "secret_file:/srv/kinds/secret",
        holds: "grep -qx \"kept secret $V\" /srv/kinds/secret && test $(stat -c %a /srv/kinds/secret) = 600",
        breaks: "chmod 644 /srv/kinds/secret; echo told > /srv/kinds/secret",
    },
    Kind {
        key: "package:hello",
        holds: "case $V in 1) hello > /dev/null;; 2) ! command -v hello;; esac",
        breaks: "apt-get -qq install --yes hello > /dev/null",
    },
    Kind {
        key: "apt_repository:kinds",
        holds: "grep -rqs bookworm-backports /etc/apt/sources.list.d/*kinds*",
        breaks: "rm /etc/apt/sources.list.d/*kinds*",
    },
    Kind { key: "group:crew", holds: "getent group crew", breaks: "groupmod --new-name ship crew" },
    Kind {
        key: "user:walter",
        holds: "test $(getent passwd walter | cut -d: -f5) = v$V && id -Gn walter | grep -qw crew",
        breaks: "usermod --comment changed --groups '' walter",
    },
    Kind {
        key: "authorized_key:walter",
        holds: "grep -q \"walter-$V\" ~walter/.ssh/authorized_keys",
        breaks: "rm ~walter/.ssh/authorized_keys",
    },
    Kind {
        key: "systemd_unit:kinds.service",
        holds: "systemctl cat kinds.service | grep -qx \"ExecStart=/bin/sleep 100$V\"",
        breaks: "sed -i s/100./77/ /etc/systemd/system/kinds.service",
    },
    Kind {
        key: "service:kinds.service",
        holds: "systemctl is-enabled --quiet kinds && systemctl is-active --quiet kinds && pgrep -f \"^/bin/sleep 100$V\"",
        breaks: "systemctl disable --quiet --now kinds",
    },
    Kind {
        key: "cron_job:kinds",
        holds: "grep -rqs \"^$V 4 \\* \\* \\* root .*true\" /etc/cron.d",
        breaks: "rm /etc/cron.d/*kinds*",
    },
    Kind {
        key: "logrotate:kinds",
        holds: "grep -rqs \"rotate $V\" /etc/logrotate.d/*kinds* && logrotate -d /etc/logrotate.conf 2> /dev/null",
        breaks: "echo > /etc/logrotate.d/$(basename /etc/logrotate.d/*kinds*)",
    },
    Kind {
        key: "sysctl:net.ipv4.ip_default_ttl",
        holds: "test $(sysctl -n net.ipv4.ip_default_ttl) = 6$V",
        breaks: "sysctl -qw net.ipv4.ip_default_ttl=70",
    },
    Kind {
        key: "hosts:node",
        holds: "getent hosts kinds.internal | grep -q \"10.9.9.$V \"",
        breaks: "sed -i /kinds.internal/d /etc/hosts",
    },
    Kind {
        key: "hostname:node",
        holds: "test $(hostname) = kinds-$V.example.com && grep -qx kinds-$V.example.com /etc/hostname",
        breaks: "hostname elsewhere; echo elsewhere > /etc/hostname",
    },
    Kind {
        key: "timezone:node",
        holds: "case $V in 1) zone=Europe/Berlin;; 2) zone=Europe/Paris;; esac; readlink /etc/localtime | grep -q $zone",
        breaks: "ln -sf /usr/share/zoneinfo/Etc/UTC /etc/localtime",
    },
    Kind { key: "command:kinds", holds: "grep -qx $V /srv/kinds-ran", breaks: "rm /srv/kinds-ran" },
];

fn sections(version: u8, mirror: &str, key: &str) -> String {
    let zone = if version == 1 { "Europe/Berlin" } else { "Europe/Paris" };
    let hello = if version == 1 { "present" } else { "absent" };
    let key = key.trim().lines().map(|line| format!("      {line}\n")).collect::<String>();
    format!(
        r#"base: {{ssh: false, firewall: false, updates: false, time_sync: false, journal: false, logrotate: false, timezone: {zone}}}
files:
  folder: {{path: /srv/kinds, directory: true, mode: "075{version}"}}
  file: {{path: /srv/kinds/file, content: "version {version}\n", mode: "064{version}"}}
  link: {{path: /srv/kinds/link, link_to: target-{version}}}
  secret: {{path: /srv/kinds/secret, secret: KINDS}}
packages:
  hello: {{ensure: {hello}}}
apt_repositories:
  kinds:
    uris: [{mirror}]
    suites: [bookworm-backports]
    components: [main]
    key: |
{key}groups:
  crew: {{}}
users:
  walter:
    comment: v{version}
    groups: [crew]
    keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHwv0Y8ZgVqbqjHFrcrKHn9VwR0mE3CdlRDqV8iCkFxR walter-{version}"]
systemd_units:
  kinds.service:
    content: |
      [Service]
      ExecStart=/bin/sleep 100{version}
      [Install]
      WantedBy=multi-user.target
services:
  kinds: {{}}
cron_jobs:
  kinds: {{schedule: "{version} 4 * * *", command: "/bin/true"}}
logrotate:
  kinds: {{logs: /var/log/kinds.log, keep: {version}}}
sysctl:
  net.ipv4.ip_default_ttl: {{value: 6{version}}}
hosts:
  kinds.internal: {{address: 10.9.9.{version}}}
commands:
  kinds: {{run: "echo {version} > /srv/kinds-ran", unless: "grep -qx {version} /srv/kinds-ran"}}
"#
    )
}

/// The kinds of which the host does not have this version.
fn missing(host: &Host, version: u8) -> Result<Vec<&'static str>> {
    let mut missing = Vec::new();
    for kind in &KINDS {
        let holds = format!("V={version}; {{ {}; }} > /dev/null", kind.holds);
        if host.exec(["bash", "-c", &holds])?.code != 0 {
            missing.push(kind.key);
        }
    }
    Ok(missing)
}

fn declare(scene: &Scene, version: u8, mirror: &str, key: &str) -> Result<()> {
    scene.fleet.set_secret("KINDS", &format!("kept secret {version}\n"))?;
    let node = format!(
        "  {NODE}: {{environment: production, roles: [app_server], hostname: kinds-{version}.example.com}}\n"
    );
    let sections = sections(version, mirror, key);
    scene.fleet.apply(&format!("environments: {{production: {{}}}}\nnodes:\n{node}{sections}"))?;
    scene.fleet.converged(&[NODE])
}

/// What made the last change of each resource.
fn causes(scene: &Scene) -> Result<Vec<(&'static str, String)>> {
    let cause = |kind: &Kind| {
        let resource = scene.fleet.resource(NODE, kind.key)?;
        Ok((kind.key, resource["change"].as_str().unwrap_or("none").to_owned()))
    };
    KINDS.iter().map(cause).collect()
}

#[test]
fn every_kind_of_resource_is_made_changed_and_healed() -> Result<()> {
    let scene = Scene::set()?;
    let host = &scene.host;
    host.sh("apt-get -qq update && apt-get -qq install --yes openssl > /dev/null")?;
    // Those of this machine, in either of the forms that apt reads.
    let mirror = host.sh("{ cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2> /dev/null || true; } | awk '$1 == \"URIs:\" || $1 == \"deb\" {print $2}' | sed -n 1p")?;
    let key = host.sh("cat /etc/apt/trusted.gpg.d/debian-archive-bookworm-automatic.asc")?;
    for version in [1, 2] {
        declare(&scene, version, mirror.trim(), &key)?;
        assert_eq!(missing(host, version)?, Vec::<&str>::new(), "version {version}");
        // The name of the node and the names that it resolves are in one file: the second settles what the first left, in
        // the run after.
        let meant = |(key, cause): &(&str, String)| cause == "intentional" || *key == "hostname:node";
        assert!(causes(&scene)?.iter().all(meant), "{:?}", causes(&scene)?);
    }
    for kind in &KINDS {
        host.sh(kind.breaks).with_context(|| format!("breaking {}", kind.key))?;
    }
    scene.fleet.look(NODE)?;
    wait_for("everything to be healed", BOUND, || {
        let missing = missing(host, 2)?;
        if missing.is_empty() { Ok(Some(())) } else { bail!("{missing:?}") }
    })?;
    scene.fleet.converged(&[NODE])?;
    assert!(causes(&scene)?.iter().all(|(_, cause)| cause == "corrective"), "{:?}", causes(&scene)?);
    // Values of secrets are in nothing that people see.
    let shown = scene.fleet.node(NODE)?.to_string() + &scene.fleet.cli().ok(&["events"])?.stdout;
    assert!(!shown.contains("kept secret"), "{shown}");
    Ok(())
}

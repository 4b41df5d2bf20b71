//! Every kind of resource on a real host: as it is declared, as it is declared otherwise, and broken by hand.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use muster_lab::{Host, Lab, wait_for};

use crate::programs::npm_registry;
use crate::scene::{NODE, Scene};

/// A resource: its key, a line of shell that succeeds when the host has version `$V` of it, and one that breaks it.
struct Kind {
    key: &'static str,
    holds: &'static str,
    breaks: &'static str,
}

/// What the kinds need, and what looks at them.
const INSTALLED: &str = "export DEBIAN_FRONTEND=noninteractive; apt-get -qq update; \
    apt-get -qq install --yes --no-install-recommends ufw openssl unattended-upgrades > /dev/null";

/// Node.js is fetched again, and an application started with it.
const HEALED: Duration = Duration::from_secs(120);

const KINDS: [Kind; 24] = [
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
    Kind {
        key: "certificate:kinds",
        holds: "cd /etc/ssl/muster && openssl verify -CAfile ca.crt -untrusted kinds.crt kinds.crt && \
            openssl x509 -in kinds.crt -noout -checkhost kinds-$V.internal | grep -q 'does match' && \
            test \"$(openssl x509 -in kinds.crt -noout -pubkey)\" = \"$(openssl pkey -in kinds.key -pubout)\" && \
            test $(stat -c %a kinds.key) = 600",
        breaks: "cd /etc/ssl/muster && openssl req -x509 -newkey ed25519 -nodes -days 30 -subj /CN=kinds \
            -addext subjectAltName=DNS:kinds-2.internal -keyout kinds.key -out kinds.crt 2> /dev/null; chmod 644 kinds.key",
    },
    Kind {
        key: "firewall:node",
        holds: "ufw status > /run/rules && grep -q '^Status: active' /run/rules && \
            grep -q \"^910$V/tcp .*ALLOW\" /run/rules && ! grep -q \"^910$((3 - V))\" /run/rules && ! grep -q 4444 /run/rules && \
            iptables -S | grep -q \"dport 910$V .*ACCEPT\"",
        breaks: "ufw delete allow 9102/tcp; ufw allow 4444/tcp",
    },
    Kind {
        key: "sshd:node",
        holds: "sshd -t && sshd -T | grep -qx \"maxauthtries $V\" && systemctl is-active --quiet ssh",
        breaks: "echo nonsense > /etc/ssh/sshd_config.d/00-muster.conf; ! sshd -t 2> /dev/null",
    },
    Kind {
        key: "os_updates:node",
        holds: "systemctl is-enabled --quiet apt-daily-upgrade.timer && apt-config dump > /run/settings && \
            grep -q 'APT::Periodic::Unattended-Upgrade \"1\"' /run/settings && \
            test $(grep -c 'Origins-Pattern.*origin=\\*' /run/settings) = $((V - 1))",
        breaks: "rm /etc/apt/apt.conf.d/90muster-updates; systemctl disable --quiet --now apt-daily-upgrade.timer",
    },
    Kind {
        key: "nodejs:20.19.4",
        holds: "test $(/var/lib/muster/nodejs/20.19.4/bin/node --version) = v20.19.4",
        breaks: "rm -r /var/lib/muster/nodejs/20.19.4",
    },
    Kind {
        key: "application:kinds",
        holds: "curl --silent --fail http://127.0.0.1:3000/ | grep -qx \"version $V\"",
        breaks: "muster-supervisor stop kinds --state-dir /var/lib/muster/supervisor > /dev/null",
    },
];

fn sections(version: u8, mirror: &str, key: &str) -> String {
    let zone = if version == 1 { "Europe/Berlin" } else { "Europe/Paris" };
    let hello = if version == 1 { "present" } else { "absent" };
    let updates = if version == 1 { "never" } else { "daily" };
    let key = key.trim().lines().map(|line| format!("      {line}\n")).collect::<String>();
    format!(
        r#"base:
  ssh: {{settings: {{MaxAuthTries: {version}}}}}
  updates: {{other: {updates}}}
  firewall: false
  time_sync: false
  journal: false
  logrotate: false
  timezone: {zone}
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
firewall:
  kinds: {{allow: 910{version}/tcp}}
certificates:
  kinds: {{dns_names: [kinds-{version}.internal], ca_path: /etc/ssl/muster/ca.crt}}
applications:
  kinds: {{nodejs: 20.19.4, script: server.js, port: 3000, health: {{http: /}}}}
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
    scene.fleet.converged(&[NODE])?;
    let app = scene.fleet.lab().scratch("app")?;
    let server = format!(
        "require('http').createServer((_, answer) => answer.end('version {version}\\n')).listen(process.env.PORT);\n"
    );
    fs::write(app.join("server.js"), server)?;
    let (dir, version) = (app.to_string_lossy().into_owned(), version.to_string());
    let cli = scene.fleet.cli();
    cli.ok(&["release", "create", "kinds", "--dir", &dir, "--version", &version])?;
    cli.ok(&["deploy", "kinds", "--release", &version, "--environment", "production", "--wait"])?;
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
fn no_kind_is_left_out() {
    let source = include_str!("../../../core/domain/src/resource.rs");
    let word = |line: &'static str| line.trim().split_once("(_) => \"")?.1.strip_suffix("\",");
    let words: Vec<&str> = source.lines().filter_map(word).collect();
    assert!(words.contains(&"application"), "{words:?}");
    for word in words {
        assert!(KINDS.iter().any(|kind| kind.key.split(':').next() == Some(word)), "{word}");
    }
}

#[test]
fn every_kind_of_resource_is_made_changed_and_healed() -> Result<()> {
    let image = Lab::new()?.prepared(INSTALLED)?;
    let scene = Scene::set_on(|host| host.image(&image))?;
    let host = &scene.host;
    if let Some(registry) = npm_registry() {
        host.write_file("/etc/npmrc", format!("registry={registry}\n").as_bytes())?;
    }
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
    let healed = wait_for("everything to be healed", HEALED, || {
        let missing = missing(host, 2)?;
        if missing.is_empty() { Ok(Some(())) } else { bail!("{missing:?}") }
    });
    if let Err(error) = healed {
        // What the node says of it is worth more than that it is missing.
        let said: Vec<_> = missing(host, 2)?
            .into_iter()
            .map(|key| scene.fleet.resource(NODE, key))
            .collect::<Result<_>>()?;
        let processes = host.sh("muster-supervisor list --state-dir /var/lib/muster/supervisor; ss -ltnp; ls -l /var/lib/muster/nodejs; journalctl -n 60 --no-pager")?;
        return Err(error.context(format!("the node says {said:?}, and runs {processes}")));
    }
    scene.fleet.converged(&[NODE])?;
    assert!(causes(&scene)?.iter().all(|(_, cause)| cause == "corrective"), "{:?}", causes(&scene)?);
    // Values of secrets are in nothing that people see.
    let shown = scene.fleet.node(NODE)?.to_string() + &scene.fleet.cli().ok(&["events"])?.stdout;
    assert!(!shown.contains("kept secret"), "{shown}");
    Ok(())
}

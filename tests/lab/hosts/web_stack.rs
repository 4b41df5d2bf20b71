//! A fleet as people run it: five hosts that join by one line, the base role, a load balancer, application servers.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result};
use muster_lab::fleet::Fleet;
use muster_lab::{Boot, Host, Lab, wait_for};

use crate::BOUND;
use crate::nginx::STACK;

const NODES: [&str; 5] = ["lb-1", "app-1", "app-2", "data-1", "stage-1"];
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBccjGatWnG3ESg05zIQbefygcpzgfuw36eOUnlg1hk6 amara@laptop";

/// `upstreams` are the addresses of the application servers.
fn declared(upstreams: &[String], greeting: &str) -> String {
    let upstreams: String = upstreams.iter().map(|one| format!("server {one}:3000; ")).collect();
    format!(
        r#"environments:
  production: {{max_changing: 1}}
  staging: {{}}
nodes:
  lb-1: {{environment: production, roles: [load_balancer]}}
  app-1: {{environment: production, roles: [app_server]}}
  app-2: {{environment: production, roles: [app_server]}}
  data-1: {{environment: production, roles: [datastore]}}
  stage-1: {{environment: staging, roles: [app_server]}}
# A container has no clock of its own to set.
base:
  admins: {{amara: {{keys: ["{KEY}"]}}}}
  time_sync: false
  timezone: Etc/UTC
  hostname: true
packages:
  nginx-light: {{on: {{roles: [load_balancer]}}}}
files:
  greeting: {{path: /etc/greeting, content: "{greeting}\n"}}
  site:
    path: /etc/nginx/conf.d/web.conf
    content: |
      upstream web {{ {upstreams}}}
      server {{ listen 80 default_server; location / {{ proxy_pass http://web; }} }}
    on: {{roles: [load_balancer]}}
services:
  nginx: {{reload_on: ["file:/etc/nginx/"], on: {{roles: [load_balancer]}}}}
firewall:
  web: {{allow: 80/tcp, on: {{roles: [load_balancer]}}}}
  app: {{allow: 3000/tcp, on: {{roles: [app_server]}}}}
applications:
  web: {{nodejs: ">=18", script: server.js, port: 3000, health: {{http: /}}}}
"#
    )
}

fn get(host: &Host) -> Result<String> {
    let url = format!("http://{}/", host.address());
    let output =
        std::process::Command::new("curl").args(["--silent", "--fail", "--max-time", "5", &url]).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn serves(host: &Host, text: &str) -> Result<()> {
    wait_for(&format!("{text:?} from {}", host.name()), BOUND, || Ok((get(host)? == text).then_some(())))
}

#[test]
fn five_hosts_become_a_web_stack_that_survives_hands_and_reboots() -> Result<()> {
    let fleet = Fleet::start()?;
    let image = fleet.lab().prepared(STACK)?;
    let hosts =
        fleet.lab().up_all(NODES.iter().map(|name| fleet.lab().host(name).image(&image)).collect())?;
    let addresses: Vec<String> = hosts[1..3].iter().map(|host| host.address().to_string()).collect();
    fleet.apply(&declared(&addresses, "one"))?;
    for host in &hosts {
        fleet.join(host)?;
    }
    fleet.converged(&NODES)?;
    let app = fleet.lab().scratch("app")?;
    fs::write(
        app.join("server.js"),
        "require('http').createServer((_, answer) => answer.end('hello')).listen(process.env.PORT || 3000);\n",
    )?;
    let dir = app.to_string_lossy().into_owned();
    fleet.cli().ok(&["release", "create", "web", "--dir", &dir, "--version", "1"])?;
    fleet.cli().ok(&["deploy", "web", "--release", "1", "--environment", "production", "--wait"])?;
    let (lb, app_1) = (&hosts[0], &hosts[1]);
    serves(lb, "hello")?;
    // The base role.
    for host in &hosts {
        assert!(host.run(["ufw", "status"])?.contains("Status: active"), "{}", host.name());
        assert!(host.run(["sshd", "-T"])?.contains("passwordauthentication no"), "{}", host.name());
        assert!(host.read_file("/home/amara/.ssh/authorized_keys")?.contains(KEY), "{}", host.name());
        assert_eq!(host.run(["hostname"])?.trim(), host.name());
    }
    assert_eq!(
        hosts[3].exec(["curl", "-s", "--max-time", "3", &format!("http://{}:22/", lb.address())])?.code,
        1,
        "SSH is open"
    );
    // By hand: the firewall off, nginx stopped, a file changed. All of it comes back, and is told as corrective.
    lb.sh("ufw --force disable; systemctl stop nginx; echo changed > /etc/greeting")?;
    fleet.look("lb-1")?;
    serves(lb, "hello")?;
    for key in ["firewall:node", "service:nginx.service", "file:/etc/greeting"] {
        fleet
            .until("lb-1", key, |found| found["change"] == "corrective" && found["status"] == "converged")?;
    }
    assert!(lb.run(["ufw", "status"])?.contains("Status: active"));
    fleet.converged(&["lb-1"])?;
    fleet.apply(&declared(&addresses, "two"))?;
    fleet.converged(&NODES)?;
    assert_eq!(fleet.resource("lb-1", "file:/etc/greeting")?["change"], "intentional");
    // A power cut: everything is back by itself, with the application.
    app_1.pull_plug()?;
    let boot = app_1.start()?;
    assert_eq!(boot, Boot::Running, "{}", app_1.failed_units()?);
    wait_for("the application after the boot", BOUND, || {
        let answer = app_1.exec(["curl", "--silent", "http://127.0.0.1:3000/"])?;
        Ok((answer.stdout == "hello").then_some(()))
    })
    .context("nobody started it")?;
    fleet.converged(&NODES)?;
    assert!(app_1.run(["ufw", "status"])?.contains("Status: active"));
    serves(lb, "hello")
}

#[test]
fn an_existing_host_is_adopted_without_a_change() -> Result<()> {
    let fleet = Fleet::start()?;
    let image = Lab::new()?.prepared(STACK)?;
    let host = fleet.lab().host("old-1").image(&image).up()?;
    let declared = |fragment: &str| {
        format!(
            "environments: {{production: {{}}}}\nnodes:\n  old-1: {{environment: production}}\n{fragment}"
        )
    };
    host.sh(
        "useradd --create-home --shell /bin/bash walter; echo '5 4 * * * root /bin/true' > /etc/cron.d/nightly; \
         echo 'server { listen 8080; }' > /etc/nginx/conf.d/old.conf; systemctl reload nginx; \
         ufw allow 22/tcp > /dev/null; ufw --force enable > /dev/null",
    )?;
    fleet.apply(&declared(""))?;
    fleet.join(&host)?;
    fleet.converged(&["old-1"])?;
    let before = sums(&host)?;
    let fragment = fleet.cli().ok(&["node", "inspect", "old-1"])?.stdout;
    for known in ["nginx-light", "walter", "nightly", "/etc/nginx/conf.d/old.conf"] {
        assert!(fragment.contains(known), "{known} is not in:\n{fragment}");
    }
    let file = fleet.lab().scratch("fragment")?.join("old.yaml");
    fs::write(&file, &fragment)?;
    fleet.apply(&merged(&declared(""), &fragment))?;
    fleet.converged(&["old-1"])?;
    let changed: Vec<String> = sums(&host)?.symmetric_difference(&before).cloned().collect();
    assert!(changed.is_empty(), "adopting changed {changed:?} by\n{fragment}");
    Ok(())
}

/// Every file of the configuration with its digest.
fn sums(host: &Host) -> Result<BTreeSet<String>> {
    let listed = host.sh("find /etc -xdev -type f ! -path /etc/machine-id -exec md5sum {} +")?;
    Ok(listed.lines().map(str::to_owned).collect())
}

/// The fragment below what declares the node, unless it does that itself.
fn merged(head: &str, fragment: &str) -> String {
    let named = |section: &str| fragment.lines().any(|line| line.starts_with(section));
    if named("environments:") || named("nodes:") { fragment.to_owned() } else { format!("{head}{fragment}") }
}

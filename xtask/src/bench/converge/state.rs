//! The state that both have to find: one list, written down as a Puppet manifest and as a fleet file.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use muster_lab::Host;

pub(super) const FILES: usize = 100;
const FOLDER: &str = "/etc/bench";
pub(super) const SERVICES: usize = 20;
/// Small ones with services, that run side by side in a container.
pub(super) const PACKAGES: [&str; 10] = [
    "at",
    "beanstalkd",
    "haproxy",
    "memcached",
    "mosquitto",
    "nginx-light",
    "redis-server",
    "rpcbind",
    "rsyslog",
    "tinyproxy",
];

/// What a host is to be.
pub(super) struct State {
    services: Vec<String>,
}

impl State {
    /// The files and packages above, and services that this host has enabled and running, topped up with units made for
    /// this, so that there are as many as there should be.
    pub(super) fn of(host: &Host) -> Result<Self> {
        let listed = host.sh(
            "systemctl list-unit-files --state=enabled --type=service,timer,socket --no-legend --plain | awk '{print $1}' \
             | grep -v @ | while read -r unit; do systemctl is-active --quiet \"$unit\" && echo \"$unit\"; done; true",
        )?;
        let mut services: Vec<String> = listed.lines().map(str::to_owned).collect();
        services.truncate(SERVICES);
        for number in services.len()..SERVICES {
            let name = format!("bench-{number}.service");
            let unit = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n";
            host.write_file(&format!("/etc/systemd/system/{name}"), unit.as_bytes())?;
            host.run(["systemctl", "enable", "--quiet", "--now", &name])?;
            services.push(name);
        }
        if services.len() != SERVICES {
            bail!("a host with {} services", services.len());
        }
        Ok(Self { services })
    }

    /// As a manifest of Puppet.
    pub(super) fn manifest(&self) -> String {
        let mut text = format!("file {{ '{FOLDER}': ensure => directory }}\n");
        for (path, content) in files(FILES) {
            // Writing to a string cannot fail.
            writeln!(text, "file {{ '{path}': ensure => file, mode => '0644', content => '{content}' }}")
                .ok();
        }
        for package in PACKAGES {
            writeln!(text, "package {{ '{package}': ensure => installed }}").ok();
        }
        for service in &self.services {
            writeln!(text, "service {{ '{service}': ensure => running, enable => true }}").ok();
        }
        text
    }

    /// As a fleet file with one node, and with so many files.
    pub(super) fn fleet(&self, node: &str, count: usize) -> String {
        let mut text = format!(
            "environments: {{production: {{}}}}\nnodes:\n  {node}: {{environment: production}}\nfiles:\n"
        );
        writeln!(text, "  folder: {{path: {FOLDER}, directory: true}}").ok();
        for (path, content) in files(count) {
            let name = path.rsplit('/').next().unwrap_or_default();
            writeln!(text, "  {name}: {{path: {path}, content: \"{content}\", mode: \"0644\"}}").ok();
        }
        writeln!(text, "packages:").ok();
        for package in PACKAGES {
            writeln!(text, "  {package}: {{}}").ok();
        }
        writeln!(text, "services:").ok();
        for service in &self.services {
            writeln!(text, "  {service}: {{}}").ok();
        }
        text
    }
}

/// Paths and contents: of the size that configuration files have.
pub(super) fn files(count: usize) -> impl Iterator<Item = (String, String)> {
    (0..count).map(|number| {
        (format!("{FOLDER}/file-{number:03}.conf"), format!("setting_{number} = {}", "value ".repeat(100)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_descriptions_have_everything() {
        let services = (0..SERVICES).map(|number| format!("unit-{number}.service")).collect();
        let state = State { services };
        let (manifest, fleet) = (state.manifest(), state.fleet("bench", FILES));
        let count = |kind: &str| manifest.lines().filter(|line| line.starts_with(kind)).count();
        assert_eq!(
            (count("file "), count("package "), count("service ")),
            (FILES + 1, PACKAGES.len(), SERVICES)
        );
        // The folder, and one line each.
        assert_eq!(
            fleet.lines().filter(|line| line.starts_with("  ")).count(),
            1 + 1 + FILES + PACKAGES.len() + SERVICES
        );
    }
}

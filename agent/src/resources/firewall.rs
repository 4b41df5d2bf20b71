//! The firewall: ufw, by its files and its own commands.
//!
//! Its files say what it was told, and `iptables -S` what the kernel holds; both are cheap, where `ufw status` starts an
//! interpreter. It is told the least that leads to what is wanted, one command at a time.

mod files;

use super::Look;
use crate::identity::IdentityStore;
use crate::link::dial::ControllerAddress;
use muster_domain::resource::{Firewall, FirewallPolicy, FirewallRule, PortRange, RuleAction, Transport};
use muster_planning::convergence::{
    self, Action, Live, Observed, ObservedFirewall, UfwRule, Verdict, firewall_commands, firewall_diff,
    firewall_removal,
};
use muster_platform::{CommandLine, Fault, Host, HostError, MAX_OUTPUT_BYTES};
use std::collections::BTreeSet;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;

/// One command of ufw: an interpreter that starts, and a reload of all rules.
const UFW_TIMEOUT_MS: u64 = 60_000;
/// One look at what the kernel holds.
const IPTABLES_TIMEOUT_MS: u64 = 10_000;

/// Rules of a host that somebody writes by hand have some hundred lines.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

const DNS_PORT: u16 = 53;

pub(super) fn observe(look: Look<'_>, wanted: &Firewall) -> Observed {
    if !look.host.privileged() {
        return Observed::Unsupported("the firewall needs an agent that runs as root".into());
    }
    if look.host.find_program("ufw").is_none() {
        return Observed::Unreadable("ufw is not installed on this node: declare the package ufw".into());
    }
    found(look, wanted).map_or_else(Observed::Unreadable, Observed::Firewall)
}

pub(super) fn apply(look: Look<'_>, wanted: &Firewall, action: Action) -> Result<Option<String>, String> {
    if action != Action::ConfigureFirewall {
        return Err(format!("{action:?} cannot be done for it"));
    }
    let before = found(look, wanted)?;
    for command in firewall_commands(wanted, &before) {
        tell(look.host, &command)?;
    }
    if before.live == Live::Differs {
        mend_hooks(look.host)?;
    }
    // ufw ends well when it did not understand what it was to take away.
    let after = Observed::Firewall(found(look, wanted)?);
    let desired = muster_domain::resource::DesiredState::Firewall(wanted.clone());
    match convergence::verdict(&desired, &after, convergence::Effort::default()) {
        Verdict::InPlace => Ok(None),
        Verdict::Change { reason, .. } => Err(format!("ufw was told, and still: {reason}")),
        other => Err(format!("ufw was told, and now: {other:?}")),
    }
}

pub(super) fn diff(_look: Look<'_>, wanted: &Firewall, observed: &Observed) -> Option<String> {
    let Observed::Firewall(found) = observed else { return None };
    Some(firewall_diff(wanted, found)).filter(|diff| !diff.is_empty())
}

pub(super) fn remove(look: Look<'_>, wanted: &Firewall) -> Result<Option<String>, String> {
    if !look.host.privileged() || look.host.find_program("ufw").is_none() {
        return Ok(None);
    }
    let commands = firewall_removal(wanted, &found(look, wanted)?);
    for command in &commands {
        tell(look.host, command)?;
    }
    let told = !commands.is_empty();
    Ok(told.then(|| "turned the firewall off and took its declared rules away".to_owned()))
}

fn found(look: Look<'_>, wanted: &Firewall) -> Result<ObservedFirewall, String> {
    let host = look.host;
    let read = |path: &str| read(host, path).map_err(|error| error.to_string());
    let (conf, defaults) = (read("/etc/ufw/ufw.conf")?, read("/etc/default/ufw")?);
    let ipv6 = files::setting(&defaults, "IPV6").is_some_and(|value| value.eq_ignore_ascii_case("yes"));
    let (rules4, rules6) =
        (read("/etc/ufw/user.rules")?, if ipv6 { read("/etc/ufw/user6.rules")? } else { String::new() });
    let enabled = files::setting(&conf, "ENABLED").is_some_and(|value| value.eq_ignore_ascii_case("yes"));
    let incoming = files::policy(&defaults, "DEFAULT_INPUT_POLICY");
    let parse = |text: &str| text.lines().filter_map(UfwRule::parse).collect();
    let as_filed = !enabled
        || (kernel_agrees(host, "iptables", "ufw", &rules4, incoming)
            && (!ipv6 || kernel_agrees(host, "ip6tables", "ufw6", &rules6, incoming)));
    Ok(ObservedFirewall {
        enabled,
        ipv6,
        incoming,
        outgoing: files::policy(&defaults, "DEFAULT_OUTPUT_POLICY"),
        v4: parse(&rules4),
        v6: parse(&rules6),
        live: if as_filed { Live::AsFiled } else { Live::Differs },
        way_out: if wanted.outgoing == FirewallPolicy::Allow { Vec::new() } else { way_out(look)? },
    })
}

fn read(host: &dyn Host, path: &str) -> Result<String, HostError> {
    match host.read(Path::new(path), MAX_FILE_BYTES) {
        Ok(content) => Ok(String::from_utf8_lossy(&content).into_owned()),
        Err(HostError { fault: Fault::NotFound, .. }) => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// Whether the kernel holds what a file of ufw says. One that cannot be asked is believed.
fn kernel_agrees(
    host: &dyn Host,
    program: &str,
    prefix: &str,
    rules: &str,
    incoming: Option<FirewallPolicy>,
) -> bool {
    iptables(host, program, &["-S".to_owned()])
        .is_none_or(|kernel| files::holds(&kernel, prefix, rules, incoming))
}

/// Hooks the chains of ufw in where somebody took them out.
fn mend_hooks(host: &dyn Host) -> Result<(), String> {
    for (program, prefix) in [("iptables", "ufw"), ("ip6tables", "ufw6")] {
        let Some(kernel) = iptables(host, program, &["-S".to_owned()]) else { continue };
        for command in files::hooks_to_mend(&kernel, prefix) {
            if iptables(host, program, &command).is_none() {
                return Err(format!("`{program} {}` failed", command.join(" ")));
            }
        }
    }
    Ok(())
}

/// What it prints; `None` when it failed, or printed more than is kept: of a list that was cut nothing follows.
fn iptables(host: &dyn Host, program: &str, args: &[String]) -> Option<String> {
    let command = CommandLine {
        program: program.into(),
        args: args.to_vec(),
        timeout_ms: IPTABLES_TIMEOUT_MS,
        ..CommandLine::default()
    };
    let output = host.run(&command).ok().filter(muster_platform::CommandOutput::success)?;
    if output.stdout.len() >= MAX_OUTPUT_BYTES {
        tracing::debug!(
            program,
            "prints more rules than are read; the kernel is believed to hold what ufw was told"
        );
        return None;
    }
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn tell(host: &dyn Host, words: &[String]) -> Result<(), String> {
    let command = CommandLine {
        program: "ufw".into(),
        args: words.to_vec(),
        // What it prints is read by us, not by people of this host.
        env: vec![("LC_ALL".into(), "C".into())],
        timeout_ms: UFW_TIMEOUT_MS,
        ..CommandLine::default()
    };
    let output = host.run(&command).map_err(|error| error.to_string())?;
    if output.success() {
        return Ok(());
    }
    let error = output.stderr.lines().find_map(|line| line.strip_prefix("ERROR: "));
    let said = error.or_else(|| output.stderr.lines().next()).unwrap_or("it does not say why");
    Err(format!("`ufw {}` failed: {said}", words.join(" ")))
}

/// What this agent needs to go on being told what to do, when nothing else may go out: its controller, and whoever knows
/// the controller's address.
fn way_out(look: Look<'_>) -> Result<Vec<FirewallRule>, String> {
    let Ok(enrolment) = IdentityStore::new(look.state.clone()).enrolment() else { return Ok(Vec::new()) };
    let Ok(controller) = ControllerAddress::parse(&enrolment.controller_url) else { return Ok(Vec::new()) };
    let (host, port) = (controller.host(), controller.port());
    let addresses = (host, port).to_socket_addrs().map_err(|error| {
        format!(
            "the controller's name {host:?} cannot be looked up ({error}), so its way cannot be kept open"
        )
    })?;
    let addresses: BTreeSet<IpAddr> =
        addresses.map(|address| address.ip()).filter(|ip| !ip.is_loopback()).collect();
    let allow = |to: IpAddr, protocol, port, comment: &str| FirewallRule {
        action: RuleAction::Allow,
        outgoing: true,
        protocol,
        port: Some(PortRange { first: port, last: port }),
        from: None,
        to: Some(to.to_string()),
        interface: None,
        comment: Some(comment.into()),
    };
    let mut rules: Vec<FirewallRule> = addresses
        .into_iter()
        .map(|to| allow(to, Some(Transport::Tcp), port, "muster: the controller"))
        .collect();
    if host.parse::<IpAddr>().is_err() {
        let servers = name_servers(look.host)?;
        rules.extend(servers.into_iter().map(|to| allow(to, None, DNS_PORT, "muster: names")));
    }
    Ok(rules)
}

fn name_servers(host: &dyn Host) -> Result<BTreeSet<IpAddr>, String> {
    let mut servers = BTreeSet::new();
    // The second is where systemd-resolved says whom it asks itself.
    for path in ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"] {
        match read(host, path) {
            Ok(text) => servers.extend(files::name_servers(&text)),
            // Often a link; whom it names is in the other file.
            Err(HostError { fault: Fault::NotAFile, .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(servers)
}

#[cfg(test)]
mod tests;

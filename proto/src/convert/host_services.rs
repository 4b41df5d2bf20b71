//! Services, settings, firewall and validators of a host. Each name is checked here, because it ends up in a file or a command
//! line of root's.

use super::InvalidMessage;
use super::desired_state::absolute;
use super::host_resources::{MAX_LINE_BYTES, checked, line, maybe};
use crate::v1;
use muster_domain::{
    host_names as names,
    resource::{
        Command, CronJob, Firewall, FirewallPolicy, FirewallRule, Logrotate, PortRange, RuleAction, Service,
        Sshd, SystemdUnit, Transport, Validator,
    },
};

impl From<&SystemdUnit> for v1::SystemdUnit {
    fn from(unit: &SystemdUnit) -> Self {
        let SystemdUnit { name, content } = unit;
        Self { name: name.clone(), content: content.clone() }
    }
}

impl TryFrom<v1::SystemdUnit> for SystemdUnit {
    type Error = InvalidMessage;
    fn try_from(wire: v1::SystemdUnit) -> Result<Self, InvalidMessage> {
        let name = checked("systemd_unit.name", wire.name, names::unit_file)?;
        Ok(Self { name, content: wire.content })
    }
}

impl From<&Logrotate> for v1::Logrotate {
    fn from(rules: &Logrotate) -> Self {
        let Logrotate { name, content } = rules;
        Self { name: name.clone(), content: content.clone() }
    }
}

impl TryFrom<v1::Logrotate> for Logrotate {
    type Error = InvalidMessage;
    fn try_from(wire: v1::Logrotate) -> Result<Self, InvalidMessage> {
        let name = checked("logrotate.name", wire.name, names::drop_in)?;
        Ok(Self { name, content: wire.content })
    }
}

fn settings(pairs: &[(String, String)]) -> Vec<v1::Setting> {
    pairs.iter().map(|(name, value)| v1::Setting { name: name.clone(), value: value.clone() }).collect()
}

fn pairs(
    field: &'static str,
    settings: Vec<v1::Setting>,
    rule: fn(&str) -> bool,
) -> Result<Vec<(String, String)>, InvalidMessage> {
    settings
        .into_iter()
        .map(|s| Ok((checked(field, s.name, rule)?, checked(field, s.value, line)?)))
        .collect()
}

impl From<&CronJob> for v1::CronJob {
    fn from(job: &CronJob) -> Self {
        let CronJob { name, user, schedule, command, env } = job;
        Self {
            name: name.clone(),
            user: user.clone(),
            schedule: schedule.clone(),
            command: command.clone(),
            env: settings(env),
        }
    }
}

impl TryFrom<v1::CronJob> for CronJob {
    type Error = InvalidMessage;
    fn try_from(wire: v1::CronJob) -> Result<Self, InvalidMessage> {
        Ok(Self {
            name: checked("cron_job.name", wire.name, names::drop_in)?,
            user: checked("cron_job.user", wire.user, names::account)?,
            schedule: checked("cron_job.schedule", wire.schedule, |text| !text.is_empty() && line(text))?,
            command: checked("cron_job.command", wire.command, |text| !text.is_empty() && line(text))?,
            env: pairs("cron_job.env", wire.env, names::variable)?,
        })
    }
}

impl From<&Sshd> for v1::Sshd {
    fn from(sshd: &Sshd) -> Self {
        Self { settings: settings(&sshd.settings) }
    }
}

impl TryFrom<v1::Sshd> for Sshd {
    type Error = InvalidMessage;
    fn try_from(wire: v1::Sshd) -> Result<Self, InvalidMessage> {
        Ok(Self { settings: pairs("sshd.settings", wire.settings, names::sshd_keyword)? })
    }
}

const fn policy(policy: FirewallPolicy) -> v1::FirewallPolicy {
    match policy {
        FirewallPolicy::Allow => v1::FirewallPolicy::Allow,
        FirewallPolicy::Deny => v1::FirewallPolicy::Deny,
        FirewallPolicy::Reject => v1::FirewallPolicy::Reject,
    }
}

fn policy_back(policy: v1::FirewallPolicy) -> Result<FirewallPolicy, InvalidMessage> {
    Ok(match policy {
        v1::FirewallPolicy::Allow => FirewallPolicy::Allow,
        v1::FirewallPolicy::Deny => FirewallPolicy::Deny,
        v1::FirewallPolicy::Reject => FirewallPolicy::Reject,
        v1::FirewallPolicy::Unspecified => return Err(InvalidMessage::new("firewall.policy", "is missing")),
    })
}

impl From<&Firewall> for v1::Firewall {
    fn from(firewall: &Firewall) -> Self {
        let Firewall { incoming, outgoing, rules, exclusive } = firewall;
        Self {
            incoming: policy(*incoming).into(),
            outgoing: policy(*outgoing).into(),
            rules: rules.iter().map(Into::into).collect(),
            exclusive: *exclusive,
        }
    }
}

impl TryFrom<v1::Firewall> for Firewall {
    type Error = InvalidMessage;
    fn try_from(wire: v1::Firewall) -> Result<Self, InvalidMessage> {
        Ok(Self {
            incoming: policy_back(wire.incoming())?,
            outgoing: policy_back(wire.outgoing())?,
            rules: wire.rules.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            exclusive: wire.exclusive,
        })
    }
}

impl From<&FirewallRule> for v1::FirewallRule {
    fn from(rule: &FirewallRule) -> Self {
        let FirewallRule { action, outgoing, protocol, port, from, to, interface, comment } = rule;
        let action = match action {
            RuleAction::Allow => v1::RuleAction::Allow,
            RuleAction::Deny => v1::RuleAction::Deny,
            RuleAction::Reject => v1::RuleAction::Reject,
            RuleAction::Limit => v1::RuleAction::Limit,
        };
        let protocol = match protocol {
            None => v1::Transport::Unspecified,
            Some(Transport::Tcp) => v1::Transport::Tcp,
            Some(Transport::Udp) => v1::Transport::Udp,
        };
        Self {
            action: action.into(),
            outgoing: *outgoing,
            protocol: protocol.into(),
            first_port: port.map_or(0, |port| port.first.into()),
            last_port: port.map_or(0, |port| port.last.into()),
            from: from.clone(),
            to: to.clone(),
            interface: interface.clone(),
            comment: comment.clone(),
        }
    }
}

impl TryFrom<v1::FirewallRule> for FirewallRule {
    type Error = InvalidMessage;
    fn try_from(wire: v1::FirewallRule) -> Result<Self, InvalidMessage> {
        let action = match wire.action() {
            v1::RuleAction::Allow => RuleAction::Allow,
            v1::RuleAction::Deny => RuleAction::Deny,
            v1::RuleAction::Reject => RuleAction::Reject,
            v1::RuleAction::Limit => RuleAction::Limit,
            v1::RuleAction::Unspecified => return Err(InvalidMessage::new("firewall.action", "is missing")),
        };
        let protocol = match wire.protocol() {
            v1::Transport::Unspecified => None,
            v1::Transport::Tcp => Some(Transport::Tcp),
            v1::Transport::Udp => Some(Transport::Udp),
        };
        let port = match (wire.first_port, wire.last_port) {
            (0, 0) => None,
            (first, last) => {
                let port = |number| u16::try_from(number).ok().filter(|port| *port > 0);
                match (port(first), port(last)) {
                    (Some(first), Some(last)) if first <= last => Some(PortRange { first, last }),
                    _ => return Err(InvalidMessage::new("firewall.port", "is not a range of ports")),
                }
            }
        };
        Ok(Self {
            action,
            outgoing: wire.outgoing,
            protocol,
            port,
            from: maybe("firewall.from", wire.from, names::network)?,
            to: maybe("firewall.to", wire.to, names::network)?,
            interface: maybe("firewall.interface", wire.interface, names::interface)?,
            comment: maybe("firewall.comment", wire.comment, |text| names::line(text, 200))?,
        })
    }
}

impl From<&Service> for v1::Service {
    fn from(service: &Service) -> Self {
        let Service { name, enabled, running } = service;
        Self { name: name.clone(), enabled: *enabled, running: *running }
    }
}

impl TryFrom<v1::Service> for Service {
    type Error = InvalidMessage;
    fn try_from(wire: v1::Service) -> Result<Self, InvalidMessage> {
        let name = checked("service.name", wire.name, names::unit)?;
        Ok(Self { name, enabled: wire.enabled, running: wire.running })
    }
}

impl From<&Command> for v1::Command {
    fn from(command: &Command) -> Self {
        let Command { name, run, unless, creates, only_on_change, user, cwd, timeout_ms } = command;
        Self {
            name: name.clone(),
            run: run.clone(),
            unless: unless.clone(),
            creates: creates.clone(),
            only_on_change: *only_on_change,
            user: user.clone(),
            cwd: cwd.clone(),
            timeout_ms: *timeout_ms,
        }
    }
}

impl TryFrom<v1::Command> for Command {
    type Error = InvalidMessage;
    fn try_from(wire: v1::Command) -> Result<Self, InvalidMessage> {
        // A shell script of several lines is fine; what the kernel could not take is not.
        let script = |text: &str| !text.is_empty() && text.len() <= MAX_LINE_BYTES && !text.contains('\0');
        Ok(Self {
            name: checked("command.name", wire.name, names::drop_in)?,
            run: checked("command.run", wire.run, script)?,
            unless: maybe("command.unless", wire.unless, script)?,
            creates: wire.creates.map(absolute).transpose()?,
            only_on_change: wire.only_on_change,
            user: maybe("command.user", wire.user, names::account)?,
            cwd: wire.cwd.map(absolute).transpose()?,
            timeout_ms: wire.timeout_ms,
        })
    }
}

impl From<&Validator> for v1::Validator {
    fn from(validator: &Validator) -> Self {
        use v1::validator::{Kind, Unit};
        let kind = match validator {
            Validator::Nginx => Kind::Nginx(Unit {}),
            Validator::Sshd => Kind::Sshd(Unit {}),
            Validator::Sudoers => Kind::Sudoers(Unit {}),
            Validator::Haproxy => Kind::Haproxy(Unit {}),
            Validator::Stunnel => Kind::Stunnel(Unit {}),
            Validator::Logrotate => Kind::Logrotate(Unit {}),
            Validator::Cron => Kind::Cron(Unit {}),
            Validator::SystemdUnit => Kind::SystemdUnit(Unit {}),
            Validator::Command(line) => Kind::Command(line.clone()),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<v1::Validator> for Validator {
    type Error = InvalidMessage;
    fn try_from(wire: v1::Validator) -> Result<Self, InvalidMessage> {
        use v1::validator::Kind;
        Ok(match wire.kind {
            Some(Kind::Nginx(_)) => Self::Nginx,
            Some(Kind::Sshd(_)) => Self::Sshd,
            Some(Kind::Sudoers(_)) => Self::Sudoers,
            Some(Kind::Haproxy(_)) => Self::Haproxy,
            Some(Kind::Stunnel(_)) => Self::Stunnel,
            Some(Kind::Logrotate(_)) => Self::Logrotate,
            Some(Kind::Cron(_)) => Self::Cron,
            Some(Kind::SystemdUnit(_)) => Self::SystemdUnit,
            Some(Kind::Command(text)) => {
                Self::Command(checked("file.validate", text, |text| !text.is_empty() && line(text))?)
            }
            None => {
                return Err(InvalidMessage::new("file.validate", "a kind that this version does not know"));
            }
        })
    }
}

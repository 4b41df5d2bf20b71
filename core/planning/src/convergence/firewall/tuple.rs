//! A rule as ufw keeps it: one line `### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in` for each family of addresses.

use muster_domain::resource::{FirewallRule, PortRange, RuleAction, Transport};
use std::fmt;
use std::net::IpAddr;

/// What begins a line that holds a rule.
const MARK: &str = "### tuple ###";

/// A family of addresses. ufw keeps the rules of each apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Every address of it.
    pub const fn any(self) -> &'static str {
        match self {
            Self::V4 => "0.0.0.0/0",
            Self::V6 => "::/0",
        }
    }
}

/// A rule of one family, in the words of ufw. `any` stands for every port and every protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UfwRule {
    /// It is for what passes through the node.
    pub route: bool,
    /// What it does.
    pub action: RuleAction,
    /// `log` or `log-all`.
    pub log: Option<String>,
    /// The protocol.
    pub protocol: String,
    /// Ports of the receiver.
    pub port: String,
    /// The receiver.
    pub to: String,
    /// Ports of the sender.
    pub from_port: String,
    /// The sender.
    pub from: String,
    /// A profile of ufw that stands for the ports of the receiver.
    pub app: Option<String>,
    /// The same for the sender.
    pub from_app: Option<String>,
    /// For connections from the node.
    pub outgoing: bool,
    /// The interface that it comes in by.
    pub in_on: Option<String>,
    /// The interface that it goes out by.
    pub out_on: Option<String>,
    /// Why it is there.
    pub comment: Option<String>,
}

impl UfwRule {
    /// Reads a line of `user.rules`; `None` for any other line, and for one that ufw itself passes over.
    pub fn parse(line: &str) -> Option<Self> {
        let text = line.trim().strip_prefix(MARK)?;
        let (text, comment) = match text.split_once(" comment=") {
            None => (text, None),
            Some((text, hex)) => (text, Some(from_hex(hex.trim())?)),
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let (&[action, protocol, port, to, from_port, from], rest) = fields.split_first_chunk::<6>()?;
        let (apps, direction) = match *rest {
            [] => (None, "in"),
            [direction] => (None, direction),
            [app, from_app] => (Some((app, from_app)), "in"),
            [app, from_app, direction] => (Some((app, from_app)), direction),
            _ => return None,
        };
        let (route, action) = match action.strip_prefix("route:") {
            Some(action) => (true, action),
            None => (false, action),
        };
        let (action, log) = match action.split_once('_') {
            Some((action, log)) => (action, Some(log.to_owned())),
            None => (action, None),
        };
        let (outgoing, in_on, out_on) = interfaces(direction)?;
        let app = |name: &str| (name != "-").then(|| name.replace("%20", " "));
        Some(Self {
            route,
            action: read_action(action)?,
            log,
            protocol: protocol.to_owned(),
            port: port.to_owned(),
            to: to.to_owned(),
            from_port: from_port.to_owned(),
            from: from.to_owned(),
            app: apps.and_then(|(name, _)| app(name)),
            from_app: apps.and_then(|(_, name)| app(name)),
            outgoing,
            in_on,
            out_on,
            comment: comment.filter(|text| !text.is_empty()),
        })
    }

    /// Whether both do the same: what is written beside a rule does not count.
    pub fn same_effect(&self, other: &Self) -> bool {
        self.same_slot(other) && self.action == other.action && self.log == other.log
    }

    /// Whether ufw would take the other for another wording of the same rule: it has room for one of them.
    pub fn same_slot(&self, other: &Self) -> bool {
        let Self {
            route,
            action: _,
            log: _,
            protocol,
            port,
            to,
            from_port,
            from,
            app,
            from_app,
            outgoing,
            in_on,
            out_on,
            comment: _,
        } = self;
        (route, protocol, port, to, from_port, from, app, from_app, outgoing, in_on, out_on)
            == (
                &other.route,
                &other.protocol,
                &other.port,
                &other.to,
                &other.from_port,
                &other.from,
                &other.app,
                &other.from_app,
                &other.outgoing,
                &other.in_on,
                &other.out_on,
            )
    }

    /// The rule as arguments of `ufw`, without `insert`, `delete` and the comment. With `both`, it is for both families.
    pub fn words(&self, both: bool) -> Vec<String> {
        let mut words: Vec<String> = vec![action(self.action).into()];
        let mut say = |these: &[&str]| words.extend(these.iter().map(|word| (*word).to_owned()));
        if self.route {
            if let Some(name) = &self.in_on {
                say(&["in", "on", name]);
            }
            if let Some(name) = &self.out_on {
                say(&["out", "on", name]);
            }
        } else {
            let (word, on) = if self.outgoing { ("out", &self.out_on) } else { ("in", &self.in_on) };
            say(&[word]);
            if let Some(name) = on {
                say(&["on", name]);
            }
        }
        if let Some(log) = &self.log {
            say(&[log]);
        }
        // A profile brings its protocol with it.
        if self.protocol != "any" && self.app.is_none() && self.from_app.is_none() {
            say(&["proto", &self.protocol]);
        }
        say(&["from", if both { "any" } else { &self.from }]);
        match &self.from_app {
            Some(app) => say(&["app", app]),
            None if self.from_port != "any" => say(&["port", &self.from_port]),
            None => {}
        }
        say(&["to", if both { "any" } else { &self.to }]);
        match &self.app {
            Some(app) => say(&["app", app]),
            None if self.port != "any" => say(&["port", &self.port]),
            None => {}
        }
        words
    }

    /// What rules of one profile have in common: ufw counts and deletes them as one. `None` for any other rule.
    pub(super) fn app_group(&self) -> Option<impl PartialEq + use<'_>> {
        let named = self.app.is_some() || self.from_app.is_some();
        let port = if self.app.is_some() { "" } else { self.port.as_str() };
        let from_port = if self.from_app.is_some() { "" } else { self.from_port.as_str() };
        named.then_some((
            (&self.app, port, &self.to),
            (&self.from_app, from_port, &self.from),
            (self.outgoing, &self.in_on, &self.out_on),
        ))
    }
}

impl fmt::Display for UfwRule {
    /// The line of the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MARK} {}{}", if self.route { "route:" } else { "" }, action(self.action))?;
        if let Some(log) = &self.log {
            write!(f, "_{log}")?;
        }
        write!(f, " {} {} {} {} {}", self.protocol, self.port, self.to, self.from_port, self.from)?;
        if self.app.is_some() || self.from_app.is_some() {
            let name = |app: &Option<String>| app.as_deref().unwrap_or("-").replace(' ', "%20");
            write!(f, " {} {}", name(&self.app), name(&self.from_app))?;
        }
        match (&self.in_on, &self.out_on) {
            (None, None) => f.write_str(if self.outgoing { " out" } else { " in" })?,
            (Some(name), None) => write!(f, " in_{name}")?,
            (None, Some(name)) => write!(f, " out_{name}")?,
            (Some(first), Some(second)) => write!(f, " in_{first}!out_{second}")?,
        }
        if let Some(comment) = &self.comment {
            f.write_str(" comment=")?;
            comment.bytes().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        Ok(())
    }
}

/// What a declared rule is in a family; none when its addresses are of the other one. A range of ports without a protocol is
/// two rules: ufw wants to be told which.
pub(super) fn rules_of(rule: &FirewallRule, family: Family) -> Vec<UfwRule> {
    let FirewallRule { action, outgoing, protocol, port, from, to, interface, comment } = rule;
    let (Some(from), Some(to)) = (network(from.as_deref(), family), network(to.as_deref(), family)) else {
        return Vec::new();
    };
    let range = port.is_some_and(|PortRange { first, last }| first != last);
    let protocols: &[&str] = match protocol {
        Some(Transport::Tcp) => &["tcp"],
        Some(Transport::Udp) => &["udp"],
        None if range => &["tcp", "udp"],
        None => &["any"],
    };
    let made = |protocol: &&str| UfwRule {
        route: false,
        action: *action,
        log: None,
        protocol: (*protocol).to_owned(),
        port: port.map_or_else(|| "any".into(), |port| port.to_string()),
        to: to.clone(),
        from_port: "any".into(),
        from: from.clone(),
        app: None,
        from_app: None,
        outgoing: *outgoing,
        in_on: interface.clone().filter(|_| !outgoing),
        out_on: interface.clone().filter(|_| *outgoing),
        // The one letter that ufw does not take in a comment.
        comment: comment.as_ref().map(|text| text.replace('\'', "\u{2019}")).filter(|text| !text.is_empty()),
    };
    protocols.iter().map(made).collect()
}

/// An address or network as ufw writes it; `None` when it is of the other family.
fn network(text: Option<&str>, family: Family) -> Option<String> {
    let Some(text) = text else { return Some(family.any().into()) };
    let (address, prefix) = match text.split_once('/') {
        None => (text, None),
        Some((address, prefix)) => (address, Some(prefix.parse::<u32>().ok()?)),
    };
    match (address.parse::<IpAddr>().ok()?, family) {
        (IpAddr::V4(address), Family::V4) => {
            let prefix = prefix.unwrap_or(32).min(32);
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            let base = std::net::Ipv4Addr::from_bits(address.to_bits() & mask);
            Some(if prefix == 32 { base.to_string() } else { format!("{base}/{prefix}") })
        }
        (IpAddr::V6(address), Family::V6) => {
            let prefix = prefix.unwrap_or(128).min(128);
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            let base = std::net::Ipv6Addr::from_bits(address.to_bits() & mask);
            Some(if prefix == 128 { base.to_string() } else { format!("{base}/{prefix}") })
        }
        _ => None,
    }
}

fn interfaces(direction: &str) -> Option<(bool, Option<String>, Option<String>)> {
    let name = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    if let Some((first, second)) = direction.split_once('!') {
        let (first, second) = (first.strip_prefix("in_")?, second.strip_prefix("out_")?);
        return Some((false, Some(name(first)?), Some(name(second)?)));
    }
    match direction.split_once('_') {
        None => match direction {
            "in" => Some((false, None, None)),
            "out" => Some((true, None, None)),
            _ => None,
        },
        Some(("in", text)) => Some((false, Some(name(text)?), None)),
        Some(("out", text)) => Some((true, None, Some(name(text)?))),
        Some(_) => None,
    }
}

const fn action(action: RuleAction) -> &'static str {
    match action {
        RuleAction::Allow => "allow",
        RuleAction::Deny => "deny",
        RuleAction::Reject => "reject",
        RuleAction::Limit => "limit",
    }
}

fn read_action(text: &str) -> Option<RuleAction> {
    [RuleAction::Allow, RuleAction::Deny, RuleAction::Reject, RuleAction::Limit]
        .into_iter()
        .find(|known| action(*known) == text)
}

fn from_hex(text: &str) -> Option<String> {
    let digits: Option<Vec<u8>> = text
        .bytes()
        .map(|byte| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    if rest.is_empty() { String::from_utf8(bytes).ok() } else { None }
}

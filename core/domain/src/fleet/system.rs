//! Settings of the nodes, as people declare them: kernel, names, firewall, certificates, and where Node.js comes from.

use super::declared::CERTIFICATES;
use super::entry::entries;
use super::lists::{self, Texts};
use super::{Common, EnvValue, Selector};
use crate::resource::{FirewallPolicy, Mode, PortRange, RuleAction, Transport};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

entries! {
    /// A setting of the kernel, now and after each boot.
    SysctlEntry {
        /// The setting, when it is not called like the entry: `net.core.somaxconn`. Default: the name of the entry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Its value. Required.
        value: SysctlValue,
    }

    /// A certificate of the fleet for a service of the node. Its key is made on the node and never leaves it; it is renewed
    /// before it ends.
    CertificateEntry {
        /// Its name on the node, when it is not that of the entry: letters, digits, - and _. Default: the name of the entry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Names that it is valid for. Default: the name of the node.
        #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::texts")]
        #[schemars(with = "Texts")]
        dns_names: Vec<String>,
        /// Addresses that it is valid for. Default: none.
        #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::texts")]
        #[schemars(with = "Texts")]
        addresses: Vec<String>,
        /// Where the private key lies, readable by `owner`, and by `group` when one is given. Default:
        /// `/etc/ssl/muster/NAME.key`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_path: Option<String>,
        /// Where the certificate lies, with the chain behind it. Default: `/etc/ssl/muster/NAME.crt`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        certificate_path: Option<String>,
        /// Where the root of the fleet lies. Default: nowhere.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca_path: Option<String>,
        /// Owner of the files. Default: root.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// Group of the files. Default: root.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
    }
}

impl CertificateEntry {
    /// Where the key of a certificate of this name lies.
    pub fn key_path(&self, name: &str) -> String {
        self.key_path.clone().unwrap_or_else(|| format!("{CERTIFICATES}/{name}.key"))
    }

    /// Where a certificate of this name lies.
    pub fn certificate_path(&self, name: &str) -> String {
        self.certificate_path.clone().unwrap_or_else(|| format!("{CERTIFICATES}/{name}.crt"))
    }
}

/// A value of a kernel setting: text, a number, true or false (as 1 and 0).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SysctlValue(pub EnvValue);

impl Default for SysctlValue {
    fn default() -> Self {
        Self(EnvValue::Integer(0))
    }
}

impl SysctlValue {
    /// The text that the kernel takes.
    pub fn to_text(&self) -> String {
        match &self.0 {
            EnvValue::Bool(value) => u8::from(*value).to_string(),
            other => other.to_text(),
        }
    }
}

/// A name that the nodes resolve by themselves: a line of `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostsLine {
    /// The address. Required.
    pub address: String,
    /// Its names. Default: the name of the entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::texts")]
    #[schemars(with = "Texts")]
    pub names: Vec<String>,
    /// Which nodes have it. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Selector>,
    /// What is done about a difference; the strictest of all lines of a node holds. Default: enforce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<Mode>,
}

impl HostsLine {
    /// What it has in common with other entries.
    pub fn common(&self) -> Common<'_> {
        Common { on: self.on.as_ref(), enforcement: self.enforcement, ..Common::default() }
    }
}

/// Rules of the firewall: exactly one of `allow`, `deny`, `reject` and `limit`, and for whom. Rules for somebody in particular
/// come before those for everybody; among equals, `deny` and `reject` come before `limit` and `allow`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FirewallEntry {
    /// Ports that are let through: `443/tcp`, `53` (TCP and UDP), `8000:8100/tcp`, a list of such, or `any`. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::texts")]
    #[schemars(with = "Texts")]
    pub allow: Vec<String>,
    /// Ports that are closed without an answer. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::texts")]
    #[schemars(with = "Texts")]
    pub deny: Vec<String>,
    /// Ports that are closed with an answer. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::texts")]
    #[schemars(with = "Texts")]
    pub reject: Vec<String>,
    /// Ports that are let through unless somebody tries six times within half a minute. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::texts")]
    #[schemars(with = "Texts")]
    pub limit: Vec<String>,
    /// Addresses or networks of the sender: `10.0.0.0/8`. Default: anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::texts")]
    #[schemars(with = "Texts")]
    pub from: Vec<String>,
    /// Addresses or networks of the receiver. Default: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::texts")]
    #[schemars(with = "Texts")]
    pub to: Vec<String>,
    /// The network interface. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// `in` for connections to the node, `out` for those from it. Default: in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// What happens to everything else, on nodes where `base` does not say it or should say something different. Default: as
    /// `base` says; without it incoming connections are denied and outgoing ones allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<FirewallDefaults>,
    /// Which nodes have it. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Selector>,
    /// What is done about a difference; the strictest of all entries of a node holds. Default: enforce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<Mode>,
}

impl FirewallEntry {
    /// What it has in common with other entries.
    pub fn common(&self) -> Common<'_> {
        Common { on: self.on.as_ref(), enforcement: self.enforcement, ..Common::default() }
    }
}

/// A port as people write it, and nothing else: `443/tcp`, `53`, `8000:8100/udp`, `any`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ports {
    /// The ports; absent: all.
    pub range: Option<PortRange>,
    /// The transport; absent: any.
    pub protocol: Option<Transport>,
}

impl Ports {
    /// Reads the notation above, which is that of ufw.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "any" {
            return Some(Self { range: None, protocol: None });
        }
        let (ports, protocol) = match text.split_once('/') {
            None => (text, None),
            Some((ports, "tcp")) => (ports, Some(Transport::Tcp)),
            Some((ports, "udp")) => (ports, Some(Transport::Udp)),
            Some(_) => return None,
        };
        if ports == "any" {
            return Some(Self { range: None, protocol });
        }
        let port = |text: &str| {
            let plain = text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<u16>().ok().filter(|port| *port > 0 && plain)
        };
        let (first, last) = match ports.split_once(':') {
            None => (port(ports)?, port(ports)?),
            Some((first, last)) => (port(first)?, port(last)?),
        };
        // ufw takes a range only with its transport.
        let fits = first == last || (first < last && protocol.is_some());
        fits.then_some(Self { range: Some(PortRange { first, last }), protocol })
    }
}

impl FirewallEntry {
    /// What its rules do, and for which ports, with the field that says it.
    pub fn verbs(&self) -> [(&'static str, RuleAction, &[String]); 4] {
        [
            ("deny", RuleAction::Deny, &self.deny),
            ("reject", RuleAction::Reject, &self.reject),
            ("limit", RuleAction::Limit, &self.limit),
            ("allow", RuleAction::Allow, &self.allow),
        ]
    }
}

/// What happens to connections that no rule speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FirewallDefaults {
    /// Connections to the node: `deny`, `reject` or `allow`. Default: deny.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incoming: Option<FirewallPolicy>,
    /// Connections from the node: `allow`, `deny` or `reject`. Default: allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outgoing: Option<FirewallPolicy>,
    /// Rules that are not declared are taken away; `false` leaves those that somebody made on the node. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclusive: Option<bool>,
}

/// Which way connections go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To the node.
    In,
    /// From the node.
    Out,
}

/// Where Node.js comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NodejsSettings {
    /// Where releases of Node.js are fetched from, in the layout of its own distribution: `https://nodejs.org/dist`.
    /// Default: packages of npm's registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
}

impl NodejsSettings {
    /// Whether it says nothing.
    pub fn says_nothing(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_written_as_for_ufw() {
        let range = |first, last| Some(PortRange { first, last });
        let (tcp, udp) = (Some(Transport::Tcp), Some(Transport::Udp));
        for (text, range, protocol) in [
            ("443/tcp", range(443, 443), tcp),
            ("53", range(53, 53), None),
            ("8000:8100/udp", range(8000, 8100), udp),
            ("any", None, None),
            ("any/udp", None, udp),
        ] {
            assert_eq!(Ports::parse(text), Some(Ports { range, protocol }), "{text}");
        }
        for bad in [
            "",
            "0",
            "65536",
            "80/sctp",
            "http",
            "8000:8100",
            "90:80/tcp",
            "+80",
            "80/",
            "/tcp",
            "8000-8100/tcp",
        ] {
            assert_eq!(Ports::parse(bad), None, "{bad:?}");
        }
    }
}

//! What the node lets in and out.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The node's firewall, in the terms of ufw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firewall {
    /// What happens to a connection from outside that no rule speaks of.
    pub incoming: FirewallPolicy,
    /// What happens to a connection to the outside that no rule speaks of.
    pub outgoing: FirewallPolicy,
    /// The rules, in the order in which they are tried.
    pub rules: Vec<FirewallRule>,
    /// Rules that are not listed are taken away. Without it they stay, behind the listed ones.
    pub exclusive: bool,
}

/// What happens to a connection.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum FirewallPolicy {
    /// It is let through.
    Allow,
    /// It is dropped without a word.
    Deny,
    /// It is refused with an answer.
    Reject,
}

/// What a rule does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    /// Let it through.
    Allow,
    /// Drop it without a word.
    Deny,
    /// Refuse it with an answer.
    Reject,
    /// Let it through unless its sender tried six times within half a minute.
    Limit,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FirewallRule {
    /// What it does.
    pub action: RuleAction,
    /// For connections from the node instead of to it.
    pub outgoing: bool,
    /// The transport; absent means any.
    pub protocol: Option<Transport>,
    /// The port of the receiver; absent means any.
    pub port: Option<PortRange>,
    /// Address or network of the sender; absent means any.
    pub from: Option<String>,
    /// Address or network of the receiver; absent means any.
    pub to: Option<String>,
    /// The network interface; absent means any.
    pub interface: Option<String>,
    /// Why it is there.
    pub comment: Option<String>,
}

/// A transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Ports from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortRange {
    /// The first.
    pub first: u16,
    /// The last; not below the first.
    pub last: u16,
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last } = self;
        if first == last { write!(f, "{first}") } else { write!(f, "{first}:{last}") }
    }
}

//! Which nodes a selector means. Asked by the compiler for the node at hand, and by the checks on fleet files for all nodes.

use crate::{
    EnvironmentName, NodeName,
    fleet::{Application, Selector},
    node::Role,
};

/// The node in question.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Its name.
    pub node: &'a NodeName,
    /// Its environment.
    pub environment: &'a EnvironmentName,
    /// What it is for.
    pub roles: &'a [Role],
}

impl Target<'_> {
    /// Whether a selector means this node: every part that is given must fit.
    pub fn matches(&self, selector: &Selector) -> bool {
        let Selector { environments, roles, nodes } = selector;
        (environments.is_empty() || environments.contains(self.environment))
            && (roles.is_empty() || roles.iter().any(|role| self.roles.contains(role)))
            && (nodes.is_empty() || nodes.contains(self.node))
    }

    /// Whether an application belongs on this node. Without `on`, that is every application server.
    pub fn runs(&self, application: &Application) -> bool {
        match &application.on {
            Some(selector) => self.matches(selector),
            None => self.roles.contains(&Role::AppServer),
        }
    }

    /// Whether an entry about hosts belongs on this node. Without `on`, that is every node.
    pub fn has(&self, on: Option<&Selector>) -> bool {
        on.is_none_or(|selector| self.matches(selector))
    }
}

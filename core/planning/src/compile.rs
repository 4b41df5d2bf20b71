//! From intent to the assignment of one node: fleet configuration + what should run there -> ordered primitive resources.
//!
//! Holds: one module per concern. What people declare of hosts: [`files`], `packages`, `accounts`, `services`, `system` and
//! `firewall`, and `base`, the role of every node; [`app_server`]: applications and their Node.js. Then `edges` connects what
//! was found, and [`order`] puts it into the order in which it is applied. A new role is a new module here; agents need no
//! change for it.
//! Must not: depend on the order of declaration, on a clock or on anything but its input: the same input gives the same
//! content, the same content the same revision, and so no churn.
//! Start here: [`compile`].

mod accounts;
pub mod app_server;
mod base;
mod edges;
pub mod files;
mod firewall;
mod host;
pub mod order;
mod packages;
mod services;
mod system;

#[cfg(test)]
mod host_tests;
#[cfg(test)]
mod tests;

use crate::convergence::{AssignmentFault, check};

use host::Host;
use muster_domain::{
    ApplicationName, Digest, EnvironmentName, NodeName, ReleaseId, ReleaseVersion,
    assignment::AssignmentContent,
    fleet::FleetConfiguration,
    node::Role,
    resource::{Mode, ResourceKey},
    selection::Target,
};
use std::{collections::BTreeMap, fmt};

/// The release of an application that a node should run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseFacts {
    /// Its id.
    pub id: ReleaseId,
    /// Its version, for people.
    pub version: ReleaseVersion,
    /// The digest of its manifest.
    pub artifact_digest: Digest,
}

/// Everything that the assignment of one node depends on. It has no `Debug`, because it holds secrets.
#[derive(Clone, Copy)]
pub struct CompileInput<'a> {
    /// The node.
    pub node: &'a NodeName,
    /// The environment that it is enrolled in.
    pub environment: &'a EnvironmentName,
    /// What it is for.
    pub roles: &'a [Role],
    /// What people declared. The node need not be in it: an enrolled node without an entry has what selectors give it.
    pub configuration: &'a FleetConfiguration,
    /// The files that `source:` names, by that name.
    pub attachments: &'a BTreeMap<String, Vec<u8>>,
    /// What should run on this node. An application without an entry is not on it.
    pub releases: &'a BTreeMap<ApplicationName, ReleaseFacts>,
    /// Values of secrets as they hold in this node's environment, by name.
    pub secrets: &'a BTreeMap<String, String>,
}

/// Why a node has no new assignment. It keeps its former one as a whole: nothing is half applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// Everything that is wrong, in a stable order; never empty.
    pub problems: Vec<CompileProblem>,
}

/// One reason why the assignment of a node cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileProblem {
    /// A declared secret has no value.
    #[error(
        "secret {secret:?} of application \"{application}\" has no value in environment \"{environment}\": \
         set it with `muster secret set {secret} --environment {environment}`"
    )]
    SecretMissing {
        /// The secret.
        secret: String,
        /// The application that declares it.
        application: ApplicationName,
        /// The environment of the node.
        environment: EnvironmentName,
    },
    /// A secret that is the content of a file has no value.
    #[error(
        "secret {secret:?} of file entry {entry:?} has no value in environment \"{environment}\": \
         set it with `muster secret set {secret} --environment {environment}`"
    )]
    FileSecretMissing {
        /// The secret.
        secret: String,
        /// The entry under `files`.
        entry: String,
        /// The environment of the node.
        environment: EnvironmentName,
    },
    /// A value that `muster apply` would have refused, in a configuration that did not come through it.
    #[error("{place} is not valid: {reason}")]
    Invalid {
        /// The dotted path of the field.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The content of a file was not stored with the configuration.
    #[error(
        "file entry {entry:?} takes its content from {source_name:?}, which is not part of the configuration"
    )]
    AttachmentMissing {
        /// The entry under `files`.
        entry: String,
        /// What it names.
        source_name: String,
    },
    /// Two entries describe the same thing on this node.
    #[error("{key} is declared twice for this node, by {} and {}", .by[0], .by[1])]
    Duplicate {
        /// The resource.
        key: ResourceKey,
        /// The two entries, by name.
        by: [String; 2],
    },
    /// Resources that wait for each other.
    #[error("these resources depend on each other in a circle: {}", join(.keys))]
    Cycle {
        /// The resources of the circle and those behind it, sorted.
        keys: Vec<ResourceKey>,
    },
    /// Something that agents refuse.
    #[error("what is declared contradicts itself on this node: {0}")]
    Contradiction(#[from] AssignmentFault),
}

fn join(keys: &[ResourceKey]) -> String {
    keys.iter().map(ResourceKey::as_str).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CompileError {}

/// How far the agent goes with everything on a node at most, as its node and its environment are declared.
pub fn declared_mode(
    configuration: &FleetConfiguration,
    node: &NodeName,
    environment: &EnvironmentName,
) -> Mode {
    let node = configuration.nodes.get(node).and_then(|node| node.enforcement);
    let environment = configuration.environments.get(environment).and_then(|e| e.enforcement);
    node.max(environment).unwrap_or_default()
}

/// Compiles the assignment of one node.
///
/// Every concern adds its resources and its problems; the order is made at the end, over all of them. With one problem
/// there is no assignment, and the error names them all.
pub fn compile(input: &CompileInput<'_>) -> Result<AssignmentContent, CompileError> {
    let target = Target { node: input.node, environment: input.environment, roles: input.roles };
    let declared = input.configuration.declared_on(&target);
    let (mut resources, mut problems) = (Vec::new(), Vec::new());
    files::compile(input, &target, &mut resources, &mut problems);
    let mut host = Host { input, target, resources, problems };
    packages::compile(&mut host);
    accounts::compile(&mut host);
    services::compile(&mut host);
    system::compile(&mut host);
    firewall::compile(&mut host);
    base::compile(&mut host);
    (resources, problems) = (host.resources, host.problems);
    edges::twice(&declared, &mut problems);
    app_server::compile(input, &target, &mut resources, &mut problems);
    if !problems.is_empty() {
        return Err(CompileError { problems });
    }
    edges::connect(&declared, &mut resources);
    edges::hold(&mut resources, declared_mode(input.configuration, input.node, input.environment));
    let resources = order::sort(resources).map_err(|problem| CompileError { problems: vec![problem] })?;
    let faults = check(&resources);
    if faults.is_empty() {
        Ok(AssignmentContent { resources })
    } else {
        Err(CompileError { problems: faults.into_iter().map(Into::into).collect() })
    }
}

//! Assignments: compiled whenever something that they depend on changes, kept sealed, handed to the node that asks.

use crate::{
    App, AppError,
    hubs::{Announcements, LiveMessage, NodeHint},
    secrets::OpenSecrets,
};
use muster_db::{
    Conn, Tx,
    assignments::{CarriedRelease, CompiledNode, StoredAssignment},
    fleet_configurations::StoredFile,
};
use muster_domain::{
    Digest, EnvironmentName, NodeId,
    assignment::{AssignmentContent, Generation, Revision},
    event::{Severity, Subject},
    fleet::FleetConfiguration,
    resource::{DesiredState, ResourceKey},
};
use muster_planning::compile::{CompileInput, ReleaseFacts, compile};
use std::collections::{BTreeMap, BTreeSet};

/// What a sealed assignment is for.
const PURPOSE: &str = "assignment";

/// The event that a node keeps its assignment because a new one cannot be compiled.
pub(crate) const NOT_COMPILED: &str = "assignment.not_compiled";

/// A node's assignment with its proof of origin. No `Debug`: the content holds secrets.
#[derive(Clone)]
pub struct SignedAssignment {
    /// The node.
    pub node_id: NodeId,
    /// Its generation.
    pub generation: Generation,
    /// The digest of `content`.
    pub revision: Revision,
    /// Encoded content.
    pub content: Vec<u8>,
    /// Over node, generation and revision.
    pub signature: Vec<u8>,
}

/// Everything that the compiles of one transaction have in common.
pub(crate) struct CompileGround {
    version: i64,
    configuration: FleetConfiguration,
    attachments: BTreeMap<String, Vec<u8>>,
    secrets: OpenSecrets,
}

impl CompileGround {
    pub(crate) fn configuration(&self) -> &FleetConfiguration {
        &self.configuration
    }
}

/// The files that `source:` names, by that name.
pub(crate) fn attachments(
    configuration: &FleetConfiguration,
    files: &[StoredFile],
) -> BTreeMap<String, Vec<u8>> {
    let named: BTreeSet<&str> = configuration.sources().collect();
    files
        .iter()
        .filter(|file| named.contains(file.path.as_str()))
        .map(|file| (file.path.clone(), file.content.clone().into_bytes()))
        .collect()
}

/// What became of the assignments of all nodes.
#[derive(Debug, Default)]
pub(crate) struct Recompiled {
    /// Nodes that have a new one.
    pub(crate) changed: Vec<String>,
    /// Nodes that keep their former one because a new one cannot be compiled, and why.
    pub(crate) not_compiled: Vec<(String, String)>,
}

/// What became of the assignment of one node.
enum Compiled {
    /// It says the same as before.
    Same,
    /// There is a new one.
    Changed,
    /// It cannot be compiled, for this reason.
    Not(String),
}

/// Encodes what was compiled. What is too long for one message is an error of this node, not of whoever changed something.
fn encode(content: AssignmentContent) -> Result<(AssignmentContent, Vec<u8>), String> {
    let encoded = muster_proto::convert::encode_content(&content);
    if encoded.len() <= muster_proto::MAX_ASSIGNMENT_BYTES {
        return Ok((content, encoded));
    }
    Err(format!(
        "it has {} bytes, and at most {} are sent; large files belong into a release, not into `files:`",
        encoded.len(),
        muster_proto::MAX_ASSIGNMENT_BYTES
    ))
}

impl App {
    /// The assignment of a node, unless it already has this revision.
    pub async fn assignment_get(
        &self,
        node: NodeId,
        known: Option<&Revision>,
    ) -> Result<Option<SignedAssignment>, AppError> {
        let mut conn = self.db().conn().await?;
        if let Some(known) = known {
            let head = muster_db::assignments::head(&mut conn, node).await?;
            if head.is_none_or(|head| head.revision == *known) {
                return Ok(None);
            }
        }
        self.assignment_open(&mut conn, node).await
    }

    /// The assignment of a node, with its content.
    pub(crate) async fn assignment_open(
        &self,
        conn: &mut Conn,
        node: NodeId,
    ) -> Result<Option<SignedAssignment>, AppError> {
        let Some(stored) = muster_db::assignments::get(conn, node).await? else { return Ok(None) };
        let content =
            self.identity().seal.open(PURPOSE, &node.to_string(), &stored.content_sealed).map_err(|e| {
                AppError::internal(format!("the assignment of node {node} cannot be opened"), e)
            })?;
        Ok(Some(SignedAssignment {
            node_id: node,
            generation: stored.generation,
            revision: stored.revision,
            content: content.to_vec(),
            signature: stored.signature,
        }))
    }

    /// Whether the assignment of a node has a resource of this key.
    pub(crate) async fn assignment_names(
        &self,
        conn: &mut Conn,
        node: NodeId,
        key: &ResourceKey,
    ) -> Result<bool, AppError> {
        let Some(assignment) = self.assignment_open(conn, node).await? else { return Ok(false) };
        let content = muster_proto::convert::decode_content(&assignment.content)
            .map_err(|e| AppError::internal(format!("the assignment of node {node} cannot be read"), e))?;
        Ok(content.resources.iter().any(|resource| resource.key == *key))
    }

    /// Refuses an artifact that the node's assignment does not carry: a node reads only what it is to run.
    pub async fn artifact_require_assigned(&self, node: NodeId, artifact: Digest) -> Result<(), AppError> {
        let mut conn = self.db().conn().await?;
        let head = muster_db::assignments::head(&mut conn, node).await?;
        let carried = head.is_some_and(|h| h.releases.values().any(|r| r.artifact_digest == artifact));
        if carried {
            Ok(())
        } else {
            Err(AppError::not_found("artifact in the assignment of this node", artifact.short()))
        }
    }

    /// A transaction that may lock several nodes.
    pub(crate) async fn compile_begin(&self) -> Result<Tx, AppError> {
        let mut tx = self.db().begin().await?;
        muster_db::assignments::compile_turn(&mut tx).await?;
        Ok(tx)
    }

    pub(crate) async fn environment_require(
        &self,
        conn: &mut Conn,
        environment: &EnvironmentName,
    ) -> Result<(), AppError> {
        let configuration = muster_db::fleet_configurations::current(conn).await?;
        let declared = configuration.map(|c| c.configuration.environments).unwrap_or_default();
        if declared.contains_key(environment) {
            return Ok(());
        }
        let known = declared.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let hint = if known.is_empty() {
            "no environment is declared yet: write one into a fleet file and run `muster apply -f DIR`"
                .to_owned()
        } else {
            format!("declared are: {known}")
        };
        Err(AppError::not_found("environment", environment).with_hint(hint))
    }

    pub(crate) async fn compile_ground(&self, conn: &mut Conn) -> Result<CompileGround, AppError> {
        let stored = muster_db::fleet_configurations::current(conn).await?;
        let secrets = self.secrets_open(conn).await?;
        Ok(match stored {
            Some(stored) => CompileGround {
                version: stored.version,
                attachments: attachments(&stored.configuration, &stored.files),
                configuration: stored.configuration,
                secrets,
            },
            None => CompileGround {
                version: 0,
                configuration: FleetConfiguration::default(),
                attachments: BTreeMap::new(),
                secrets,
            },
        })
    }

    /// Compiles every node.
    pub(crate) async fn recompile_all(
        &self,
        conn: &mut Conn,
        announcements: &mut Announcements,
    ) -> Result<Recompiled, AppError> {
        let ground = self.compile_ground(conn).await?;
        let mut recompiled = Recompiled::default();
        for node in muster_db::assignments::nodes_for_compile(conn).await? {
            match self.compile_node(conn, announcements, &ground, &node).await? {
                Compiled::Same => {}
                Compiled::Changed => recompiled.changed.push(node.name.to_string()),
                Compiled::Not(reason) => recompiled.not_compiled.push((node.name.to_string(), reason)),
            }
        }
        Ok(recompiled)
    }

    /// Compiles one node, if it is there and not revoked.
    pub(crate) async fn recompile_node(
        &self,
        conn: &mut Conn,
        announcements: &mut Announcements,
        node: NodeId,
    ) -> Result<(), AppError> {
        if let Some(node) = muster_db::assignments::node_for_compile(conn, node).await? {
            let ground = self.compile_ground(conn).await?;
            self.compile_node(conn, announcements, &ground, &node).await?;
        }
        Ok(())
    }

    /// Compiles a node that the caller has locked. One that cannot be compiled keeps its former assignment.
    async fn compile_node(
        &self,
        conn: &mut Conn,
        announcements: &mut Announcements,
        ground: &CompileGround,
        node: &CompiledNode,
    ) -> Result<Compiled, AppError> {
        let releases: BTreeMap<_, _> =
            muster_db::assignments::node_releases(conn, node.id, &node.environment)
                .await?
                .into_iter()
                .map(|r| {
                    (
                        r.application,
                        ReleaseFacts {
                            id: r.release_id,
                            version: r.version,
                            artifact_digest: r.artifact_digest,
                        },
                    )
                })
                .collect();
        let secrets = ground.secrets.of(&node.environment);
        let compiled = compile(&CompileInput {
            node: &node.name,
            environment: &node.environment,
            roles: &node.roles,
            configuration: &ground.configuration,
            attachments: &ground.attachments,
            releases: &releases,
            secrets: &secrets,
        });
        let overrides = self.mode_overrides(conn, node.id).await?;
        let compiled = compiled
            .map_err(|error| error.to_string())
            .map(|mut content| {
                overrides.put_into(&mut content);
                content
            })
            .and_then(encode);
        let error = compiled.as_ref().err().cloned();
        if error != node.compile_error {
            muster_db::assignments::node_set_compile_error(conn, node.id, error.as_deref()).await?;
            announcements.live(LiveMessage::Node(node.name.clone()));
            if let Some(error) = &error {
                self.event_record(
                    conn,
                    announcements,
                    crate::events::CONTROLLER,
                    (Severity::Error, NOT_COMPILED),
                    Subject {
                        node: Some(node.name.clone()),
                        environment: Some(node.environment.clone()),
                        ..Subject::default()
                    },
                    format!(
                        "node {} keeps its assignment, because a new one cannot be compiled: {error}",
                        node.name
                    ),
                )
                .await?;
            }
        }
        match compiled {
            Ok((content, encoded)) => {
                self.assignment_store(conn, announcements, ground.version, node, (&content, encoded)).await
            }
            Err(reason) => Ok(Compiled::Not(reason)),
        }
    }

    async fn assignment_store(
        &self,
        conn: &mut Conn,
        announcements: &mut Announcements,
        configuration_version: i64,
        node: &CompiledNode,
        (content, encoded): (&AssignmentContent, Vec<u8>),
    ) -> Result<Compiled, AppError> {
        let revision = Digest::from_bytes(*blake3::hash(&encoded).as_bytes());
        let head = muster_db::assignments::head(conn, node.id).await?;
        if head.as_ref().is_some_and(|head| head.revision == revision) {
            return Ok(Compiled::Same);
        }
        let generation = head.map_or(Generation::NONE, |head| head.generation).next();
        let statement = muster_proto::signing::assignment_statement(node.id, generation, &revision);
        let releases = content
            .resources
            .iter()
            .filter_map(|resource| match &resource.desired {
                DesiredState::Application(a) => Some((
                    a.name.clone(),
                    CarriedRelease { release_id: a.release_id, artifact_digest: a.artifact_digest },
                )),
                _ => None,
            })
            .collect();
        let stored = StoredAssignment {
            node_id: node.id,
            generation,
            revision,
            content_sealed: self.identity().seal.seal(PURPOSE, &node.id.to_string(), &encoded),
            signature: self.identity().signer.sign(&statement),
            configuration_version,
            compiled_at: self.now(),
            releases,
        };
        muster_db::assignments::put(conn, &stored).await?;
        announcements.hint(node.id, NodeHint::AssignmentChanged);
        announcements.live(LiveMessage::Node(node.name.clone()));
        Ok(Compiled::Changed)
    }
}

//! The fleet configuration: checked as a whole, shown as a diff, stored as a version, compiled for every node.

use crate::{
    Actor, App, AppError, InputProblem, Permission,
    assignments::{Recompiled, attachments},
    hubs::{Announcements, LiveMessage},
};
use muster_db::fleet_configurations::{ConfigurationVersion, StoredConfiguration, StoredFile};
use muster_domain::{
    Digest,
    event::{Severity, Subject},
    fleet::FleetConfiguration,
};
use muster_fleet_config::{Change, Contents, Parsed, Problem, SourceFile};
use std::collections::BTreeMap;

/// Files as somebody wants them to be in force.
#[derive(Debug, Clone)]
pub struct FleetFiles {
    /// Fleet files, and the files that `source:` names.
    pub files: Vec<StoredFile>,
    /// Refuse unless this version is in force.
    pub expected_version: Option<i64>,
}

/// What applying would change.
#[derive(Debug)]
pub struct ConfigurationDiff {
    /// The version in force; 0: none.
    pub current_version: i64,
    /// Part by part.
    pub changes: Vec<Change>,
    /// Nodes whose assignment would change.
    pub affected_nodes: Vec<String>,
    /// What is not wrong in the files, and most likely not meant; and what would leave a node as it is: a secret without a
    /// value, for example.
    pub warnings: Vec<InputProblem>,
}

/// What applying did.
#[derive(Debug)]
pub struct ConfigurationApplied {
    /// The version in force.
    pub version: i64,
    /// It is a new one.
    pub changed: bool,
    /// Nodes whose assignment changed.
    pub affected_nodes: Vec<String>,
    /// Nodes that keep their former assignment because a new one cannot be compiled, and why.
    pub not_compiled: Vec<(String, String)>,
}

fn problem(problem: Problem) -> InputProblem {
    InputProblem {
        file: Some(problem.file),
        line: (problem.line > 0).then_some(problem.line),
        column: (problem.line > 0).then_some(problem.column),
        path: problem.path,
        message: problem.message,
        hint: problem.hint,
    }
}

/// On a thread for it: hostile input of the allowed size keeps a processor busy for a second.
pub(crate) async fn parse(files: &[StoredFile]) -> Result<Parsed, AppError> {
    let sources: Vec<SourceFile> = files
        .iter()
        .map(|f| SourceFile { path: f.path.clone(), content: f.content.clone().into_bytes() })
        .collect();
    tokio::task::spawn_blocking(move || muster_fleet_config::parse(&sources))
        .await
        .map_err(|e| AppError::internal("the fleet configuration could not be read", e))?
        .map_err(refused)
}

fn refused(problems: Vec<Problem>) -> AppError {
    AppError::InvalidInput {
        code: "invalid_fleet_configuration",
        detail: match problems.len() {
            1 => "the fleet configuration has an error".to_owned(),
            n => format!("the fleet configuration has {n} errors"),
        },
        hint: Some("nothing was changed; mend the files and apply again".to_owned()),
        problems: problems.into_iter().map(problem).collect(),
    }
}

/// Over what is declared and what `source:` names: comments and the order of keys do not make a version.
fn digest(parsed: &Parsed) -> Result<Digest, AppError> {
    let canonical = serde_json::to_vec(&parsed.configuration)
        .map_err(|e| AppError::internal("the fleet configuration could not be encoded", e))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&canonical);
    for (name, content) in &parsed.attachments {
        for part in [name.as_bytes(), content] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
    }
    Ok(Digest::from_bytes(*hasher.finalize().as_bytes()))
}

impl App {
    /// The version in force.
    pub async fn fleet_configuration_get(
        &self,
        actor: &Actor,
        version: Option<i64>,
    ) -> Result<StoredConfiguration, AppError> {
        actor.require(Permission::FleetView)?;
        let mut conn = self.db().conn().await?;
        let found = match version {
            None => muster_db::fleet_configurations::current(&mut conn).await?,
            Some(version) => muster_db::fleet_configurations::get(&mut conn, version).await?,
        };
        found.ok_or_else(|| match version {
            None => AppError::not_found("fleet configuration", "current")
                .with_hint("nothing is declared yet: write a fleet file and run `muster apply -f DIR`"),
            Some(version) => AppError::not_found("version of the fleet configuration", version),
        })
    }

    /// Versions before `before`, newest first.
    pub async fn fleet_configuration_versions(
        &self,
        actor: &Actor,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<ConfigurationVersion>, AppError> {
        actor.require(Permission::FleetView)?;
        let mut conn = self.db().conn().await?;
        Ok(muster_db::fleet_configurations::list(&mut conn, before, limit).await?)
    }

    /// What applying these files would change. Nothing is stored.
    pub async fn fleet_configuration_diff(
        &self,
        actor: &Actor,
        wanted: FleetFiles,
    ) -> Result<ConfigurationDiff, AppError> {
        actor.require(Permission::FleetView)?;
        let mut parsed = parse(&wanted.files).await?;
        let of_files = std::mem::take(&mut parsed.warnings).into_iter().map(problem);
        let mut tx = self.compile_begin().await?;
        let (version, attached, former) = match muster_db::fleet_configurations::current(&mut tx).await? {
            Some(c) => (c.version, attachments(&c.configuration, &c.files), c.configuration),
            None => (0, BTreeMap::new(), FleetConfiguration::default()),
        };
        let changes = muster_fleet_config::diff(
            &Contents { configuration: &former, attachments: &attached },
            &Contents { configuration: &parsed.configuration, attachments: &parsed.attachments },
        );
        // What would change on nodes is found by changing it, in a transaction that is rolled back.
        let mut announcements = Announcements::default();
        let applied =
            self.configuration_put(&mut tx, &mut announcements, &actor.name, parsed, wanted).await?;
        tx.rollback().await.map_err(muster_db::DbError::from)?;
        let of_nodes = applied.not_compiled.into_iter().map(|(node, reason)| InputProblem {
            file: None,
            line: None,
            column: None,
            path: String::new(),
            message: format!(
                "node {node} will keep its assignment, because a new one cannot be compiled: {reason}"
            ),
            hint: None,
        });
        let warnings = of_files.chain(of_nodes).collect();
        Ok(ConfigurationDiff {
            current_version: version,
            changes,
            affected_nodes: applied.affected_nodes,
            warnings,
        })
    }

    /// Puts these files in force.
    pub async fn fleet_configuration_apply(
        &self,
        actor: &Actor,
        wanted: FleetFiles,
    ) -> Result<ConfigurationApplied, AppError> {
        actor.require(Permission::FleetConfigurationApply)?;
        let parsed = parse(&wanted.files).await?;
        let mut announcements = Announcements::default();
        let mut tx = self.compile_begin().await?;
        let applied =
            self.configuration_put(&mut tx, &mut announcements, &actor.name, parsed, wanted).await?;
        tx.commit().await.map_err(muster_db::DbError::from)?;
        self.publish(announcements);
        Ok(applied)
    }

    pub(crate) async fn configuration_put(
        &self,
        tx: &mut muster_db::Tx,
        announcements: &mut Announcements,
        author: &str,
        parsed: Parsed,
        wanted: FleetFiles,
    ) -> Result<ConfigurationApplied, AppError> {
        let current = muster_db::fleet_configurations::current(tx).await?;
        let version = current.as_ref().map_or(0, |c| c.version);
        if let Some(expected) = wanted.expected_version
            && expected != version
        {
            return Err(AppError::conflict(
                "stale",
                format!("version {version} of the fleet configuration is in force, not {expected}: somebody applied in between"),
            )
            .with_hint("look at the new diff, then apply again"));
        }
        let digest = digest(&parsed)?;
        if current.is_some_and(|c| c.digest == digest) {
            let not_compiled = self.recompile_all(tx, announcements).await?.not_compiled;
            return Ok(ConfigurationApplied {
                version,
                changed: false,
                affected_nodes: Vec::new(),
                not_compiled,
            });
        }
        let new = StoredConfiguration {
            version: version + 1,
            author: author.to_owned(),
            created_at: self.now(),
            files: wanted.files,
            configuration: parsed.configuration,
            digest,
        };
        muster_db::fleet_configurations::insert(tx, &new).await.map_err(|error| {
            match error.constraint() {
                Some("fleet_configurations_pkey") => AppError::conflict(
                    "stale",
                    "somebody else applied a fleet configuration at the same time",
                )
                .with_hint("look at the new diff, then apply again"),
                _ => error.into(),
            }
        })?;
        for node in muster_db::assignments::nodes_for_compile(tx).await? {
            if let Some(declared) = new.configuration.nodes.get(&node.name)
                && (declared.environment != node.environment || declared.roles != node.roles)
            {
                muster_db::assignments::node_set_membership(
                    tx,
                    node.id,
                    &declared.environment,
                    &declared.roles,
                )
                .await?;
            }
        }
        let Recompiled { changed: affected_nodes, not_compiled } =
            self.recompile_all(tx, announcements).await?;
        self.event_record(
            tx,
            announcements,
            author,
            (Severity::Info, "fleet_configuration.applied"),
            Subject::default(),
            format!(
                "version {} of the fleet configuration is in force; {} changed by it",
                new.version,
                match affected_nodes.len() {
                    0 => "no node is".to_owned(),
                    1 => "1 node is".to_owned(),
                    n => format!("{n} nodes are"),
                }
            ),
        )
        .await?;
        announcements.live(LiveMessage::FleetConfiguration(new.version));
        Ok(ConfigurationApplied { version: new.version, changed: true, affected_nodes, not_compiled })
    }
}

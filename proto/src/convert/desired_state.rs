//! Assignments and their resources.

use super::{InvalidMessage, digest, process_settings, release_id};
use crate::v1;
use muster_domain::{
    ApplicationName, ReleaseVersion,
    assignment::AssignmentContent,
    resource::{
        Application, DesiredState, Directory, ExecMode, File, Nodejs, Readiness, Resource, ResourceKey,
        Symlink,
    },
};
use std::collections::{BTreeMap, BTreeSet};

impl From<&AssignmentContent> for v1::AssignmentContent {
    fn from(content: &AssignmentContent) -> Self {
        Self { resources: content.resources.iter().map(Into::into).collect() }
    }
}

impl TryFrom<v1::AssignmentContent> for AssignmentContent {
    type Error = InvalidMessage;
    fn try_from(wire: v1::AssignmentContent) -> Result<Self, InvalidMessage> {
        Ok(Self { resources: wire.resources.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()? })
    }
}

impl From<&Resource> for v1::Resource {
    fn from(resource: &Resource) -> Self {
        let Resource { key, depends_on, desired } = resource;
        Self {
            key: key.to_string(),
            depends_on: depends_on.iter().map(ToString::to_string).collect(),
            desired: Some(desired.into()),
        }
    }
}

impl TryFrom<v1::Resource> for Resource {
    type Error = InvalidMessage;
    fn try_from(wire: v1::Resource) -> Result<Self, InvalidMessage> {
        let key = |text: String| ResourceKey::parse(text).map_err(|e| InvalidMessage::new("resource.key", e));
        Ok(Self {
            key: key(wire.key)?,
            depends_on: wire.depends_on.into_iter().map(key).collect::<Result<_, _>>()?,
            desired: wire
                .desired
                .ok_or_else(|| {
                    InvalidMessage::new("resource.desired", "a kind that this version does not know")
                })?
                .try_into()?,
        })
    }
}

impl From<&DesiredState> for v1::resource::Desired {
    fn from(desired: &DesiredState) -> Self {
        match desired {
            DesiredState::Directory(Directory { path, mode, owner, group }) => {
                Self::Directory(v1::Directory {
                    path: path.clone(),
                    mode: *mode,
                    owner: owner.clone(),
                    group: group.clone(),
                })
            }
            DesiredState::File(File { path, content, mode, owner, group, sensitive }) => {
                Self::File(v1::File {
                    path: path.clone(),
                    content: content.clone(),
                    mode: *mode,
                    owner: owner.clone(),
                    group: group.clone(),
                    sensitive: *sensitive,
                })
            }
            DesiredState::Symlink(Symlink { path, target }) => {
                Self::Symlink(v1::Symlink { path: path.clone(), target: target.clone() })
            }
            DesiredState::Nodejs(Nodejs { range }) => Self::Nodejs(v1::Nodejs { range: range.clone() }),
            DesiredState::Application(application) => Self::Application(application.into()),
        }
    }
}

impl TryFrom<v1::resource::Desired> for DesiredState {
    type Error = InvalidMessage;
    fn try_from(wire: v1::resource::Desired) -> Result<Self, InvalidMessage> {
        use v1::resource::Desired as Wire;
        Ok(match wire {
            Wire::Directory(v1::Directory { path, mode, owner, group }) => {
                Self::Directory(Directory { path: absolute(path)?, mode: permissions(mode)?, owner, group })
            }
            Wire::File(v1::File { path, content, mode, owner, group, sensitive }) => Self::File(File {
                path: absolute(path)?,
                content,
                mode: permissions(mode)?,
                owner,
                group,
                sensitive,
            }),
            Wire::Symlink(v1::Symlink { path, target }) => {
                Self::Symlink(Symlink { path: absolute(path)?, target })
            }
            Wire::Nodejs(v1::Nodejs { range }) => Self::Nodejs(Nodejs { range }),
            Wire::Application(application) => Self::Application(application.try_into()?),
        })
    }
}

fn absolute(path: String) -> Result<String, InvalidMessage> {
    let clean = path.starts_with('/')
        && !path.contains('\0')
        && path.split('/').skip(1).all(|part| !part.is_empty() && part != "." && part != "..");
    if clean {
        Ok(path)
    } else {
        Err(InvalidMessage::new("path", format!("{path:?} is not a plain absolute path")))
    }
}

fn permissions(mode: u32) -> Result<u32, InvalidMessage> {
    if mode <= 0o7777 { Ok(mode) } else { Err(InvalidMessage::new("mode", "permission bits end at 7777")) }
}

impl From<&Application> for v1::Application {
    fn from(application: &Application) -> Self {
        let Application {
            name,
            release_id,
            release_version,
            artifact_digest,
            nodejs_range,
            script,
            args,
            node_args,
            instances,
            exec_mode,
            port,
            env,
            secrets,
            readiness,
            listen_timeout_ms,
            kill_timeout_ms,
            max_restarts,
            min_uptime_ms,
            restart_delay_ms,
            user,
            process,
        } = application;
        Self {
            name: name.to_string(),
            release_id: release_id.as_uuid().as_bytes().to_vec(),
            release_version: release_version.to_string(),
            artifact_digest: artifact_digest.as_bytes().to_vec(),
            nodejs_range: nodejs_range.clone(),
            script: script.clone(),
            args: args.clone(),
            node_args: node_args.clone(),
            instances: *instances,
            exec_mode: match exec_mode {
                ExecMode::Cluster => v1::ExecMode::Cluster,
                ExecMode::Fork => v1::ExecMode::Fork,
            }
            .into(),
            port: port.unwrap_or(0).into(),
            env: env
                .iter()
                .map(|(name, value)| v1::EnvironmentVariable {
                    name: name.clone(),
                    value: value.clone(),
                    secret: secrets.contains(name),
                })
                .collect(),
            readiness: Some(readiness.into()),
            listen_timeout_ms: *listen_timeout_ms,
            kill_timeout_ms: *kill_timeout_ms,
            max_restarts: *max_restarts,
            min_uptime_ms: *min_uptime_ms,
            restart_delay_ms: *restart_delay_ms,
            user: user.clone(),
            process: process_settings::to_wire(process),
        }
    }
}

impl TryFrom<v1::Application> for Application {
    type Error = InvalidMessage;
    fn try_from(wire: v1::Application) -> Result<Self, InvalidMessage> {
        let exec_mode = match wire.exec_mode() {
            v1::ExecMode::Cluster => ExecMode::Cluster,
            v1::ExecMode::Fork => ExecMode::Fork,
            v1::ExecMode::Unspecified => {
                return Err(InvalidMessage::new("application.exec_mode", "is missing"));
            }
        };
        let port = u16::try_from(wire.port)
            .map_err(|_| InvalidMessage::new("application.port", "ports end at 65535"))?;
        let (mut env, mut secrets) = (BTreeMap::new(), BTreeSet::new());
        for v1::EnvironmentVariable { name, value, secret } in wire.env {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(InvalidMessage::new(
                    "application.env",
                    format!("variable {name:?} cannot be set"),
                ));
            }
            if secret {
                secrets.insert(name.clone());
            }
            env.insert(name, value);
        }
        Ok(Self {
            name: ApplicationName::parse(wire.name)
                .map_err(|e| InvalidMessage::new("application.name", e))?,
            release_id: release_id("application.release_id", &wire.release_id)?,
            release_version: ReleaseVersion::parse(wire.release_version)
                .map_err(|e| InvalidMessage::new("application.release_version", e))?,
            artifact_digest: digest("application.artifact_digest", &wire.artifact_digest)?,
            nodejs_range: wire.nodejs_range,
            script: wire.script,
            args: wire.args,
            node_args: wire.node_args,
            instances: wire.instances,
            exec_mode,
            port: (port != 0).then_some(port),
            env,
            secrets,
            readiness: wire
                .readiness
                .ok_or_else(|| InvalidMessage::new("application.readiness", "is missing"))?
                .try_into()?,
            listen_timeout_ms: wire.listen_timeout_ms,
            kill_timeout_ms: wire.kill_timeout_ms,
            max_restarts: wire.max_restarts,
            min_uptime_ms: wire.min_uptime_ms,
            restart_delay_ms: wire.restart_delay_ms,
            user: wire.user,
            process: process_settings::from_wire(wire.process.unwrap_or_default())?,
        })
    }
}

impl From<&Readiness> for v1::Readiness {
    fn from(readiness: &Readiness) -> Self {
        use v1::readiness::{Kind, Unit};
        let kind = match readiness {
            Readiness::Listening => Kind::Listening(Unit {}),
            Readiness::ReadyMessage => Kind::ReadyMessage(Unit {}),
            Readiness::Http { path } => Kind::Http(v1::readiness::Http { path: path.clone() }),
            Readiness::Tcp => Kind::Tcp(Unit {}),
            Readiness::Started => Kind::Started(Unit {}),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<v1::Readiness> for Readiness {
    type Error = InvalidMessage;
    fn try_from(wire: v1::Readiness) -> Result<Self, InvalidMessage> {
        use v1::readiness::Kind;
        Ok(match wire.kind.ok_or_else(|| InvalidMessage::new("readiness.kind", "is missing"))? {
            Kind::Listening(_) => Self::Listening,
            Kind::ReadyMessage(_) => Self::ReadyMessage,
            Kind::Http(v1::readiness::Http { path }) => Self::Http { path },
            Kind::Tcp(_) => Self::Tcp,
            Kind::Started(_) => Self::Started,
        })
    }
}

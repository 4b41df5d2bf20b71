//! Assignments and their resources.

use super::{InvalidMessage, digest, process_settings, release_id};
use crate::v1;
use muster_domain::{
    ApplicationName, ReleaseVersion,
    assignment::AssignmentContent,
    host_names as names,
    resource::{
        Application, DesiredState, Directory, ExecMode, File, Hostname, Mode, Nodejs, OnRemoval, Readiness,
        Resource, ResourceKey, Symlink, Timezone,
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
        let Resource { key, depends_on, reload_on, restart_on, mode, on_removal, desired } = resource;
        let texts = |keys: &[ResourceKey]| keys.iter().map(ToString::to_string).collect();
        // What has its default is not on the wire: then assignments keep the bytes that they had before there were others.
        let mode = match mode {
            Mode::Enforce => v1::Mode::Unspecified,
            Mode::Report => v1::Mode::Report,
            Mode::Ignore => v1::Mode::Ignore,
        };
        let on_removal = match on_removal {
            OnRemoval::Keep => v1::OnRemoval::Unspecified,
            OnRemoval::Remove => v1::OnRemoval::Remove,
        };
        Self {
            key: key.to_string(),
            depends_on: texts(depends_on),
            reload_on: texts(reload_on),
            restart_on: texts(restart_on),
            mode: mode.into(),
            on_removal: on_removal.into(),
            desired: Some(desired.into()),
        }
    }
}

impl TryFrom<v1::Resource> for Resource {
    type Error = InvalidMessage;
    fn try_from(wire: v1::Resource) -> Result<Self, InvalidMessage> {
        let key = |text: String| ResourceKey::parse(text).map_err(|e| InvalidMessage::new("resource.key", e));
        let keys = |texts: Vec<String>| texts.into_iter().map(key).collect::<Result<Vec<_>, _>>();
        // A word that this version does not know is never "enforce".
        let unknown = |field| InvalidMessage::new(field, "a word that this version does not know");
        let mode = match v1::Mode::try_from(wire.mode) {
            Ok(v1::Mode::Unspecified | v1::Mode::Enforce) => Mode::Enforce,
            Ok(v1::Mode::Report) => Mode::Report,
            Ok(v1::Mode::Ignore) => Mode::Ignore,
            Err(_) => return Err(unknown("resource.mode")),
        };
        let on_removal = match v1::OnRemoval::try_from(wire.on_removal) {
            Ok(v1::OnRemoval::Unspecified | v1::OnRemoval::Keep) => OnRemoval::Keep,
            Ok(v1::OnRemoval::Remove) => OnRemoval::Remove,
            Err(_) => return Err(unknown("resource.on_removal")),
        };
        Ok(Self {
            key: key(wire.key)?,
            depends_on: keys(wire.depends_on)?,
            reload_on: keys(wire.reload_on)?,
            restart_on: keys(wire.restart_on)?,
            mode,
            on_removal,
            desired: wire
                .desired
                .ok_or_else(|| {
                    InvalidMessage::new("resource.desired", "a kind that this version does not know")
                })?
                .try_into()?,
        })
    }
}

impl From<&File> for v1::File {
    fn from(file: &File) -> Self {
        let File { path, content, mode, owner, group, sensitive, validate } = file;
        Self {
            path: path.clone(),
            content: content.clone(),
            mode: *mode,
            owner: owner.clone(),
            group: group.clone(),
            sensitive: *sensitive,
            validate: validate.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::File> for File {
    type Error = InvalidMessage;
    fn try_from(wire: v1::File) -> Result<Self, InvalidMessage> {
        let v1::File { path, content, mode, owner, group, sensitive, validate } = wire;
        Ok(Self {
            path: absolute(path)?,
            content,
            mode: permissions(mode)?,
            owner,
            group,
            sensitive,
            validate: validate.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<&DesiredState> for v1::resource::Desired {
    fn from(desired: &DesiredState) -> Self {
        match desired {
            DesiredState::AptRepository(repository) => Self::AptRepository(repository.into()),
            DesiredState::Package(package) => Self::Package(package.into()),
            DesiredState::OsUpdates(updates) => Self::OsUpdates(updates.into()),
            DesiredState::Group(group) => Self::Group(group.into()),
            DesiredState::User(user) => Self::User(user.into()),
            DesiredState::AuthorizedKey(keys) => Self::AuthorizedKey(keys.into()),
            DesiredState::Hostname(Hostname { name }) => Self::Hostname(v1::Hostname { name: name.clone() }),
            DesiredState::Hosts(hosts) => Self::Hosts(hosts.into()),
            DesiredState::Timezone(Timezone { name }) => Self::Timezone(v1::Timezone { name: name.clone() }),
            DesiredState::Sysctl(sysctl) => Self::Sysctl(sysctl.into()),
            DesiredState::Directory(Directory { path, mode, owner, group }) => {
                Self::Directory(v1::Directory {
                    path: path.clone(),
                    mode: *mode,
                    owner: owner.clone(),
                    group: group.clone(),
                })
            }
            DesiredState::File(file) => Self::File(file.into()),
            DesiredState::SecretFile(file) => Self::SecretFile(file.into()),
            DesiredState::Symlink(Symlink { path, target }) => {
                Self::Symlink(v1::Symlink { path: path.clone(), target: target.clone() })
            }
            DesiredState::Certificate(certificate) => Self::Certificate(certificate.into()),
            DesiredState::SystemdUnit(unit) => Self::SystemdUnit(unit.into()),
            DesiredState::Logrotate(rules) => Self::Logrotate(rules.into()),
            DesiredState::CronJob(job) => Self::CronJob(job.into()),
            DesiredState::Sshd(sshd) => Self::Sshd(sshd.into()),
            DesiredState::Firewall(firewall) => Self::Firewall(firewall.into()),
            DesiredState::Service(service) => Self::Service(service.into()),
            DesiredState::Nodejs(Nodejs { range, mirror }) => {
                Self::Nodejs(v1::Nodejs { range: range.clone(), mirror: mirror.clone() })
            }
            DesiredState::Command(command) => Self::Command(command.into()),
            DesiredState::Application(application) => Self::Application(application.into()),
        }
    }
}

impl TryFrom<v1::resource::Desired> for DesiredState {
    type Error = InvalidMessage;
    fn try_from(wire: v1::resource::Desired) -> Result<Self, InvalidMessage> {
        use v1::resource::Desired as Wire;
        Ok(match wire {
            Wire::AptRepository(repository) => Self::AptRepository(repository.try_into()?),
            Wire::Package(package) => Self::Package(package.try_into()?),
            Wire::OsUpdates(updates) => Self::OsUpdates(updates.try_into()?),
            Wire::Group(group) => Self::Group(group.try_into()?),
            Wire::User(user) => Self::User(user.try_into()?),
            Wire::AuthorizedKey(keys) => Self::AuthorizedKey(keys.try_into()?),
            Wire::Hostname(v1::Hostname { name }) if names::host(&name) => Self::Hostname(Hostname { name }),
            Wire::Hostname(_) => return Err(InvalidMessage::new("hostname.name", "is not a host name")),
            Wire::Hosts(hosts) => Self::Hosts(hosts.try_into()?),
            Wire::Timezone(v1::Timezone { name }) if names::timezone(&name) => {
                Self::Timezone(Timezone { name })
            }
            Wire::Timezone(_) => return Err(InvalidMessage::new("timezone.name", "is not a time zone")),
            Wire::Sysctl(sysctl) => Self::Sysctl(sysctl.try_into()?),
            Wire::Directory(v1::Directory { path, mode, owner, group }) => {
                Self::Directory(Directory { path: absolute(path)?, mode: permissions(mode)?, owner, group })
            }
            Wire::File(file) => Self::File(file.try_into()?),
            // Whoever asked for a secret meant it, whatever else the message says.
            Wire::SecretFile(file) => Self::SecretFile(File { sensitive: true, ..File::try_from(file)? }),
            Wire::Symlink(v1::Symlink { path, target }) => {
                Self::Symlink(Symlink { path: absolute(path)?, target })
            }
            Wire::Certificate(certificate) => Self::Certificate(certificate.try_into()?),
            Wire::SystemdUnit(unit) => Self::SystemdUnit(unit.try_into()?),
            Wire::Logrotate(rules) => Self::Logrotate(rules.try_into()?),
            Wire::CronJob(job) => Self::CronJob(job.try_into()?),
            Wire::Sshd(sshd) => Self::Sshd(sshd.try_into()?),
            Wire::Firewall(firewall) => Self::Firewall(firewall.try_into()?),
            Wire::Service(service) => Self::Service(service.try_into()?),
            Wire::Nodejs(v1::Nodejs { range, mirror }) => Self::Nodejs(Nodejs { range, mirror }),
            Wire::Command(command) => Self::Command(command.try_into()?),
            Wire::Application(application) => Self::Application(application.try_into()?),
        })
    }
}

pub(super) fn absolute(path: String) -> Result<String, InvalidMessage> {
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

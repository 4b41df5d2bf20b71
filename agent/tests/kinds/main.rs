//! Resources kind by kind, from the look to the change and away again: `memory` on a host in memory, `machine` on a real
//! one, which has to be a throw-away one (see there).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod machine;
mod memory;

use muster_agent::config::StateDir;
use muster_agent::resources::{self, Look, View};
use muster_domain::resource::{DesiredState, Resource, ResourceKey};
use muster_planning::convergence::{Action, Effort, Verdict, verdict};
use muster_platform::Host;
use std::sync::Arc;

/// A host, and what the agent keeps about it.
struct Node {
    host: Arc<dyn Host>,
    state: StateDir,
    _dir: tempfile::TempDir,
}

impl Node {
    fn new(host: Arc<dyn Host>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { host, state: StateDir::new(dir.path()), _dir: dir }
    }

    fn look(&self) -> Look<'_> {
        Look { host: self.host.as_ref(), state: &self.state, assigned: &[] }
    }

    /// Looks as a run does that begins now.
    fn observe(&self, desired: &DesiredState) -> muster_planning::convergence::Observed {
        let resource = Resource::new(ResourceKey::new(desired.kind(), "x"), vec![], desired.clone());
        self.host.units_wanted(&resources::units_of(std::slice::from_ref(&resource)));
        self.observe_meanwhile(&resource)
    }

    /// Looks as a run does that began before.
    fn observe_meanwhile(&self, resource: &Resource) -> muster_planning::convergence::Observed {
        let apps = Ok(vec![]);
        let view = View { state: &self.state, apps: &apps, cpus: 2 };
        resources::observe(self.host.as_ref(), view, resource)
    }

    fn verdict(&self, desired: &DesiredState) -> Verdict {
        verdict(desired, &self.observe(desired), Effort::default())
    }

    fn diff(&self, desired: &DesiredState) -> Option<String> {
        resources::diff(self.look(), desired, &self.observe(desired))
    }

    fn act(&self, desired: &DesiredState, action: Action) -> Result<Option<String>, String> {
        resources::apply(self.look(), desired, action)
    }

    fn remove(&self, desired: &DesiredState) -> Result<Option<String>, String> {
        resources::remove(self.look(), desired)
    }

    /// Looks and does what is to be done. What was done, or what was in the way.
    fn converge(&self, desired: &DesiredState) -> Result<Vec<Action>, String> {
        match self.verdict(desired) {
            Verdict::InPlace => Ok(vec![]),
            Verdict::Change { actions, .. } => {
                for action in &actions {
                    self.act(desired, *action)?;
                }
                Ok(actions)
            }
            Verdict::Waiting { reason }
            | Verdict::Impossible { reason }
            | Verdict::Unsupported { reason } => Err(reason),
        }
    }

    /// Converges, and is as it should be afterwards.
    #[track_caller]
    fn settle(&self, desired: &DesiredState) -> Vec<Action> {
        let done = self.converge(desired).unwrap_or_else(|reason| panic!("{desired:?}: {reason}"));
        assert_eq!(self.verdict(desired), Verdict::InPlace, "{desired:?}");
        assert_eq!(self.diff(desired), None, "{desired:?}");
        done
    }

    /// What is in the way.
    #[track_caller]
    fn refusal(&self, desired: &DesiredState) -> String {
        match self.verdict(desired) {
            Verdict::Impossible { reason } | Verdict::Unsupported { reason } => reason,
            other => panic!("{desired:?}: {other:?}"),
        }
    }
}

mod declare {
    //! Short ways to say what is wanted.

    use muster_domain::resource::{
        AuthorizedKey, Command, CronJob, DesiredState, Ensure, Group, Hostname, Hosts, HostsEntry, Logrotate,
        Service, Sysctl, SystemdUnit, Timezone, User,
    };

    pub(super) fn plain_user(name: &str) -> User {
        User {
            name: name.into(),
            ensure: Ensure::Present,
            uid: None,
            group: None,
            groups: vec![],
            shell: None,
            home: None,
            comment: None,
            system: false,
        }
    }

    pub(super) fn plain_group(name: &str) -> Group {
        Group { name: name.into(), ensure: Ensure::Present, gid: None, system: false }
    }

    pub(super) fn user(user: User) -> DesiredState {
        DesiredState::User(user)
    }

    pub(super) fn group(name: &str) -> DesiredState {
        DesiredState::Group(plain_group(name))
    }

    pub(super) fn keys(user: &str, keys: &[&str], exclusive: bool) -> DesiredState {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        DesiredState::AuthorizedKey(AuthorizedKey { user: user.into(), keys, exclusive })
    }

    pub(super) fn service(
        name: &str,
        enabled: impl Into<Option<bool>>,
        running: impl Into<Option<bool>>,
    ) -> DesiredState {
        DesiredState::Service(Service { name: name.into(), enabled: enabled.into(), running: running.into() })
    }

    pub(super) fn unit(name: &str, content: &str) -> DesiredState {
        DesiredState::SystemdUnit(SystemdUnit { name: name.into(), content: content.into() })
    }

    pub(super) fn cron(name: &str, user: &str, schedule: &str, command: &str) -> DesiredState {
        DesiredState::CronJob(CronJob {
            name: name.into(),
            user: user.into(),
            schedule: schedule.into(),
            command: command.into(),
            env: vec![("GREETING".into(), "it's me".into())],
        })
    }

    pub(super) fn logrotate(name: &str, content: &str) -> DesiredState {
        DesiredState::Logrotate(Logrotate { name: name.into(), content: content.into() })
    }

    pub(super) fn sysctl(name: &str, value: &str) -> DesiredState {
        DesiredState::Sysctl(Sysctl { name: name.into(), value: value.into() })
    }

    pub(super) fn hostname(name: &str) -> DesiredState {
        DesiredState::Hostname(Hostname { name: name.into() })
    }

    pub(super) fn hosts(entries: &[(&str, &[&str])]) -> DesiredState {
        let entry = |(address, names): &(&str, &[&str])| HostsEntry {
            address: address.parse().unwrap(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        DesiredState::Hosts(Hosts { entries: entries.iter().map(entry).collect() })
    }

    pub(super) fn timezone(name: &str) -> DesiredState {
        DesiredState::Timezone(Timezone { name: name.into() })
    }

    pub(super) fn plain_command(run: &str) -> Command {
        Command {
            name: "x".into(),
            run: run.into(),
            unless: None,
            creates: None,
            only_on_change: false,
            user: None,
            cwd: None,
            timeout_ms: 20_000,
        }
    }

    pub(super) fn command(command: Command) -> DesiredState {
        DesiredState::Command(command)
    }
}

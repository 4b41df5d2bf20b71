//! A node in memory, for what is said about every plan.

use super::super::*;
use muster_domain::{ApplicationName, Digest, ReleaseId, observed::ResourceStatus, resource::Application};

/// A node in a few maps, on which actions do what they say.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) paths: BTreeMap<String, PathState>,
    pub(super) versions: Vec<String>,
    pub(super) applications: BTreeMap<ApplicationName, ModelApplication>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct ModelApplication {
    pub(super) assembled: Vec<ReleaseId>,
    pub(super) current: Option<ReleaseId>,
    pub(super) processes: Option<ObservedProcesses>,
}

pub(super) const OWN: (u32, u32) = (0, 0);

fn id_of(name: Option<&str>) -> Principal {
    match name {
        None => Principal::Any,
        Some("nobody-knows") => Principal::Unknown("nobody-knows".into()),
        Some(name) => Principal::Id(1000 + u32::try_from(name.len()).unwrap()),
    }
}

pub(super) fn spec_of(wanted: &Application) -> String {
    format!("{}:{}", wanted.release_id, wanted.instances)
}

impl Model {
    pub(super) fn observe(&self, desired: &DesiredState) -> Observed {
        let path = |path: &str, owner: Option<&str>, group: Option<&str>| {
            Observed::Path(ObservedPath {
                found: self.paths.get(path).cloned(),
                owner: id_of(owner),
                group: id_of(group),
                privileged: true,
                own: OWN,
            })
        };
        match desired {
            DesiredState::Directory(d) => path(&d.path, d.owner.as_deref(), d.group.as_deref()),
            DesiredState::File(f) => path(&f.path, f.owner.as_deref(), f.group.as_deref()),
            DesiredState::Symlink(s) => path(&s.path, None, None),
            DesiredState::Nodejs(_) => Observed::Nodejs { versions: self.versions.clone() },
            DesiredState::Application(wanted) => {
                let found = self.applications.get(&wanted.name).cloned().unwrap_or_default();
                let range = NodeRange::parse(&wanted.nodejs_range).unwrap();
                let node = newest_satisfying(&range, self.versions.iter().map(String::as_str));
                Observed::Application(ObservedApplication {
                    release_assembled: found.assembled.contains(&wanted.release_id),
                    current: found.current,
                    wanted_spec: node.map(|_| spec_of(wanted)),
                    processes: found.processes,
                })
            }
            other => panic!("{} is not among the kinds that are drawn", other.kind()),
        }
    }

    /// Whether it worked: without a Node.js nothing can be run.
    pub(super) fn apply(&mut self, desired: &DesiredState, action: Action) -> bool {
        let owned = |principal, former: Option<u32>| match principal {
            Principal::Id(id) => id,
            Principal::Any => former.unwrap_or(0),
            Principal::Unknown(name) => panic!("set to {name}"),
        };
        let state =
            |kind, mode, owner: &Option<String>, group: &Option<String>, former: Option<&PathState>| {
                let uid = owned(id_of(owner.as_deref()), former.map(|f| f.uid));
                PathState { kind, mode, uid, gid: owned(id_of(group.as_deref()), former.map(|f| f.gid)) }
            };
        match (desired, action) {
            (DesiredState::Directory(d), Action::CreateDirectory | Action::SetAttributes) => {
                let new = state(PathKind::Directory, d.mode, &d.owner, &d.group, self.paths.get(&d.path));
                self.paths.insert(d.path.clone(), new);
            }
            (DesiredState::File(f), Action::WriteFile | Action::SetAttributes) => {
                let digest = Digest::from_bytes(*blake3::hash(&f.content).as_bytes());
                let former = self.paths.get(&f.path);
                assert!(
                    !former.is_some_and(|former| former.kind == PathKind::Directory),
                    "a folder was overwritten"
                );
                let new = state(PathKind::File(digest), f.mode, &f.owner, &f.group, former);
                self.paths.insert(f.path.clone(), new);
            }
            (DesiredState::Symlink(s), Action::MakeSymlink) => {
                let kind = PathKind::Symlink(s.target.clone());
                self.paths.insert(s.path.clone(), PathState { kind, mode: 0o777, uid: 0, gid: 0 });
            }
            (DesiredState::Nodejs(_), Action::InstallNodejs) => {
                self.versions.extend(["20.20.2".to_owned(), "22.11.0".to_owned()]);
            }
            (DesiredState::Application(wanted), action) => {
                let found = self.applications.entry(wanted.name.clone()).or_default();
                match action {
                    Action::FetchRelease => found.assembled.push(wanted.release_id),
                    Action::RunRelease => {
                        assert!(found.assembled.contains(&wanted.release_id), "ran before it was fetched");
                        if !self.versions.iter().any(|version| version != "18.1.0") {
                            return false;
                        }
                        found.processes = Some(ObservedProcesses {
                            spec: spec_of(wanted),
                            release: wanted.release_version.to_string(),
                            ready: 1,
                            instances: 1,
                            ..ObservedProcesses::default()
                        });
                    }
                    Action::StartAgain => {
                        let processes = found.processes.as_mut().unwrap();
                        processes.ready = processes.instances;
                        (processes.crash_looping, processes.replacing, processes.stopped) =
                            (false, false, false);
                    }
                    Action::PointCurrent => found.current = Some(wanted.release_id),
                    other => panic!("{other:?} is not for applications"),
                }
            }
            (desired, action) => panic!("{action:?} is not for {}", desired.kind()),
        }
        true
    }

    pub(super) fn observe_all(&self, resources: &[Resource]) -> BTreeMap<ResourceKey, Observed> {
        resources.iter().map(|r| (r.key.clone(), self.observe(&r.desired))).collect()
    }

    /// One run as the agent does it: each resource is looked at again just before it is changed.
    pub(super) fn converge(
        &mut self,
        resources: &[Resource],
        effort: Effort,
    ) -> Vec<(ResourceKey, ResourceStatus)> {
        let mut outcomes = Outcomes::default();
        let mut statuses = Vec::new();
        for resource in resources {
            let status = if let Some(blocked) = outcomes.blocked_by(resource) {
                blocked.standing().0
            } else {
                match verdict(&resource.desired, &self.observe(&resource.desired), effort) {
                    Verdict::InPlace => ResourceStatus::Converged,
                    Verdict::Change { actions, .. } => {
                        let done = actions.into_iter().all(|action| self.apply(&resource.desired, action));
                        if done { ResourceStatus::Converged } else { ResourceStatus::Failed }
                    }
                    Verdict::Waiting { .. } => ResourceStatus::Waiting,
                    Verdict::Impossible { .. } => ResourceStatus::Failed,
                    Verdict::Unsupported { .. } => ResourceStatus::Unsupported,
                }
            };
            outcomes.record(resource.key.clone(), status);
            statuses.push((resource.key.clone(), status));
        }
        statuses
    }
}

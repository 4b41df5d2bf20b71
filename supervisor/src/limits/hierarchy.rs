//! Where control groups are mounted, and which of them a process is in.

use std::path::{Path, PathBuf};

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where.
    point: PathBuf,
    /// Which group of it is there.
    root: String,
}

impl Mount {
    /// Folder of a group.
    fn dir(&self, group: &str) -> PathBuf {
        let below = group.strip_prefix(self.root.trim_end_matches('/')).unwrap_or(group);
        self.point.join(below.trim_start_matches('/'))
    }

    pub(super) fn point(&self) -> &Path {
        &self.point
    }
}

/// Everything that is mounted and of use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hierarchies {
    pub(super) v2: Option<Mount>,
    pub(super) memory: Option<Mount>,
    pub(super) cpu: Option<Mount>,
    pub(super) pids: Option<Mount>,
    /// systemd's own one, without a controller, where cgroup v1 is used.
    pub(super) systemd: Option<Mount>,
}

/// The groups a process is in, one path per hierarchy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Membership {
    v2: Option<String>,
    memory: Option<String>,
    cpu: Option<String>,
    pids: Option<String>,
    systemd: Option<String>,
}

/// The folders of the groups a process is in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Dirs {
    pub(super) v2: Option<PathBuf>,
    pub(super) memory: Option<PathBuf>,
    pub(super) cpu: Option<PathBuf>,
    pub(super) pids: Option<PathBuf>,
    pub(super) systemd: Option<PathBuf>,
}

impl Hierarchies {
    pub(super) fn mounted() -> Self {
        Self::parse(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
    }

    fn parse(mountinfo: &str) -> Self {
        let mut found = Self::default();
        for line in mountinfo.lines() {
            let Some((place, kind)) = line.split_once(" - ") else { continue };
            let place: Vec<&str> = place.split(' ').collect();
            let kind: Vec<&str> = kind.split(' ').collect();
            let (Some(root), Some(point), Some(kind), Some(options)) =
                (place.get(3), place.get(4), kind.first(), kind.get(2))
            else {
                continue;
            };
            let mount = || Mount { point: PathBuf::from(point), root: (*root).to_owned() };
            let set = |slot: &mut Option<Mount>| {
                slot.get_or_insert_with(mount);
            };
            match *kind {
                "cgroup2" => set(&mut found.v2),
                "cgroup" => {
                    for option in options.split(',') {
                        match option {
                            "memory" => set(&mut found.memory),
                            "cpu" => set(&mut found.cpu),
                            "pids" => set(&mut found.pids),
                            "name=systemd" => set(&mut found.systemd),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// The folders of the groups of a process; those that cannot be seen are absent.
    pub(super) fn dirs_of(&self, pid: u32) -> Dirs {
        let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        self.dirs(&Membership::parse(&text))
    }

    fn dirs(&self, membership: &Membership) -> Dirs {
        let dir = |mount: &Option<Mount>, group: &Option<String>| {
            // Above the namespace we are in.
            let group = group.as_deref().filter(|group| !group.starts_with("/.."))?;
            Some(mount.as_ref()?.dir(group))
        };
        Dirs {
            v2: dir(&self.v2, &membership.v2),
            memory: dir(&self.memory, &membership.memory),
            cpu: dir(&self.cpu, &membership.cpu),
            pids: dir(&self.pids, &membership.pids),
            systemd: dir(&self.systemd, &membership.systemd),
        }
    }
}

impl Membership {
    fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            let mut fields = line.splitn(3, ':');
            let (Some(_), Some(controllers), Some(group)) = (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let group = || Some(group.to_owned());
            if controllers.is_empty() {
                found.v2 = group();
            }
            for controller in controllers.split(',') {
                match controller {
                    "memory" => found.memory = group(),
                    "cpu" => found.cpu = group(),
                    "pids" => found.pids = group(),
                    "name=systemd" => found.systemd = group(),
                    _ => {}
                }
            }
        }
        found
    }
}

impl Dirs {
    /// Cut off at the group of that process; what is elsewhere is absent.
    pub(super) fn of_group(self, pid: u32) -> Self {
        let cut = |dir: Option<PathBuf>| {
            dir.as_deref()?
                .ancestors()
                .find(|dir| {
                    let name = dir.file_name().and_then(|name| name.to_str());
                    name.is_some_and(|name| super::names_group_of(name, pid))
                })
                .map(Path::to_owned)
        };
        Self {
            v2: cut(self.v2),
            memory: cut(self.memory),
            cpu: cut(self.cpu),
            pids: cut(self.pids),
            systemd: cut(self.systemd),
        }
    }

    /// Each folder once.
    pub(super) fn all(&self) -> Vec<&Path> {
        let mut all: Vec<&Path> = [&self.v2, &self.memory, &self.cpu, &self.pids, &self.systemd]
            .into_iter()
            .filter_map(Option::as_deref)
            .collect();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_of_a_process_are_found_under_v1_v2_and_both() {
        let mixed = "31 24 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n\
            32 24 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n\
            33 24 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            34 24 0:30 / /sys/fs/cgroup/systemd rw - cgroup systemd rw,xattr,name=systemd\n";
        let membership = "5:cpu,cpuacct:/a\n4:memory:/muster/muster-web-0-77\n\
            1:name=systemd:/x/muster-web-0-77.scope/deeper\n0::/unified/here\n";
        let dirs = Hierarchies::parse(mixed).dirs(&Membership::parse(membership));
        assert_eq!(dirs.cpu.as_deref(), Some(Path::new("/sys/fs/cgroup/cpu,cpuacct/a")));
        assert_eq!(dirs.v2.as_deref(), Some(Path::new("/sys/fs/cgroup/unified/unified/here")));
        assert_eq!(dirs.pids, None);
        let group = dirs.of_group(77);
        assert_eq!(group.cpu, None);
        assert_eq!(group.memory.as_deref(), Some(Path::new("/sys/fs/cgroup/memory/muster/muster-web-0-77")));
        assert_eq!(
            group.systemd.as_deref(),
            Some(Path::new("/sys/fs/cgroup/systemd/x/muster-web-0-77.scope"))
        );
    }

    #[test]
    fn a_mount_that_begins_below_the_root_is_understood() {
        let container = "31 24 0:27 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        let hierarchies = Hierarchies::parse(container);
        let dirs = hierarchies.dirs(&Membership::parse("0::/docker/abc/inner\n"));
        assert_eq!(dirs.v2.as_deref(), Some(Path::new("/sys/fs/cgroup/inner")));
        let outside = hierarchies.dirs(&Membership::parse("0::/../other\n"));
        assert_eq!(outside.v2, None);
    }
}

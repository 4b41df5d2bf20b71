//! Groups as folders of our own, where no systemd looks after them.

use std::io;
use std::path::{Path, PathBuf};

use muster_supervisor_protocol::Limits;

use super::hierarchy::{Dirs, Hierarchies};
use super::{CPU_PERIOD_US, Controllers, PARENT, cpu_quota_us};

/// Where folders of ours can be made: the place, and the controllers there (for v1 one place per controller).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) v2: Option<(PathBuf, Controllers)>,
    pub(super) memory: Option<PathBuf>,
    pub(super) cpu: Option<PathBuf>,
    pub(super) pids: Option<PathBuf>,
}

impl Places {
    /// Looks for them, and makes the folder that holds ours.
    pub(super) fn find(hierarchies: &Hierarchies, wanted: Controllers) -> Self {
        let own = hierarchies.dirs_of(std::process::id());
        let v1 = |wanted: bool, dir: &Option<PathBuf>| {
            let dir = dir.as_deref().filter(|_| wanted)?;
            make(&dir.join(PARENT)).ok()
        };
        let Dirs { v2, memory, cpu, pids, .. } = &own;
        let v2 = v2.as_deref().zip(hierarchies.v2.as_ref());
        Self {
            v2: v2.and_then(|(dir, mount)| place_v2(dir, mount.point(), wanted)),
            memory: v1(wanted.memory, memory),
            cpu: v1(wanted.cpu, cpu),
            pids: v1(wanted.pids, pids),
        }
    }

    pub(super) fn v1(&self) -> Controllers {
        Controllers { memory: self.memory.is_some(), cpu: self.cpu.is_some(), pids: self.pids.is_some() }
    }
}

/// The nearest folder, from our own group upwards, below which the most of the wanted controllers can be had. A group
/// that has processes cannot hand controllers on, unless it is the root: so ours mostly cannot.
fn place_v2(own: &Path, root: &Path, wanted: Controllers) -> Option<(PathBuf, Controllers)> {
    let mut best: Option<(PathBuf, Controllers)> = None;
    for dir in own.ancestors().take_while(|dir| dir.starts_with(root)) {
        let Some(place) = enable(dir, wanted).and_then(|_| make(&dir.join(PARENT)).ok()) else { continue };
        let Some(there) = enable(&place, wanted) else { continue };
        if best.as_ref().is_none_or(|(_, controllers)| there.count() > controllers.count()) {
            best = Some((place, there));
        }
        if there == wanted {
            break;
        }
    }
    best
}

/// Hands the wanted controllers on to the groups below, and says which are.
fn enable(dir: &Path, wanted: Controllers) -> Option<Controllers> {
    let control = dir.join("cgroup.subtree_control");
    let enabled = || Some(Controllers::parse(&std::fs::read_to_string(&control).ok()?).and(wanted));
    let offered = Controllers::parse(&std::fs::read_to_string(dir.join("cgroup.controllers")).ok()?);
    let missing = offered.and(wanted).without(enabled()?);
    for (name, missing) in [("memory", missing.memory), ("cpu", missing.cpu), ("pids", missing.pids)] {
        // One by one: what the kernel refuses shall not keep it from the rest.
        if missing && std::fs::write(&control, format!("+{name}")).is_err() {
            continue;
        }
    }
    enabled()
}

fn make(dir: &Path) -> io::Result<PathBuf> {
    match std::fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(dir.to_owned()),
    }
}

/// Puts this process into new groups of that name. What could not be done is noted.
pub(super) fn enter(places: &Places, v2: bool, v1: Controllers, name: &str, limits: &Limits) -> Vec<String> {
    let mut notes = Vec::new();
    let mut attempt = |what: &str, done: io::Result<()>| {
        if let Err(error) = done {
            notes.push(format!("{what}: {error}"));
        }
    };
    if let Some((place, controllers)) = places.v2.as_ref().filter(|_| v2) {
        attempt("no group of cgroup v2", enter_v2(place, *controllers, name, limits));
    }
    let each = [
        ("memory", &places.memory, v1.memory),
        ("cpu", &places.cpu, v1.cpu),
        ("pids", &places.pids, v1.pids),
    ];
    for (controller, place, _) in each.into_iter().filter(|(_, _, wanted)| *wanted) {
        if let Some(place) = place {
            attempt(
                &format!("no {controller} group of cgroup v1"),
                enter_v1(place, controller, name, limits),
            );
        }
    }
    notes
}

fn enter_v2(place: &Path, controllers: Controllers, name: &str, limits: &Limits) -> io::Result<()> {
    sweep(place);
    let dir = make(&place.join(name))?;
    if let Some(bytes) = limits.memory_bytes.filter(|_| controllers.memory) {
        std::fs::write(dir.join("memory.max"), bytes.to_string())?;
        // Not there without swap accounting.
        write_if_there(&dir.join("memory.swap.max"), "0")?;
    }
    if let Some(percent) = limits.cpu_percent.filter(|_| controllers.cpu) {
        std::fs::write(dir.join("cpu.max"), format!("{} {CPU_PERIOD_US}", cpu_quota_us(percent)))?;
    }
    if let Some(pids) = limits.pids.filter(|_| controllers.pids) {
        std::fs::write(dir.join("pids.max"), pids.to_string())?;
    }
    join(&dir)
}

fn enter_v1(place: &Path, controller: &str, name: &str, limits: &Limits) -> io::Result<()> {
    sweep(place);
    let dir = make(&place.join(name))?;
    match (controller, limits) {
        ("memory", Limits { memory_bytes: Some(bytes), .. }) => {
            std::fs::write(dir.join("memory.limit_in_bytes"), bytes.to_string())?;
            // Memory and swap together: so nothing is left for swap.
            write_if_there(&dir.join("memory.memsw.limit_in_bytes"), &bytes.to_string())?;
        }
        ("cpu", Limits { cpu_percent: Some(percent), .. }) => {
            std::fs::write(dir.join("cpu.cfs_period_us"), CPU_PERIOD_US.to_string())?;
            std::fs::write(dir.join("cpu.cfs_quota_us"), cpu_quota_us(*percent).to_string())?;
        }
        ("pids", Limits { pids: Some(pids), .. }) => std::fs::write(dir.join("pids.max"), pids.to_string())?,
        _ => {}
    }
    join(&dir)
}

fn write_if_there(path: &Path, text: &str) -> io::Result<()> {
    match std::fs::write(path, text) {
        // Control files cannot be made, so a missing one is refused in one way or the other.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
                && !path.exists() =>
        {
            Ok(())
        }
        other => other,
    }
}

fn join(dir: &Path) -> io::Result<()> {
    // 0 is whoever writes it.
    std::fs::write(dir.join("cgroup.procs"), "0")
}

/// Removes what nobody removed after the end of its process. The kernel keeps what is in use.
fn sweep(place: &Path) {
    let Ok(entries) = std::fs::read_dir(place) else { return };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let pid =
            name.to_str().and_then(|name| name.strip_prefix(super::PREFIX)?.rsplit('-').next()?.parse().ok());
        if pid.is_some_and(|pid: u32| !Path::new(&format!("/proc/{pid}")).exists()) {
            // In use by what that process left behind, or removed by somebody else: both are fine.
            drop(std::fs::remove_dir(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Controllers = Controllers { memory: true, cpu: true, pids: true };

    /// Files that look like a tree of cgroup v2 in which every group offers and hands on these controllers.
    fn fake(root: &Path, below: &[(&str, &str)]) {
        for (dir, controllers) in below {
            let dir = root.join(dir);
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join("cgroup.controllers"), controllers).unwrap();
            std::fs::write(dir.join("cgroup.subtree_control"), controllers).unwrap();
        }
    }

    #[test]
    fn the_nearest_place_with_the_most_controllers_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fake(
            root,
            &[
                ("", "cpu memory pids"),
                ("muster", "cpu memory pids"),
                ("user", "memory pids"),
                ("user/muster", "memory pids"),
                ("user/own", ""),
                ("user/own/muster", ""),
            ],
        );
        assert_eq!(place_v2(&root.join("user/own"), root, ALL), Some((root.join("muster"), ALL)));
        let without_cpu = Controllers { cpu: false, ..ALL };
        assert_eq!(
            place_v2(&root.join("user/own"), root, without_cpu),
            Some((root.join("user/muster"), without_cpu))
        );
    }

    #[test]
    fn without_a_controller_the_own_group_is_as_good_as_any() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fake(root, &[("", "hugetlb"), ("own", ""), ("own/muster", ""), ("muster", "")]);
        assert_eq!(
            place_v2(&root.join("own"), root, ALL),
            Some((root.join("own/muster"), Controllers::default()))
        );
    }

    #[test]
    fn limits_are_written_as_the_kernel_reads_them() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("muster-a-0-1");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("memory.swap.max"), "max").unwrap();
        let limits =
            Limits { memory_bytes: Some(1 << 20), cpu_percent: Some(150), pids: Some(7), open_files: None };
        enter_v2(place.path(), ALL, "muster-a-0-1", &limits).unwrap();
        let read = |file| std::fs::read_to_string(dir.join(file)).unwrap();
        assert_eq!(
            [
                read("memory.max"),
                read("memory.swap.max"),
                read("cpu.max"),
                read("pids.max"),
                read("cgroup.procs")
            ],
            ["1048576", "0", "150000 100000", "7", "0"]
        );
    }
}

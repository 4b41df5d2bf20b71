//! A transient scope of systemd for this process.
//!
//! `busctl` asks for it: it comes with systemd, takes a few milliseconds, and spares the supervisor a D-Bus library.
//! (`systemd-run --scope` would execute the program itself and could not fall back to anything.)

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::decide::Manager;
use super::hierarchy::Hierarchies;
use super::{PARENT, cpu_quota_us};
use muster_supervisor_protocol::Limits;

/// How long systemd may take to move us.
const MOVE_LIMIT: Duration = Duration::from_secs(5);
/// Before this version a scope has no policy of its own for the lack of memory: systemd then ends all of it.
const OOM_POLICY_SINCE: u32 = 253;
/// What the supervisor is called where it is a unit.
const UNIT: &str = "muster-supervisor.service";
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a scope is made from.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) limits: &'a Limits,
    /// How systemd ends it when the machine shuts down.
    pub(super) kill_signal: i32,
    pub(super) kill_timeout_ms: u64,
}

/// Why there is no scope.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoScope {
    /// The machine is going down.
    ShuttingDown,
    /// Anything else; the process can go on without.
    Refused(String),
}

/// The systemd that makes scopes for us, and whether one runs here at all.
pub(super) fn manager() -> (Option<Manager>, bool) {
    // As `sd_booted(3)` finds out.
    let booted = Path::new("/run/systemd/system").is_dir();
    if rustix::process::geteuid().is_root() {
        return (booted.then_some(Manager::System), booted);
    }
    let user =
        Path::new(&runtime_dir()).join("bus").exists() && Path::new(&runtime_dir()).join("systemd").is_dir();
    ((booted && user).then_some(Manager::User), booted)
}

fn runtime_dir() -> String {
    format!("/run/user/{}", rustix::process::geteuid().as_raw())
}

/// A command that talks to that systemd.
pub(super) fn command(program: &str, manager: Manager) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", DEFAULT_PATH).env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
    if manager == Manager::User {
        let dir = runtime_dir();
        command.env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={dir}/bus")).env("XDG_RUNTIME_DIR", dir);
        command.arg("--user");
    }
    command
}

/// Puts this process into a new scope.
pub(super) fn enter(manager: Manager, scope: &Scope<'_>) -> Result<(), NoScope> {
    let refused = |what: String| NoScope::Refused(what);
    let output = command("busctl", manager)
        .args(["--quiet", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1"])
        .args(["org.freedesktop.systemd1.Manager", "StartTransientUnit", "ssa(sv)a(sa(sv))"])
        .args(arguments(scope, std::process::id(), version()))
        .output()
        .map_err(|error| refused(format!("busctl cannot be executed: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("busctl failed");
        return Err(if said.contains("is destructive") {
            NoScope::ShuttingDown
        } else {
            refused(said.to_owned())
        });
    }
    // The answer means that the scope will be started; it holds us a moment later.
    let hierarchies = Hierarchies::mounted();
    let began = Instant::now();
    while began.elapsed() < MOVE_LIMIT {
        let everywhere = hierarchies.dirs_of(std::process::id());
        let ours = everywhere.clone().of_group(std::process::id());
        // Under cgroup v1 we are moved hierarchy by hierarchy, and a controller without a limit may leave us out.
        let limits = scope.limits;
        let there =
            |wanted: bool, all: &Option<_>, own: &Option<_>| !wanted || all.is_none() || own.is_some();
        if (ours.systemd.is_some() || ours.v2.is_some())
            && (ours.v2.is_some()
                || (there(limits.memory_bytes.is_some(), &everywhere.memory, &ours.memory)
                    && there(limits.cpu_percent.is_some(), &everywhere.cpu, &ours.cpu)
                    && there(limits.pids.is_some(), &everywhere.pids, &ours.pids))
                || began.elapsed() > MOVE_LIMIT / 10)
        {
            return Ok(());
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    Err(refused(format!("systemd did not put the process into its scope within {} s", MOVE_LIMIT.as_secs())))
}

/// Name, mode, properties and auxiliary units as `busctl` wants them.
fn arguments(scope: &Scope<'_>, pid: u32, version: Option<u32>) -> Vec<String> {
    let Limits { memory_bytes, cpu_percent, pids, open_files: _ } = scope.limits;
    let mut properties: Vec<[String; 3]> = Vec::new();
    let mut set = |name: &str, kind: &str, value: String| {
        properties.push([name.to_owned(), kind.to_owned(), value]);
    };
    // Units stop in the reverse order: when the machine goes down, a supervisor that is a unit ends its applications itself,
    // and takes the end of none of them for a crash. Where there is no such unit this means nothing.
    set("Before", "as", format!("1 {UNIT}"));
    set("Description", "s", scope.description.clone());
    set("Slice", "s", format!("{PARENT}.slice"));
    set("KillSignal", "i", scope.kill_signal.to_string());
    set("TimeoutStopUSec", "t", scope.kill_timeout_ms.saturating_mul(1_000).to_string());
    if let Some(bytes) = memory_bytes {
        set("MemoryMax", "t", bytes.to_string());
        set("MemorySwapMax", "t", "0".to_owned());
        if version.is_some_and(|version| version >= OOM_POLICY_SINCE) {
            set("OOMPolicy", "s", "continue".to_owned());
        }
    }
    if let Some(percent) = cpu_percent {
        // Per second, where the kernel counts in periods of a tenth.
        set("CPUQuotaPerSecUSec", "t", (cpu_quota_us(*percent) * 10).to_string());
    }
    if let Some(pids) = pids {
        set("TasksMax", "t", pids.to_string());
    }
    let mut arguments =
        vec![format!("{}.scope", scope.name), "fail".to_owned(), (properties.len() + 1).to_string()];
    arguments.extend(["PIDs", "au", "1"].map(str::to_owned));
    arguments.push(pid.to_string());
    // The number of a list and its parts are words of their own.
    let words = properties.into_iter().flat_map(|[name, kind, value]| match kind.as_str() {
        "as" => [vec![name, kind], value.split(' ').map(str::to_owned).collect()].concat(),
        _ => vec![name, kind, value],
    });
    arguments.extend(words);
    arguments.push("0".to_owned());
    arguments
}

/// Version of the systemd that is installed, by the name of its library: asking it would cost another program.
fn version() -> Option<u32> {
    let places = ["/usr/lib/systemd".to_owned(), "/lib/systemd".to_owned(), "/usr/lib64/systemd".to_owned()];
    let by_architecture = format!("/usr/lib/{}-linux-gnu/systemd", std::env::consts::ARCH);
    places
        .into_iter()
        .chain([by_architecture])
        .filter_map(|dir| std::fs::read_dir(dir).ok())
        .flatten()
        .filter_map(|entry| library_version(entry.ok()?.file_name().to_str()?))
        .max()
}

fn library_version(name: &str) -> Option<u32> {
    let rest = name.strip_prefix("libsystemd-shared-")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_asked_for_with_every_limit() {
        let limits =
            Limits { memory_bytes: Some(256), cpu_percent: Some(50), pids: Some(9), open_files: Some(5) };
        let scope = Scope {
            name: "muster-web-0-7".to_owned(),
            description: "web".to_owned(),
            limits: &limits,
            kill_signal: 2,
            kill_timeout_ms: 1_600,
        };
        assert_eq!(
            arguments(&scope, 7, Some(252)).join(" "),
            "muster-web-0-7.scope fail 10 PIDs au 1 7 Before as 1 muster-supervisor.service Description s web Slice s muster.slice KillSignal i 2 \
             TimeoutStopUSec t 1600000 MemoryMax t 256 MemorySwapMax t 0 CPUQuotaPerSecUSec t 500000 TasksMax t 9 0"
        );
        assert!(arguments(&scope, 7, Some(253)).join(" ").contains(" OOMPolicy s continue "));
    }

    #[test]
    fn the_version_is_in_the_name_of_the_library() {
        assert_eq!(library_version("libsystemd-shared-252.so"), Some(252));
        assert_eq!(library_version("libsystemd-shared-257.9-1.fc42.so"), Some(257));
        assert_eq!(library_version("libsystemd-core-252.so"), None);
    }
}

//! Limits, whoever enforces them here: a scope of systemd, control groups of our own, or the supervisor itself.
//!
//! What a test can expect depends on the machine, and the status says it. `MUSTER_TEST_LIMITS_BY` tells what it has to
//! say on a machine that is known (`tests/lab/hosts/limits.rs` runs these tests on several kinds).

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use muster_supervisor_protocol::{
    AppSpec, AppStatus, Client, InstanceState, InstanceStatus, Limits, ProcessEventKind, Readiness,
};

use crate::harness::{SERVER, Supervisor, alive, signal, until};
use crate::load::get;

const MB: u64 = 1_048_576;
/// Node.js needs about 45 MB for itself.
const MEMORY: u64 = 128 * MB;
const EATER: &str = "const kept = []; setInterval(() => kept.push(Buffer.alloc(8 << 20, 1)), 5);";

fn plain(supervisor: &Supervisor, name: &str, source: &str, limits: Limits) -> AppSpec {
    AppSpec {
        exec_mode: muster_supervisor_protocol::ExecMode::Fork,
        readiness: Readiness::Started,
        min_uptime_ms: 10,
        autorestart: false,
        limits,
        ..supervisor.app(name, "1", source)
    }
}

fn memory(bytes: u64) -> Limits {
    Limits { memory_bytes: Some(bytes), ..Limits::default() }
}

fn pids(pids: u32) -> Limits {
    Limits { pids: Some(pids), ..Limits::default() }
}

/// Waits until it is known who enforces the limits.
async fn limited(supervisor: &Supervisor, app: &str) -> InstanceStatus {
    let known = |status: &AppStatus| status.instances.iter().all(|one| one.limits_by.is_some());
    let status = supervisor.until(app, "it is known what enforces its limits", known).await;
    status.instances[0].clone()
}

fn kernel_enforces(instance: &InstanceStatus) -> bool {
    instance
        .limits_by
        .as_ref()
        .is_some_and(|by| ["systemd scope", "cgroup v"].iter().any(|kind| by.starts_with(kind)))
}

/// Folders of the control groups that were made for a process.
fn groups(pid: u32) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    text.lines().filter(|line| line.contains("/muster-")).map(str::to_owned).collect()
}

/// Processes with that text in their command line.
fn with_argument(text: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(text) && alive(*pid)
    })
    .collect()
}

async fn dead(supervisor: &Supervisor, app: &str) -> InstanceStatus {
    let ended = |status: &AppStatus| {
        status.instances.first().is_some_and(|one| one.last_exit.is_some() && one.pid.is_none())
    };
    supervisor.until(app, "it has ended", ended).await.instances[0].clone()
}

#[tokio::test]
async fn what_enforces_the_limits_is_said_and_what_does_not_is_said_too() {
    let supervisor = Supervisor::start().await;
    let limits = Limits {
        memory_bytes: Some(512 * MB),
        cpu_percent: Some(50),
        pids: Some(100),
        open_files: Some(256),
    };
    let spec = AppSpec { limits, ..supervisor.app("shop", "1", SERVER) };
    supervisor.run(&spec).await;
    let instance = limited(&supervisor, "shop").await;
    let said = instance.limits_by.clone().unwrap();
    if let Ok(expected) = std::env::var("MUSTER_TEST_LIMITS_BY") {
        assert_eq!(said, expected);
    }
    let pid = instance.pid.unwrap();
    assert_eq!(kernel_enforces(&instance), !groups(pid).is_empty() && !said.contains("polling"), "{said}");
    let open_files = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = open_files.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_ascii_whitespace().nth(4), Some("256"), "{line}");
    // It is the application itself, with its channel, and with nothing of the launcher.
    assert!(get(supervisor.port("shop").await).await.unwrap().contains(&pid.to_string()));
    let open: Vec<PathBuf> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .collect();
    assert_eq!(open.iter().filter(|file| file.to_string_lossy().contains("memfd")).count(), 0, "{open:?}");
    let unlimited = supervisor.app("free", "1", SERVER);
    supervisor.run(&unlimited).await;
    let status = supervisor.status("free").await;
    assert_eq!(status.instances[0].limits_by, None);
    assert!(groups(status.instances[0].pid.unwrap()).is_empty());
    // Its group ends with it.
    let group = groups(pid);
    supervisor.client().await.delete("shop").await.unwrap();
    for line in group {
        let path = line.rsplit(':').next().unwrap().to_owned();
        until("the group is gone", async || {
            let found = Command::new("find")
                .args(["/sys/fs/cgroup", "-type", "d", "-path"])
                .arg(format!("*{path}"))
                .output()
                .unwrap();
            found.stdout.is_empty().then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn want_of_memory_is_named_as_the_reason_of_death() {
    let supervisor = Supervisor::start().await;
    supervisor.run(&plain(&supervisor, "eater", EATER, memory(MEMORY))).await;
    let by = supervisor.status("eater").await.instances[0].limits_by.clone();
    let exit = dead(&supervisor, "eater").await.last_exit.unwrap();
    assert!(exit.out_of_memory, "{exit:?} {by:?} {}", supervisor.stderr());
    assert_eq!((exit.signal.as_deref(), exit.code), (Some("SIGKILL"), None));
    if exit.reason.contains("(polled)") {
        assert!(exit.reason.contains("MB is above its limit 128 MB (polled)"), "{exit:?}");
    } else {
        let named = "was ended by the kernel: out of memory (limit 128 MB)";
        assert!(exit.reason.starts_with(named), "{exit:?}");
    }
}

#[tokio::test]
async fn a_child_that_runs_out_of_memory_is_told_and_is_not_the_death_of_its_parent() {
    let supervisor = Supervisor::start().await;
    let source = format!(
        "const {{ spawn }} = require('child_process');
         const child = spawn(process.execPath, ['-e', {EATER:?}]);
         child.on('exit', (code, signal) => console.log(`the child was ended by ${{signal}}`));
         setInterval(() => {{}}, 1000);"
    );
    let mut events = supervisor.client().await.watch().await.unwrap();
    supervisor.run(&plain(&supervisor, "parent", &source, memory(MEMORY + 64 * MB))).await;
    let instance = limited(&supervisor, "parent").await;
    if !kernel_enforces(&instance) {
        // Then the whole instance is ended.
        assert!(dead(&supervisor, "parent").await.last_exit.unwrap().out_of_memory);
        return;
    }
    let told = loop {
        let event = events.next().await.unwrap();
        if event.kind == ProcessEventKind::OutOfMemory || event.kind == ProcessEventKind::Exited {
            break event;
        }
    };
    if told.kind == ProcessEventKind::Exited {
        // systemd before 253 ends the scope, under cgroup v2.
        assert!(dead(&supervisor, "parent").await.last_exit.unwrap().out_of_memory);
        return;
    }
    assert_eq!(told.reason, "a process it had started was ended by the kernel: out of memory (limit 192 MB)");
    assert!(supervisor.status("parent").await.settled());
}

#[tokio::test]
async fn a_fork_bomb_stays_within_its_limit_and_ends_with_its_instance() {
    let supervisor = Supervisor::start().await;
    // Unlike a shell, it does not give up when it cannot fork.
    let bomb = supervisor.script(
        "bomb.pl",
        "use POSIX;
         while (1) {
             my $child = fork();
             POSIX::setsid() if defined $child && $child == 0;
             select(undef, undef, undef, 0.02);
         }",
    );
    let spec = AppSpec {
        interpreter: Some("/usr/bin/perl".to_owned()),
        script: bomb.clone(),
        ..plain(&supervisor, "bomber", "", pids(60))
    };
    // Somebody looks whether the limit will hold before the bomb is let go.
    let harmless = plain(&supervisor, "harmless", "setInterval(() => {}, 1000)", pids(60));
    supervisor.run(&harmless).await;
    let instance = limited(&supervisor, "harmless").await;
    if !kernel_enforces(&instance) {
        assert!(instance.limits_by.unwrap().contains("pids not enforced"));
        return;
    }
    supervisor.run(&spec).await;
    until("the bomb fills its limit", async || (with_argument(&bomb).len() > 30).then_some(())).await;
    assert!(with_argument(&bomb).len() <= 60);
    supervisor.client().await.stop("bomber").await.unwrap();
    until("nothing of it is left", async || with_argument(&bomb).is_empty().then_some(())).await;
    let status = supervisor.status("bomber").await;
    assert_eq!(status.instances[0].state, InstanceState::Stopped);
}

#[tokio::test]
async fn what_left_session_and_parent_is_killed_with_the_instance_also_by_a_successor() {
    let supervisor = Supervisor::start().await;
    let stray = supervisor.script("stray.sh", "while :; do sleep 1; done\n");
    let source = format!(
        "require('child_process').spawn('sh', ['-c', 'setsid sh {stray} & setsid sh -c \"sh {stray} &\" &'],
           {{ detached: true, stdio: 'ignore' }});
         setInterval(() => {{}}, 1000);"
    );
    supervisor.run(&plain(&supervisor, "parent", &source, pids(200))).await;
    let before = limited(&supervisor, "parent").await;
    until("its children are on their own", async || (with_argument(&stray).len() >= 2).then_some(())).await;
    let pid = before.pid.unwrap();
    let in_group = !groups(pid).is_empty();
    let supervisor = supervisor.kill().start().await;
    let after = limited(&supervisor, "parent").await;
    assert_eq!((after.pid, &after.limits_by), (Some(pid), &before.limits_by));
    supervisor.client().await.delete("parent").await.unwrap();
    until("it has ended", async || (!alive(pid)).then_some(())).await;
    if in_group {
        until("nothing of it is left", async || with_argument(&stray).is_empty().then_some(())).await;
    }
    for pid in with_argument(&stray) {
        signal(pid, "KILL");
    }
}

#[tokio::test]
async fn processor_time_is_limited_where_that_is_said() {
    let supervisor = Supervisor::start().await;
    let limits = Limits { cpu_percent: Some(20), ..Limits::default() };
    supervisor.run(&plain(&supervisor, "busy", "for (;;) {}", limits)).await;
    let instance = limited(&supervisor, "busy").await;
    if !kernel_enforces(&instance) {
        assert_eq!(instance.limits_by.as_deref().map(|by| by.starts_with("cpu not enforced")), Some(true));
        return;
    }
    let pid = instance.pid.unwrap();
    until("it was held back", async || {
        // Wherever the hierarchy is mounted.
        let group = groups(pid).into_iter().find(|line| line.contains(":cpu") || line.starts_with("0::"))?;
        let path = group.rsplit(':').next()?.to_owned();
        let stats = ["cpu", "cpu,cpuacct", "."].map(|dir| format!("/sys/fs/cgroup/{dir}{path}/cpu.stat"));
        stats.iter().find_map(|file| {
            let text =
                std::fs::read_to_string(file.replace("/./", "/").replace("/cgroup/.", "/cgroup")).ok()?;
            let times =
                text.lines().find_map(|line| line.strip_prefix("nr_throttled "))?.parse::<u64>().ok()?;
            (times > 5).then_some(())
        })
    })
    .await;
}

#[tokio::test]
async fn what_the_launcher_cannot_do_is_a_failure_to_start() {
    let supervisor = Supervisor::start().await;
    let broken = supervisor.script("broken", "#!/bin/sh\nexit 0\n");
    std::fs::set_permissions(&broken, std::fs::Permissions::from_mode(0o644)).unwrap();
    let spec = AppSpec {
        interpreter: None,
        script: broken,
        min_uptime_ms: 5_000,
        ..plain(&supervisor, "broken", "", Limits { open_files: Some(64), ..Limits::default() })
    };
    let applied = supervisor.apply(&spec).await;
    let failed = format!("{applied:?}");
    assert!(failed.contains("cannot be executed: Permission denied"), "{failed}");
}

#[tokio::test]
async fn who_may_not_limit_memory_polls_it() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    const NOBODY: u32 = 65_534;
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let mut command = Supervisor::command(dir.path());
    command.uid(NOBODY).gid(NOBODY);
    let supervisor = Supervisor::start_by(dir, command).await;
    let limits = Limits { cpu_percent: Some(50), ..memory(MEMORY) };
    supervisor.run(&plain(&supervisor, "eater", EATER, limits)).await;
    let exit = dead(&supervisor, "eater").await.last_exit.unwrap();
    assert!(exit.out_of_memory && exit.reason.contains("MB is above its limit 128 MB (polled)"), "{exit:?}");
    let quiet = plain(
        &supervisor,
        "quiet",
        "setInterval(() => {}, 1000)",
        Limits { pids: Some(9), ..memory(1 << 40) },
    );
    supervisor.run(&quiet).await;
    let by = limited(&supervisor, "quiet").await.limits_by.unwrap();
    assert!(by.starts_with("rlimits and polling; pids not enforced"), "{by}");
}

/// Only where systemd runs, and we are root: the unit of the supervisor is killed, with all of its processes.
#[tokio::test]
async fn applications_in_scopes_outlive_the_unit_of_the_supervisor() {
    if !rustix::process::geteuid().is_root() || !PathBuf::from("/run/systemd/system").is_dir() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let unit = format!("muster-test-{}", std::process::id());
    let binary = env!("CARGO_BIN_EXE_muster-supervisor");
    let systemctl =
        |arguments: &[&str]| Command::new("systemctl").args(arguments).arg(&unit).status().unwrap();
    let state = dir.path().join("state");
    let started = Command::new("systemd-run")
        .args(["--quiet", "--collect", "--unit", &unit, "--", binary, "run", "--state-dir"])
        .arg(&state)
        .status()
        .unwrap();
    assert!(started.success());
    let socket = state.join("supervisor.sock");
    until("the supervisor answers", async || Client::connect(&socket).await.ok()).await;
    let script = dir.path().join("app.js");
    std::fs::write(&script, "setInterval(() => {}, 1000)").unwrap();
    let spec = AppSpec {
        spec_digest: "1".to_owned(),
        interpreter: Some(crate::harness::node()),
        readiness: Readiness::Started,
        min_uptime_ms: 10,
        limits: pids(100),
        ..AppSpec::new("kept", dir.path().to_str().unwrap(), script.to_str().unwrap())
    };
    Client::connect(&socket).await.unwrap().apply(&spec).await.unwrap();
    let instance = until("it is in its scope", async || {
        let mut client = Client::connect(&socket).await.unwrap();
        let instance = client.list().await.unwrap()[0].instances[0].clone();
        instance.limits_by.is_some().then_some(instance)
    })
    .await;
    let pid = instance.pid.unwrap();
    let group = groups(pid);
    assert!(
        group.iter().any(|line| line.ends_with(&format!("/muster.slice/muster-kept-0-{pid}.scope"))),
        "{group:?}"
    );
    assert!(systemctl(&["kill", "--signal=KILL"]).success());
    until("the unit has ended", async || (!systemctl(&["is-active", "--quiet"]).success()).then_some(()))
        .await;
    assert!(alive(pid) && groups(pid) == group, "it goes on in its scope");
    signal(pid, "KILL");
}

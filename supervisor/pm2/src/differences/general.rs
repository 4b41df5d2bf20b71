//! What differs for every application, whatever its file says.

use super::{Difference, Findings, Severity};
use crate::app::{ExecMode, Pm2App};

pub(super) fn differences(apps: &[Pm2App]) -> Vec<Difference> {
    use Severity::{Changed, Improved};
    let mut findings = Findings { app: None, found: Vec::new() };
    if apps.is_empty() {
        return findings.found;
    }
    findings.add(
        Changed,
        "environment of the shell",
        "applications inherit the variables of the shell that called pm2",
        "applications get what fleet files declare, and PATH, HOME, USER, LOGNAME, PWD",
    );
    findings.todo("declare what the applications read: `env`, or `secrets`");
    findings.add(
        Changed,
        "variables of pm2",
        "every scalar of pm2's own record reaches the application: pm_id, name, status, PM2_HOME, …",
        "only the number of the instance does (NODE_APP_INSTANCE)",
    );
    if apps.iter().any(|app| app.uid.is_none()) {
        findings.add(
            Changed,
            "user",
            match apps.iter().find_map(|app| app.username.as_deref()) {
                Some(user) => format!("applications run as the account of the daemon ({user})"),
                None => "applications run as the account of the daemon".to_owned(),
            },
            "without `user` they run as the account of the agent: root, unless the agent is rootless",
        );
        findings.todo("add `user: NAME`; the account must exist on the nodes");
    }
    if apps.iter().any(|app| app.exec_mode == ExecMode::Cluster) {
        findings.add(
            Changed,
            "unhandledRejection",
            "in cluster mode, an unhandled rejection is only logged",
            "Node.js decides, and ends the process since version 15",
        );
        findings.todo("handle it, or add node_args: [--unhandled-rejections=warn]");
    }
    if apps.iter().any(|app| app.pmx) {
        findings.add(
            Changed,
            "pmx",
            "an agent inside of every process gives actions (`pm2 trigger`) and metrics",
            "nothing is injected; CPU and memory are measured from outside",
        );
    }
    findings.add(
        Changed,
        "files of logs",
        "$PM2_HOME/logs, never rotated without a module",
        "one folder for each application on its node, rotated at 10M (`log_rotation`); read with `muster logs`",
    );
    findings.add(
        Improved,
        "reload",
        "the old instance goes even when the new one never listens; exit code 0 (measured)",
        "the old instance serves until the new one is ready; a rollout that fails goes back, exit code 1",
    );
    findings.add(
        Improved,
        "online",
        "`online` is shown as soon as a process exists, and when listen_timeout is over",
        "ready means: it listens, said so, or answered its health check",
    );
    findings.add(
        Improved,
        "environment of a restart",
        "a variable that was removed from the file survives restarts, also with --update-env (measured)",
        "what is not declared any more is gone with the next apply",
    );
    findings.add(
        Improved,
        "crash loops",
        "unstable exits count only while the application is young: a slow loop never ends (measured)",
        "they are counted in a sliding window",
    );
    findings.add(
        Improved,
        "fork mode",
        "an application in fork mode is down while it is restarted",
        "with `listen_fds`, the supervisor holds its sockets: a new instance is ready before the old one goes",
    );
    findings.add(
        Improved,
        "limits of memory",
        "only a look every 30 s (max_memory_restart)",
        "that, and limits that the kernel enforces: `max_memory`, `limits`",
    );
    findings.add(
        Improved,
        "the daemon",
        "`pm2 update`, or the death of the daemon, ends every application",
        "the supervisor is a small process beside the agent; neither an update nor a crash of the agent touches applications",
    );
    findings.add(
        Improved,
        "saved state",
        "dump.pm2 holds the whole environment in plain text",
        "secrets are sealed in the controller, and in the node's ledger",
    );
    findings.add(
        Improved,
        "path of a start",
        "a `current` link is followed at every restart",
        "a process starts in the release that it was started with, by its own path",
    );
    findings.found
}

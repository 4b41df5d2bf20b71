//! The units of systemd, with the reason for each line.

use std::path::Path;

/// The unit of the agent.
pub const AGENT: &str = "muster-agent.service";

/// The unit of the supervisor.
pub const SUPERVISOR: &str = "muster-supervisor.service";

/// How a unit that we wrote begins: others are not overwritten.
pub(super) const MARK: &str = "# Written by `muster-agent install`";

const AGENT_TEXT: &str = r#"# Written by `muster-agent install`, which writes it anew. Change it with `systemctl edit muster-agent`.
[Unit]
Description=Muster agent
After=network-online.target muster-supervisor.service
Wants=network-online.target muster-supervisor.service
# It is started again for ever: a node without its agent is one that nobody can mend from afar.
StartLimitIntervalSec=0

[Service]
# It says when it has read its state, and (`systemctl status`) whether it is connected.
Type=notify
ExecStart={library}/current/muster-agent run --state-dir {state} --supervisor-unit muster-supervisor.service
Restart=always
RestartSec=2
TimeoutStartSec=60
# Only the agent itself ends with the unit. A package manager that it started goes on to its end: killed half-way it would
# leave the host with half-configured packages.
KillMode=process
TimeoutStopSec=30
UMask=0022
# Almost the last to be ended when memory runs out, so that what used it up can be seen and stopped from afar.
OOMScoreAdjust=-500

# What follows costs an agent nothing that it needs for managing the host. All of it holds for what the agent starts as well,
# which includes package managers and the commands of the fleet files. Therefore not used, on purpose:
# - ProtectSystem, ProtectHome, PrivateTmp, PrivateDevices, ProtectControlGroups, ProtectKernelTunables: writing there is the
#   agent's work. Besides, each gives the unit a view of the file systems of its own, in which what a package mounts would be
#   mounted for nobody else.
# - NoNewPrivileges: commands may use sudo, and packages bring setuid programs.
# - SystemCallFilter, RestrictNamespaces, RestrictSUIDSGID, MemoryDenyWriteExecute, ProtectKernelModules, ProtectHostname,
#   ProtectClock: maintainer scripts, firewalls and Node.js need what these forbid.
LockPersonality=yes
RestrictRealtime=yes
# No core dumps: the agent's memory holds secrets of applications.
LimitCORE=0
# Powers that nothing of this needs: rebooting without systemd, waking the machine, process accounting.
CapabilityBoundingSet=~CAP_SYS_BOOT CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_SYS_PACCT

[Install]
WantedBy=multi-user.target
"#;

const SUPERVISOR_TEXT: &str = r#"# Written by `muster-agent install`, which writes it anew. Change it with `systemctl edit muster-supervisor`.
[Unit]
Description=Muster supervisor (owns the processes of applications)
# Later than the network at the start, and so earlier at the stop: applications finish their requests while there is one.
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={library}/current/muster-supervisor run --state-dir {state}/supervisor --log-file {state}/supervisor/supervisor.log
# Applications outlive their supervisor. Restarting or stopping this unit is: nothing for ExecStop to do, then SIGUSR2, with
# which the supervisor leaves everything to its keeper; the next one takes over, and no application notices. Only when the
# machine goes down ExecStop stops the applications, each as it wants to be stopped.
# (kill -TERM of the supervisor's process stops them as well; `systemctl stop` does not.)
ExecStop=-{library}/current/muster-supervisor stop-with-system --state-dir {state}/supervisor
KillMode=process
KillSignal=SIGUSR2
TimeoutStopSec=120
Restart=always
RestartSec=500ms
# The control group of the unit is the supervisor's to divide: applications with limits have groups of their own.
Delegate=yes
# Applications are counted where they are limited, not here.
TasksMax=infinity
UMask=0022
# The supervisor and its keeper, not the applications: it takes this off whatever it starts.
OOMScoreAdjust=-900

# Whatever is forbidden here is forbidden to every application: so nothing is. Applications have users and limits of their
# own; the supervisor itself has no network, and its socket is open to root alone.

[Install]
WantedBy=multi-user.target
"#;

/// A unit and its text.
pub(super) fn all(state: &Path) -> [(&'static str, String); 2] {
    let text = |template: &str| {
        template.replace("{library}", super::layout::LIBRARY).replace("{state}", &state.display().to_string())
    };
    [(SUPERVISOR, text(SUPERVISOR_TEXT)), (AGENT, text(AGENT_TEXT))]
}

/// Whether a path can stand in a unit as it is: systemd gives meaning to spaces, percent signs, quotes and more.
pub(super) fn plain(path: &Path) -> bool {
    path.is_absolute()
        && path.to_str().is_some_and(|text| {
            text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_name_the_state_folder_and_are_known_as_ours() {
        for (name, text) in all(Path::new("/srv/muster")) {
            assert!(text.starts_with(MARK), "{name}");
            assert!(text.contains(" --state-dir /srv/muster"), "{name}: {text}");
            assert!(text.contains("ExecStart=/usr/local/lib/muster/current/muster-"), "{name}: {text}");
            assert!(!text.contains(['{', '}']), "{name}: {text}");
            assert!(text.contains("\nKillMode=process\n") && text.contains("\nRestart=always\n"), "{name}");
        }
        assert!(plain(Path::new("/var/lib/muster")));
        for bad in ["var/lib", "/var/lib/a b", "/x%i", "/x\"", "/ä"] {
            assert!(!plain(Path::new(bad)), "{bad}");
        }
    }
}

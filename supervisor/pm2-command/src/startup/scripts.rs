//! What an init system is given.

use crate::shell::quote;

/// Everything a script needs to know.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) user: String,
    pub(super) pm2_home: String,
    /// The supervisor's binary.
    pub(super) program: String,
    /// PATH of the applications.
    pub(super) path: String,
    /// Wait until the machine has an address.
    pub(super) wait_ip: bool,
}

/// One word of a systemd unit: specifiers are doubled, and what would end the word is escaped.
fn word(text: &str) -> String {
    let text = text.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    if text.contains([' ', '\t', '\'', ';']) || text.contains('"') { format!("\"{text}\"") } else { text }
}

/// A value of `Environment=`, where `$` means nothing.
fn variable(name: &str, value: &str) -> String {
    let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%");
    if value.contains([' ', '\t', '\'']) { format!("\"{name}={value}\"") } else { format!("{name}={value}") }
}

pub(super) fn systemd(service: &Service) -> String {
    let Service { user, pm2_home, program, path, wait_ip, .. } = service;
    let network = if *wait_ip {
        "After=network-online.target\nWants=network-online.target"
    } else {
        "After=network.target"
    };
    let home = variable("PM2_HOME", pm2_home);
    let path = variable("PATH", path);
    let program = word(program);
    // In `PIDFile=` specifiers count, quotes do not.
    let pid_file = format!("{pm2_home}/pm2.pid").replace('%', "%%");
    format!(
        "[Unit]
Description=Muster process supervisor (pm2-compatible)
{network}

[Service]
Type=forking
User={user}
LimitNOFILE=infinity
LimitNPROC=infinity
LimitCORE=infinity
Environment={path}
Environment={home}
PIDFile={pid_file}
Restart=on-failure
# Applications outlive the supervisor: when it is upgraded or dies, the next one takes them over. `ExecStop` ends them.
KillMode=process

# An application that does not come up is shown by `pm2 list`, and no reason to call the supervisor failed.
ExecStart=-{program} pm2 resurrect
ExecReload={program} pm2 reload all
ExecStop={program} pm2 kill

[Install]
WantedBy=multi-user.target
"
    )
}

/// The command as the user, for scripts that run as root.
fn as_user(service: &Service, verb: &str) -> String {
    let Service { user, pm2_home, program, path, .. } = service;
    let command =
        format!("PATH={} PM2_HOME={} exec {} pm2 {verb}", quote(path), quote(pm2_home), quote(program));
    if user == "root" {
        format!("sh -c {}", quote(&command))
    } else {
        format!("su -s /bin/sh {} -c {}", quote(user), quote(&command))
    }
}

pub(super) fn openrc(service: &Service) -> String {
    let pid_file = quote(&format!("{}/pm2.pid", service.pm2_home));
    let after = if service.wait_ip { "need net localmount" } else { "need localmount\n\tuse net" };
    format!(
        "#!/sbin/openrc-run
# Written by `pm2 startup`.

description=\"Muster process supervisor (pm2-compatible)\"
extra_started_commands=\"reload\"
pidfile={pid_file}

depend() {{
\t{after}
\tafter bootmisc
}}

start() {{
\tebegin \"Starting applications\"
\t{start}
\teend $?
}}

stop() {{
\tebegin \"Stopping applications\"
\t{stop}
\teend $?
}}

reload() {{
\tebegin \"Reloading applications\"
\t{reload}
\teend $?
}}
",
        start = as_user(service, "resurrect"),
        stop = as_user(service, "kill"),
        reload = as_user(service, "reload all"),
    )
}

pub(super) fn systemv(service: &Service) -> String {
    let pid_file = quote(&format!("{}/pm2.pid", service.pm2_home));
    let network = if service.wait_ip { "$network" } else { "$local_fs" };
    format!(
        "#!/bin/sh
# Written by `pm2 startup`.
# chkconfig: 2345 98 02
# description: Muster process supervisor (pm2-compatible)
### BEGIN INIT INFO
# Provides:          {name}
# Required-Start:    $local_fs $remote_fs {network}
# Required-Stop:     $local_fs $remote_fs
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: Muster process supervisor (pm2-compatible)
### END INIT INFO

case \"$1\" in
start)
\t{start}
\t;;
stop)
\t{stop}
\t;;
restart)
\t\"$0\" stop
\t\"$0\" start
\t;;
reload|force-reload)
\t{reload}
\t;;
status)
\tif [ -r {pid_file} ] && kill -0 \"$(cat {pid_file})\" 2>/dev/null; then
\t\techo running
\telse
\t\techo stopped
\t\texit 3
\tfi
\t;;
*)
\techo \"usage: $0 start|stop|restart|reload|status\" >&2
\texit 2
\t;;
esac
",
        name = service.name,
        start = as_user(service, "resurrect"),
        stop = as_user(service, "kill"),
        reload = as_user(service, "reload all"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Service {
        Service {
            name: "pm2-deploy".into(),
            user: "deploy".into(),
            pm2_home: "/home/de ploy/.pm2".into(),
            program: "/opt/100% ours/muster-supervisor".into(),
            path: "/opt/node/bin:/usr/bin".into(),
            wait_ip: false,
        }
    }

    #[test]
    fn the_unit_quotes_what_systemd_would_take_apart() {
        let unit = systemd(&service());
        for line in [
            "User=deploy",
            "Type=forking",
            "KillMode=process",
            "After=network.target",
            "Environment=\"PM2_HOME=/home/de ploy/.pm2\"",
            "PIDFile=/home/de ploy/.pm2/pm2.pid",
            "ExecStart=-\"/opt/100%% ours/muster-supervisor\" pm2 resurrect",
            "ExecReload=\"/opt/100%% ours/muster-supervisor\" pm2 reload all",
            "ExecStop=\"/opt/100%% ours/muster-supervisor\" pm2 kill",
        ] {
            assert!(unit.lines().any(|found| found == line), "{line} in\n{unit}");
        }
        let online = systemd(&Service { wait_ip: true, ..service() });
        assert!(online.contains("Wants=network-online.target"), "{online}");
    }

    #[test]
    fn scripts_for_other_init_systems_are_valid_shell() {
        for script in [openrc(&service()), systemv(&service())] {
            let mut shell = std::process::Command::new("sh")
                .arg("-n")
                .stdin(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            std::io::Write::write_all(&mut shell.stdin.take().unwrap(), script.as_bytes()).unwrap();
            assert!(shell.wait().unwrap().success(), "{script}");
            assert!(script.contains("su -s /bin/sh deploy -c "), "{script}");
        }
    }
}

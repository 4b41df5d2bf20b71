//! Who judges which file, with which arguments, and how its answer is read.

use super::{one_line, said};
use muster_platform::CommandOutput;
use std::path::Path;

/// A program that judges files of its own.
pub(super) struct Preset {
    pub(super) program: &'static str,
    pub(super) args: Vec<String>,
    /// Packages that bring it, the usual one first.
    pub(super) packages: &'static [&'static str],
    /// It listens while it is asked.
    pub(super) own_network: bool,
    pub(super) judgement: fn(&CommandOutput, &str) -> Judgement,
}

/// What a program thinks of a file.
pub(super) enum Judgement {
    Good,
    /// It is about this file.
    Bad(String),
    /// Something is wrong with the configuration, in this file or in another one.
    BadSomewhere(String),
}

fn words(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}

fn by_exit_code(ended: &CommandOutput, _path: &str) -> Judgement {
    if ended.success() { Judgement::Good } else { Judgement::BadSomewhere(said(ended)) }
}

pub(super) fn nginx() -> Preset {
    Preset {
        program: "nginx",
        args: words(&["-t", "-q"]),
        packages: &["nginx", "nginx-light", "nginx-core", "nginx-full", "nginx-extras", "openresty"],
        own_network: false,
        judgement: |ended, _| {
            if ended.success() {
                return Judgement::Good;
            }
            // `2026/01/01 00:00:00 [emerg] 12#12: unknown directive ...`: time and process say nothing here.
            let line = |line: &str| -> String {
                let plain = line.split_once('#').and_then(|(_, rest)| rest.split_once(": "));
                plain.filter(|_| line.contains(" [")).map_or(line, |(_, text)| text).to_owned()
            };
            let lines: Vec<String> =
                ended.stderr.lines().filter(|line| !line.trim().is_empty()).map(line).collect();
            Judgement::BadSomewhere(one_line(lines.iter().map(String::as_str)))
        },
    }
}

pub(super) fn sshd() -> Preset {
    Preset {
        program: "sshd",
        args: words(&["-t"]),
        packages: &["openssh-server"],
        own_network: false,
        judgement: by_exit_code,
    }
}

pub(super) fn sudoers(path: &str) -> Result<Preset, String> {
    let drop_in = path.strip_prefix("/etc/sudoers.d/");
    if drop_in.is_some_and(|name| name.contains('.') || name.ends_with('~')) {
        return Err(format!(
            "sudo passes over files with a dot or a tilde in their name: {path} would do nothing"
        ));
    }
    let args =
        if drop_in.is_some() || path == "/etc/sudoers" { words(&["-c"]) } else { words(&["-c", "-f", path]) };
    Ok(Preset {
        program: "visudo",
        args,
        packages: &["sudo"],
        own_network: false,
        judgement: |ended, path| {
            if ended.success() {
                return Judgement::Good;
            }
            let stdout = String::from_utf8_lossy(&ended.stdout);
            let told =
                || ended.stderr.lines().chain(stdout.lines()).filter(|line| !line.ends_with(": parsed OK"));
            let text = one_line(told().map(str::trim).filter(|line| !line.is_empty()));
            if told().any(|line| line.contains(path)) {
                Judgement::Bad(text)
            } else {
                Judgement::BadSomewhere(text)
            }
        },
    })
}

pub(super) fn haproxy(path: &str) -> Preset {
    const MAIN: &str = "/etc/haproxy/haproxy.cfg";
    let mut args = words(&["-c", "-f", MAIN]);
    let folder = Path::new(path).parent().and_then(Path::to_str).unwrap_or("/");
    if path != MAIN && path.ends_with(".cfg") {
        // A folder of parts is given as a whole; a file elsewhere is one that somebody gives by name.
        let part = if folder.ends_with(".d") { folder } else { path };
        args.extend(words(&["-f", part]));
    }
    Preset { program: "haproxy", args, packages: &["haproxy"], own_network: false, judgement: by_exit_code }
}

/// stunnel knows no test of a configuration. It reads it, loads keys and certificates and binds its sockets, and gives up at
/// a pid file that cannot be written: see [`super::stunnel`]. What it says before that is its judgement.
pub(super) fn stunnel(path: &str) -> Preset {
    Preset {
        program: "stunnel4",
        args: words(&[path]),
        packages: &["stunnel4"],
        own_network: true,
        judgement: |ended, path| {
            if ended.success() || ended.stderr.contains("Configuration successful") {
                return Judgement::Good;
            }
            let complaint = |line: &&str| line.starts_with("[!]") || line.contains(" LOG3[");
            let text = ended.stderr.lines().filter(complaint).map(|line| line.trim_start_matches("[!] "));
            let text = one_line(text.filter(|line| *line != "Configuration failed"));
            Judgement::Bad(super::stunnel::real_line(&text, path))
        },
    }
}

pub(super) fn logrotate(path: &str) -> Preset {
    const FOLDER: &str = "/etc/logrotate.d/";
    const MAIN: &str = "/etc/logrotate.conf";
    let whole = path.starts_with(FOLDER) || path == MAIN;
    Preset {
        program: "logrotate",
        args: words(&["--debug", if whole { MAIN } else { path }]),
        packages: &["logrotate"],
        own_network: false,
        // It goes on after mistakes, and ends as it likes: a log that is not there yet is an error to it.
        judgement: |ended, path| {
            let name = path.strip_prefix(FOLDER).unwrap_or(path);
            let about = |line: &&str| {
                let Some(text) = line.strip_prefix("error: ") else { return false };
                text.strip_prefix(name).is_some_and(|rest| rest.starts_with([':', ' ']))
                    || text.contains(&format!(" {name} because "))
            };
            let text = one_line(ended.stderr.lines().filter(about));
            if text.is_empty() { Judgement::Good } else { Judgement::Bad(text) }
        },
    }
}

pub(super) fn systemd_unit(path: &str) -> Result<Preset, String> {
    let unit = unit_of(path).ok_or_else(|| format!("{path} is not where systemd looks for units"))?;
    Ok(Preset {
        program: "systemd-analyze",
        args: words(&["--man=no", "verify", unit]),
        packages: &["systemd"],
        own_network: false,
        // It ignores words that it does not know and ends well; it complains of everything that the unit needs as well.
        judgement: |ended, path| {
            let unit = unit_of(path).unwrap_or(path);
            let name = Path::new(unit).file_name().and_then(|name| name.to_str()).unwrap_or(unit);
            let about = |line: &&str| {
                let own = line.starts_with(&format!("{path}:"))
                    || line.starts_with(&format!("{name}: "))
                    || line.contains(&format!(" {name} has a bad unit file setting"));
                // What it runs may come later: that is found out when it is started.
                own && !line.contains(" is not executable: No such file")
            };
            let text = one_line(ended.stderr.lines().filter(about));
            if text.is_empty() { Judgement::Good } else { Judgement::Bad(text) }
        },
    })
}

/// What to have verified for a file: the unit file itself, or the unit that a drop-in is for.
fn unit_of(path: &str) -> Option<&str> {
    let (folder, name) = path.rsplit_once('/')?;
    if name.ends_with(".conf") {
        let (_, folder) = folder.rsplit_once('/')?;
        return folder.strip_suffix(".d");
    }
    name.contains('.').then_some(path)
}

//! The SSH server: a file of settings that it reads first, judged by itself before it is put into place, and compared with
//! what is really in force.
//!
//! What the declared values mean, the server says: the same file is read alone, and its values are looked for among those in
//! force. So `prohibit-password` and `without-password` are one thing, whatever the version calls it.

mod accounts;

use super::Look;
use super::validate::{Candidate, judge, separation_folder};
use crate::durable;
use muster_domain::fleet::declared::ADMINS_SUDOERS;
use muster_domain::resource::{DesiredState, Sshd, Validator};
use muster_planning::convergence::{
    Action, Observed, ObservedSshd, Overruled, SignInChange, SshdSettings, shut_out,
};
use muster_platform::{CommandLine, Fault, HostError, Ownership, SshdValues, TrialNetwork, WriteFile};
use std::path::{Path, PathBuf};

/// Read first by the server, and so before the distribution's own settings.
pub(crate) const FILE: &str = "/etc/ssh/sshd_config.d/00-muster.conf";

const CONFIG: &str = "/etc/ssh/sshd_config";
const MODE: u32 = 0o644;
const MAX_FILE_BYTES: u64 = 1024 * 1024;
const TIMEOUT_MS: u64 = 30_000;

/// The service of the distribution; the other name is an alias where both are known.
const UNITS: [&str; 2] = ["ssh.service", "sshd.service"];
/// Where systemd listens in its place.
const SOCKET: &str = "ssh.socket";

pub(super) fn observe(look: Look<'_>, wanted: &Sshd) -> Observed {
    if !look.host.privileged() {
        return Observed::Unsupported("the SSH server needs an agent that runs as root".into());
    }
    if look.host.find_program("sshd").is_none() {
        return Observed::Unreadable(
            "there is no SSH server on this node: declare the package openssh-server".into(),
        );
    }
    found(look, wanted).map_or_else(Observed::Unreadable, Observed::Sshd)
}

fn found(look: Look<'_>, wanted: &Sshd) -> Result<ObservedSshd, String> {
    let text = rendered(wanted);
    let file = differences(look, &text)?;
    let config = read(look, CONFIG)?.unwrap_or_default();
    let included = config.lines().any(reads_our_file);
    let untouched = file.is_empty() && included;
    separation_folder(look)?;
    let host = look.host;
    let say = |error: HostError| error.to_string();
    let (overruled, sign_in) = if untouched {
        let alone = host.sshd_values_of(&text).map_err(say)?;
        let defaults = host.sshd_values_of("\n").map_err(say)?;
        (overruled(wanted, &host.sshd_values().map_err(say)?, &alone, &defaults, &config), None)
    } else {
        let before = match host.sshd_values() {
            Ok(values) => settings(values),
            // Somebody broke our file, and nothing is in force with it: whether people get in afterwards decides alone.
            Err(_) if !file.is_empty() && included => SshdSettings::new(),
            Err(error) => return Err(say(error)),
        };
        // What the server does not accept is said when it is applied, in its words.
        let after = after(look, &text, &config, included).ok();
        let keys = after.as_ref().unwrap_or(&before).get("authorizedkeysfile").cloned().unwrap_or_default();
        let admins = accounts::admins(host, &keys, &[])?;
        (Vec::new(), after.map(|after| SignInChange { before, after, admins }))
    };
    Ok(ObservedSshd { file, included, overruled, reload_pending: reload_pending(look)?, sign_in })
}

pub(super) fn apply(look: Look<'_>, wanted: &Sshd, action: Action) -> Result<Option<String>, String> {
    if action != Action::ConfigureSshd {
        return Err(format!("{action:?} cannot be done for it"));
    }
    let text = rendered(wanted);
    let config = read(look, CONFIG)?.unwrap_or_default();
    let former = read(look, FILE)?;
    let include = (!config.lines().any(reads_our_file)).then(|| with_include(&config));
    judge(look, candidate(FILE, &text), &Validator::Sshd)?;
    // Before the change: who is killed in the middle still knows that the server has to be told.
    durable::write(&marker(look), b"").map_err(|error| format!("cannot note the change: {error}"))?;
    make_folder(look)?;
    write(look, FILE, &text)?;
    if let Some(include) = &include {
        // With our file in place, this is the whole of it.
        if let Err(error) = judge(look, candidate(CONFIG, include), &Validator::Sshd) {
            put_back(look, former.as_deref())?;
            return Err(error);
        }
        if let Err(error) = write(look, CONFIG, include) {
            put_back(look, former.as_deref())?;
            return Err(error);
        }
    }
    if let Err(error) = reload(look, wanted) {
        put_back(look, former.as_deref())?;
        if include.is_some() {
            write(look, CONFIG, &config)?;
        }
        reload(look, wanted)
            .map_err(|again| format!("{error}; the former settings are back, but {again}"))?;
        return Err(format!("{error}; the former settings are back"));
    }
    durable::remove(&marker(look)).map_err(|error| format!("cannot note that it was reloaded: {error}"))?;
    Ok(include.map(|_| format!("{CONFIG} reads {FILE} first now")))
}

pub(super) fn diff(look: Look<'_>, wanted: &Sshd, observed: &Observed) -> Option<String> {
    let Observed::Sshd(found) = observed else { return None };
    let (text, former) = (rendered(wanted), read(look, FILE).ok()?.unwrap_or_default());
    let mut lines: Vec<String> = Vec::new();
    lines.extend(
        former.lines().filter(|line| !text.lines().any(|new| new == *line)).map(|line| format!("- {line}")),
    );
    lines.extend(
        text.lines().filter(|line| !former.lines().any(|old| old == *line)).map(|line| format!("+ {line}")),
    );
    for Overruled { keyword, wanted, found, .. } in &found.overruled {
        lines.push(format!("- {keyword} {found}"));
        lines.push(format!("+ {keyword} {wanted}"));
    }
    if !found.included {
        lines.push(format!("+ Include {FILE}"));
    }
    Some(lines.join("\n")).filter(|diff| !diff.is_empty())
}

pub(super) fn remove(look: Look<'_>, wanted: &Sshd) -> Result<Option<String>, String> {
    if !look.host.privileged() {
        return Ok(None);
    }
    let config = read(look, CONFIG)?.unwrap_or_default();
    let ours = format!("Include {FILE}");
    let kept: String = config.lines().filter(|line| *line != ours).map(|line| format!("{line}\n")).collect();
    let there = read(look, FILE)?.is_some();
    if !there && kept == config {
        return Ok(None);
    }
    durable::write(&marker(look), b"").map_err(|error| format!("cannot note the change: {error}"))?;
    if config.lines().any(|line| line == ours) {
        write(look, CONFIG, &kept)?;
    }
    look.host.remove(Path::new(FILE)).map_err(|error| error.to_string())?;
    reload(look, wanted)?;
    durable::remove(&marker(look)).map_err(|error| format!("cannot note that it was reloaded: {error}"))?;
    Ok(Some(format!("removed {FILE}, and had the server read its settings")))
}

/// Whether it can be of use to somebody who administers the node: an account, its keys, the right to become root.
pub(crate) fn of_use_to_admins(desired: &DesiredState) -> bool {
    match desired {
        DesiredState::User(_) | DesiredState::AuthorizedKey(_) => true,
        DesiredState::File(file) => file.path == ADMINS_SUDOERS,
        _ => false,
    }
}

/// Why nobody who administers the node could sign in any more without these.
pub(crate) fn last_way_in(look: Look<'_>, gone: &[DesiredState]) -> Result<Option<String>, String> {
    if !look.host.privileged() || look.host.find_program("sshd").is_none() {
        return Ok(None);
    }
    separation_folder(look)?;
    let now = settings(look.host.sshd_values().map_err(|error| error.to_string())?);
    let keys = now.get("authorizedkeysfile").cloned().unwrap_or_default();
    let (before, after) =
        (accounts::admins(look.host, &keys, &[])?, accounts::admins(look.host, &keys, gone)?);
    Ok(shut_out(&now, &before, &after))
}

fn rendered(wanted: &Sshd) -> String {
    let mut text = "# Kept by Muster: what is changed here is changed back.\n".to_owned();
    for (keyword, value) in &wanted.settings {
        text.push_str(&format!("{keyword} {value}\n"));
    }
    text
}

fn differences(look: Look<'_>, text: &str) -> Result<Vec<String>, String> {
    let Some(content) = read(look, FILE)? else { return Ok(vec!["its file is missing".into()]) };
    let mut differences = Vec::new();
    if content != text {
        differences.push("its settings differ".to_owned());
    }
    let stat = look.host.stat(Path::new(FILE)).map_err(|error| error.to_string())?;
    if let Some(stat) = stat.filter(|stat| (stat.mode, stat.uid, stat.gid) != (MODE, 0, 0)) {
        let (mode, uid) = (stat.mode, stat.uid);
        differences
            .push(format!("its file has mode {mode:04o} and owner {uid} instead of {MODE:04o} and root"));
    }
    Ok(differences)
}

/// Settings of ours that something else decides, and where.
fn overruled(
    wanted: &Sshd,
    now: &SshdValues,
    alone: &SshdValues,
    defaults: &SshdValues,
    config: &str,
) -> Vec<Overruled> {
    let values = |of: &SshdValues, keyword: &str| -> Vec<String> {
        of.iter().filter(|(known, _)| known == keyword).map(|(_, value)| value.clone()).collect()
    };
    let mut keywords: Vec<(String, String)> =
        wanted.settings.iter().map(|(keyword, _)| (keyword.to_lowercase(), keyword.clone())).collect();
    // Some keywords have another name now; what they change shows it.
    let renamed =
        alone.iter().map(|(keyword, _)| keyword).filter(|name| values(alone, name) != values(defaults, name));
    keywords.extend(renamed.map(|name| (name.clone(), name.clone())));
    keywords.sort();
    keywords.dedup_by(|one, other| one.0 == other.0);
    let mut overruled = Vec::new();
    for (name, keyword) in keywords {
        let (wants, found) = (values(alone, &name), values(now, &name));
        // Of several values, others may have added theirs.
        if wants.iter().all(|value| found.contains(value)) {
            continue;
        }
        let by = config.lines().position(|line| says(line, &name)).map(|at| format!("{CONFIG}:{}", at + 1));
        overruled.push(Overruled { keyword, wanted: wants.join(", "), found: found.join(", "), by });
    }
    overruled
}

fn says(line: &str, keyword: &str) -> bool {
    let word = line.trim_start().split(|c: char| c.is_whitespace() || c == '=').next();
    word.is_some_and(|word| word.eq_ignore_ascii_case(keyword))
}

/// Whether a line of the server's configuration makes it read our file.
fn reads_our_file(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words.next().is_some_and(|word| word.eq_ignore_ascii_case("include"))
        && words.any(|path| {
            let path = path.trim_matches('"');
            let path = if path.starts_with('/') { path.to_owned() } else { format!("/etc/ssh/{path}") };
            path == FILE || path == "/etc/ssh/sshd_config.d/*.conf" || path == "/etc/ssh/sshd_config.d/*"
        })
}

/// The first that is said counts, so it is said in the first line. Only our file: what else lies in its folder was never
/// read here, and is not to begin to count.
fn with_include(config: &str) -> String {
    format!("Include {FILE}\n{config}")
}

/// The settings that would be in force.
fn after(look: Look<'_>, text: &str, config: &str, included: bool) -> Result<SshdSettings, String> {
    if included {
        let program = look.host.find_program("sshd").ok_or("there is no SSH server")?;
        let command = CommandLine {
            program,
            args: vec!["-T".into()],
            timeout_ms: TIMEOUT_MS,
            ..CommandLine::default()
        };
        let file =
            WriteFile { path: Path::new(FILE), content: text.as_bytes(), mode: MODE, ownership: root() };
        let ended =
            look.host.try_with(&file, TrialNetwork::Shared, &command).map_err(|error| error.to_string())?;
        if !ended.success() {
            return Err(ended.stderr);
        }
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        let pairs = said.lines().filter_map(|line| line.split_once(' '));
        return Ok(settings(pairs.map(|(keyword, value)| (keyword.to_owned(), value.to_owned())).collect()));
    }
    // One file that says first what ours would say.
    let values = look.host.sshd_values_of(&format!("{text}{config}")).map_err(|error| error.to_string())?;
    Ok(settings(values))
}

fn settings(values: SshdValues) -> SshdSettings {
    let mut settings = SshdSettings::new();
    for (keyword, value) in values {
        settings.entry(keyword).or_default().push(value);
    }
    settings
}

fn marker(look: Look<'_>) -> PathBuf {
    look.state.root().join("sshd-reload-pending")
}

fn reload_pending(look: Look<'_>) -> Result<bool, String> {
    marker(look).try_exists().map_err(|error| format!("cannot look for {}: {error}", marker(look).display()))
}

/// Has the server read its settings. One that does not run reads them when it is started.
fn reload(look: Look<'_>, wanted: &Sshd) -> Result<(), String> {
    let listens = |(keyword, _): &(String, String)| {
        keyword.eq_ignore_ascii_case("port") || keyword.eq_ignore_ascii_case("listenaddress")
    };
    if wanted.settings.iter().any(listens) && systemctl(look, &["is-active", "--quiet", SOCKET]).is_ok() {
        // Where it listens is then generated from its settings.
        systemctl(look, &["daemon-reload"])?;
        systemctl(look, &["try-restart", SOCKET])?;
    }
    let unit = UNITS.into_iter().find(|unit| systemctl(look, &["cat", "--quiet", unit]).is_ok());
    let unit = unit.ok_or_else(|| format!("systemd knows neither {} nor {}", UNITS[0], UNITS[1]))?;
    let ran = systemctl(look, &["is-active", "--quiet", unit]).is_ok();
    systemctl(look, &["try-reload-or-restart", unit])?;
    if ran {
        systemctl(look, &["is-active", "--quiet", unit])
            .map_err(|_| format!("{unit} does not run any more"))?;
    }
    Ok(())
}

fn systemctl(look: Look<'_>, args: &[&str]) -> Result<(), String> {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let shown = args.join(" ");
    let command =
        CommandLine { program: "systemctl".into(), args, timeout_ms: TIMEOUT_MS, ..CommandLine::default() };
    let ended = look.host.run(&command).map_err(|error| error.to_string())?;
    if ended.success() {
        return Ok(());
    }
    Err(format!("`systemctl {shown}` failed: {}", ended.stderr.lines().next().unwrap_or_default()))
}

fn root() -> Ownership {
    Ownership { uid: Some(0), gid: Some(0) }
}

fn candidate<'a>(path: &'a str, text: &'a str) -> Candidate<'a> {
    Candidate { path, content: text.as_bytes(), mode: MODE, ownership: root(), sensitive: false }
}

fn make_folder(look: Look<'_>) -> Result<(), String> {
    let folder = Path::new("/etc/ssh/sshd_config.d");
    if look.host.stat(folder).map_err(|error| error.to_string())?.is_some() {
        return Ok(());
    }
    look.host.make_directory(folder, 0o755, root()).map_err(|error| error.to_string())
}

fn read(look: Look<'_>, path: &str) -> Result<Option<String>, String> {
    match look.host.read(Path::new(path), MAX_FILE_BYTES) {
        Ok(content) => Ok(Some(String::from_utf8_lossy(&content).into_owned())),
        Err(HostError { fault: Fault::NotFound, .. }) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn write(look: Look<'_>, path: &str, text: &str) -> Result<(), String> {
    let file = WriteFile { path: Path::new(path), content: text.as_bytes(), mode: MODE, ownership: root() };
    look.host.write(&file).map_err(|error| error.to_string())
}

fn put_back(look: Look<'_>, former: Option<&str>) -> Result<(), String> {
    match former {
        Some(text) => write(look, FILE, text),
        None => look.host.remove(Path::new(FILE)).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests;

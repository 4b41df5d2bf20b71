//! Files are judged before they are put into place, by whoever will read them: over the whole configuration, with the new
//! file in it, in a view of the host that nobody else sees.
//!
//! A refusal is told in the words of the program, about the real path. What stands in other files is not held against this
//! one: where the configuration is broken with and without it, each file could otherwise wait for the other for ever.

mod cron;
mod presets;
mod stunnel;

use super::Look;
use crate::config::StateDir;
use crate::durable;
use muster_domain::resource::{DesiredState, File, PackageEnsure, Validator};
use muster_platform::{CommandLine, CommandOutput, Ownership, TrialNetwork, WriteFile};
use presets::{Judgement, Preset};
use std::path::{Path, PathBuf};

/// How long a program may take. `nginx -t` looks up names, and a name server may be slow.
const TIMEOUT_MS: u64 = 60_000;

/// What is told of a program's words.
const MAX_SAID_BYTES: usize = 1000;

/// A file that is not in place yet.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'a> {
    /// Where it will be.
    pub path: &'a str,
    /// What it will hold.
    pub content: &'a [u8],
    /// Its permission bits.
    pub mode: u32,
    /// Its owner and group.
    pub ownership: Ownership,
    /// Its content is a secret, and programs quote what they do not understand.
    pub sensitive: bool,
}

/// Has a file judged by the validator that it names; one that names none is good.
pub(crate) fn check(look: Look<'_>, file: &File) -> Result<(), String> {
    let File { path, content, mode, owner, group, sensitive, validate } = file;
    let Some(validator) = validate else { return Ok(()) };
    let ownership = super::paths::ownership(look.host, owner.as_deref(), group.as_deref())?;
    judge(look, Candidate { path, content, mode: *mode, ownership, sensitive: *sensitive }, validator)
}

/// Has any file judged.
pub(crate) fn judge(look: Look<'_>, file: Candidate<'_>, validator: &Validator) -> Result<(), String> {
    match validator {
        Validator::Cron => cron::check(look.host, file),
        Validator::Command(line) => own_command(look, file, line),
        Validator::Nginx => preset(look, file, &presets::nginx()),
        Validator::Sshd => {
            separation_folder(look)?;
            preset(look, file, &presets::sshd())
        }
        Validator::Sudoers => preset(look, file, &presets::sudoers(file.path)?),
        Validator::Haproxy => preset(look, file, &presets::haproxy(file.path)),
        Validator::Logrotate => preset(look, file, &presets::logrotate(file.path)),
        Validator::SystemdUnit => preset(look, file, &presets::systemd_unit(file.path)?),
        Validator::Stunnel => {
            let content = stunnel::for_trial(file.content)?;
            preset(look, Candidate { content: &content, ..file }, &presets::stunnel(file.path))
        }
    }
}

/// `sshd` wants this folder even for a test or a question; it is made when the daemon is started, which may be at the first
/// connection.
pub(super) fn separation_folder(look: Look<'_>) -> Result<(), String> {
    let folder = Path::new("/run/sshd");
    let run = look.host.stat(Path::new("/run")).map_err(|error| error.to_string())?;
    if run.is_none() || look.host.stat(folder).map_err(|error| error.to_string())?.is_some() {
        return Ok(());
    }
    let root = Ownership { uid: Some(0), gid: Some(0) };
    look.host.make_directory(folder, 0o755, root).map_err(|error| error.to_string())
}

fn preset(look: Look<'_>, file: Candidate<'_>, preset: &Preset) -> Result<(), String> {
    let Some(program) = look.host.find_program(preset.program) else {
        return not_installed(look, file, preset);
    };
    let command = CommandLine {
        program,
        args: preset.args.clone(),
        // What it says is read here, and some of them speak the language of the host.
        env: vec![("LC_ALL".into(), "C".into())],
        timeout_ms: TIMEOUT_MS,
        ..CommandLine::default()
    };
    let shown = WriteFile {
        path: Path::new(file.path),
        content: file.content,
        mode: file.mode,
        ownership: file.ownership,
    };
    let network = if preset.own_network { TrialNetwork::Own } else { TrialNetwork::Shared };
    let ended = look.host.try_with(&shown, network, &command).map_err(|error| error.to_string())?;
    let refusal = match (preset.judgement)(&ended, file.path) {
        Judgement::Good => return Ok(()),
        Judgement::Bad(lines) => lines,
        Judgement::BadSomewhere(lines) => {
            let without = look.host.run(&command).map_err(|error| error.to_string())?;
            if !without.success() && !lines.contains(file.path) {
                tracing::warn!(
                    path = file.path,
                    "{} refuses the configuration, with and without this file: {lines}",
                    preset.program
                );
                return Ok(());
            }
            lines
        }
    };
    Err(refused(preset.program, file, &refusal))
}

/// What a program has not read yet cannot break it: a file may be there before its package. One that nothing declares is
/// more likely a mistake.
fn not_installed(look: Look<'_>, file: Candidate<'_>, preset: &Preset) -> Result<(), String> {
    let declared = look.assigned.iter().any(|resource| match &resource.desired {
        DesiredState::Package(package) => {
            preset.packages.contains(&package.name.as_str())
                && !matches!(package.ensure, PackageEnsure::Absent | PackageEnsure::Purged)
        }
        _ => false,
    });
    if declared {
        return Ok(());
    }
    Err(format!(
        "{} cannot be judged, because {} is not installed here: declare the package {}, or take the validator away",
        file.path,
        preset.program,
        preset.packages.first().unwrap_or(&preset.program),
    ))
}

/// Takes away what a former life of the agent was about to have judged when it was killed: it may be a secret.
pub(crate) fn clear(state: &StateDir) {
    let folder = state.candidates();
    match std::fs::remove_dir_all(&folder) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(folder = %folder.display(), "cannot remove what was left to be judged: {error}");
        }
    }
}

fn own_command(look: Look<'_>, file: Candidate<'_>, line: &str) -> Result<(), String> {
    let name = Path::new(file.path).file_name().map(PathBuf::from).unwrap_or_else(|| "candidate".into());
    let folder = look.state.candidates().join(uuid::Uuid::new_v4().to_string());
    let failed = |error: std::io::Error| format!("cannot keep {} for its validator: {error}", file.path);
    // Files are judged one at a time: what is there was left by an agent that was killed, and may be a secret.
    match std::fs::remove_dir_all(look.state.candidates()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    durable::private_folder(&folder).map_err(failed)?;
    let kept = folder.join(name);
    let ended = durable::write(&kept, file.content).map_err(failed).and_then(|()| {
        let line = line.replace("{}", &quoted(&kept.display().to_string()));
        let command = CommandLine {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), line],
            cwd: Some("/".into()),
            timeout_ms: TIMEOUT_MS,
            ..CommandLine::default()
        };
        look.host.run(&command).map_err(|error| error.to_string())
    });
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        tracing::warn!(folder = %folder.display(), "cannot remove what was judged: {error}");
    }
    let ended = ended?;
    if ended.success() {
        return Ok(());
    }
    let text = said(&ended).replace(&kept.display().to_string(), file.path);
    Err(refused("its validator", file, &text))
}

/// One word for a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn refused(who: &str, file: Candidate<'_>, said: &str) -> String {
    let kept = "what was there before stays in place";
    if file.sensitive {
        return format!("{who} refuses it; its words may quote the secret and are not told. {kept}");
    }
    let said = if said.is_empty() { "it does not say why" } else { said };
    format!("{who} refuses it: {said}; {kept}")
}

/// What a program said, in one line.
fn said(ended: &CommandOutput) -> String {
    let stdout = String::from_utf8_lossy(&ended.stdout);
    let lines = ended.stderr.lines().chain(stdout.lines()).map(str::trim).filter(|line| !line.is_empty());
    one_line(lines)
}

fn one_line<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let mut text = lines.collect::<Vec<_>>().join("; ");
    if text.len() > MAX_SAID_BYTES {
        text.truncate(text.floor_char_boundary(MAX_SAID_BYTES));
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests;

//! `completion`: words for the shell, by the way of npm (and pm2): the shell asks this very command.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use clap::CommandFactory;

use crate::cli::CommandLine;
use crate::output::print;
use crate::shell::write_atomically;
use crate::{Context, Failure};

/// Arguments.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// install or uninstall; prints the script without
    pub action: Option<String>,
}

const BEGIN: &str = "###-begin-pm2-completion-###";
const END: &str = "###-end-pm2-completion-###";
const SCRIPT: &str = include_str!("completion.sh");

/// Verbs that take the name of an application.
const ABOUT_APPLICATIONS: [&str; 28] = [
    "start",
    "stop",
    "restart",
    "reload",
    "gracefulReload",
    "delete",
    "del",
    "scale",
    "reset",
    "describe",
    "desc",
    "info",
    "show",
    "logs",
    "flush",
    "env",
    "id",
    "pid",
    "inspect",
    "sendSignal",
    "send",
    "attach",
    "trigger",
    "pull",
    "forward",
    "backward",
    "adopt",
    "monitor",
];

/// Runs it.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    match args.action.as_deref() {
        Some("install") => install(context),
        Some("uninstall") => uninstall(context),
        Some(other) => Err(Failure::new(format!("completion knows install and uninstall, not {other:?}"))),
        None => {
            let words = context.script_args.clone().unwrap_or_default();
            match context.switch("COMP_CWORD").and_then(|place| place.parse().ok()) {
                Some(place) => complete(context, &words, place).await,
                None => print(SCRIPT),
            }
            Ok(())
        }
    }
}

async fn complete(context: &Context, words: &[String], place: usize) {
    let begun = words.get(place).map_or("", String::as_str);
    let mut candidates = if place <= 1 { verbs() } else { Vec::new() };
    if begun.starts_with('-') {
        candidates = flags();
    } else if words.get(1).is_some_and(|verb| place > 1 && ABOUT_APPLICATIONS.contains(&verb.as_str())) {
        // Asking must not start anything.
        if let Some(mut client) = context.connect_running().await
            && let Ok(processes) = context.processes(&mut client).await
        {
            candidates.push("all".to_owned());
            for process in processes {
                candidates.extend([process.name.clone(), process.id().to_string()]);
            }
        }
    }
    candidates.retain(|candidate| candidate.starts_with(begun));
    candidates.sort();
    candidates.dedup();
    for candidate in candidates {
        print(&format!("{candidate}\n"));
    }
}

fn verbs() -> Vec<String> {
    let command = CommandLine::command();
    let shown = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    shown
        .flat_map(|verb| std::iter::once(verb.get_name()).chain(verb.get_all_aliases()).map(str::to_owned))
        .collect()
}

fn flags() -> Vec<String> {
    let command = CommandLine::command();
    command.get_arguments().filter_map(|flag| flag.get_long()).map(|long| format!("--{long}")).collect()
}

/// The file the shell of this user reads.
fn profile(context: &Context) -> Result<PathBuf, Failure> {
    let home = context.switch("HOME").ok_or_else(|| Failure::new("HOME is not set"))?;
    let zsh = context.switch("SHELL").is_some_and(|shell| shell.ends_with("zsh"));
    Ok(PathBuf::from(home).join(if zsh { ".zshrc" } else { ".bashrc" }))
}

fn install(context: &Context) -> Result<(), Failure> {
    let path = profile(context)?;
    let failed =
        |error: std::io::Error| Failure::new(format!("{} cannot be changed: {error}", path.display()));
    let there = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    if !there.contains(BEGIN) {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(&path).map_err(failed)?;
        let gap = if there.is_empty() || there.ends_with('\n') { "" } else { "\n" };
        file.write_all(format!("{gap}{SCRIPT}").as_bytes()).map_err(failed)?;
    }
    context.output.message(format!("completion is in {}; open a new shell", path.display()));
    Ok(())
}

fn uninstall(context: &Context) -> Result<(), Failure> {
    let path = profile(context)?;
    // A link (people keep these files elsewhere) stays one.
    let path = path.canonicalize().unwrap_or(path);
    let failed =
        |error: std::io::Error| Failure::new(format!("{} cannot be changed: {error}", path.display()));
    let there = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.map_err(failed)?,
    };
    if let (Some(begin), Some(end)) = (there.find(BEGIN), there.find(END)) {
        let rest = there[end + END.len()..].strip_prefix('\n').unwrap_or(&there[end + END.len()..]);
        let mode = fs::metadata(&path).map_err(failed)?;
        let mode = std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o7777;
        write_atomically(&path, &format!("{}{rest}", &there[..begin]), mode).map_err(failed)?;
    }
    context.output.message(format!("completion is not in {} any more", path.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_as_before_after_install_and_uninstall() {
        let dir = tempfile::tempdir().unwrap();
        let mut context = Context::of_this_process(crate::flags::Flags::default(), None).unwrap();
        context.env.insert("HOME".into(), dir.path().display().to_string());
        context.env.insert("SHELL".into(), "/bin/bash".into());
        let profile = dir.path().join(".bashrc");
        fs::write(&profile, "alias x=y\n").unwrap();
        install(&context).unwrap();
        install(&context).unwrap();
        let text = fs::read_to_string(&profile).unwrap();
        assert_eq!(text.matches(BEGIN).count(), 1);
        uninstall(&context).unwrap();
        assert_eq!(fs::read_to_string(&profile).unwrap(), "alias x=y\n");
    }

    #[test]
    fn verbs_and_flags_are_known() {
        assert!(verbs().contains(&"restart".to_owned()) && flags().contains(&"--instances".to_owned()));
        assert!(!verbs().contains(&"pm2-serve".to_owned()));
    }
}

//! What is started: script, interpreter, arguments and mode, as a fleet file says it.

use std::path::Path;

use muster_domain::fleet::Runner;

use crate::app::{ExecMode, Interpreter, Pm2App};

/// How an application is started.
pub(super) struct Start {
    pub(super) script: String,
    pub(super) interpreter: Option<String>,
    pub(super) nodejs: Option<String>,
    pub(super) args: Vec<String>,
    pub(super) node_args: Vec<String>,
    pub(super) mode: ExecMode,
    /// The script is a command line for a shell.
    pub(super) command_line: bool,
    /// Why it cannot be started there.
    pub(super) left_out: Option<String>,
}

/// Programs that start what package.json says.
const PACKAGE_MANAGERS: [&str; 4] = ["npm", "npx", "yarn", "pnpm"];

pub(super) fn of(app: &Pm2App) -> Start {
    match start(app) {
        Ok(start) => start,
        Err(reason) => Start {
            interpreter: None,
            nodejs: nodejs(app),
            args: if app.command_line.is_some() { Vec::new() } else { app.args.clone() },
            command_line: false,
            left_out: Some(reason),
            ..plain(app, app.script.clone())
        },
    }
}

fn start(app: &Pm2App) -> Result<Start, String> {
    if let Some(line) = &app.command_line {
        return shell(app, line.trim().to_owned());
    }
    if PACKAGE_MANAGERS.contains(&app.script.as_str()) && !app.script_path.starts_with(&app.cwd) {
        if app.args.is_empty() {
            return Err(format!(
                "it runs {}; name the file that its script in package.json starts",
                app.script
            ));
        }
        return shell(app, line(&app.script, &app.args));
    }
    let inside = app.script_path.strip_prefix(&app.cwd).ok().filter(|path| *path != Path::new(""));
    let Some(script) = inside.and_then(Path::to_str).map(str::to_owned) else {
        return match &app.interpreter {
            // A program of the machine, which a release does not bring.
            Interpreter::None => {
                shell(app, format!("exec {}", line(&app.script_path.to_string_lossy(), &app.args)))
            }
            _ => Err(format!(
                "its script is outside of its working directory {}, which becomes the release",
                app.cwd.display()
            )),
        };
    };
    if script.contains(' ') {
        return Err("the path of its script holds a blank".to_owned());
    }
    let interpreter = match &app.interpreter {
        interpreter if interpreter.nodejs() || interpreter.name() == "nodejs" => "node".to_owned(),
        Interpreter::Program(program) => program.strip_prefix("./").unwrap_or(program).to_owned(),
        other => other.name().to_owned(),
    };
    let wanted = Runner::of(&script, Some(&interpreter));
    // Said only where the script alone does not say it.
    let interpreter = (Runner::of(&script, None) != wanted).then_some(interpreter);
    let nodejs = app.interpreter.nodejs().then(|| nodejs(app)).flatten();
    Ok(Start {
        interpreter,
        nodejs,
        mode: if wanted == Runner::Nodejs { app.exec_mode } else { ExecMode::Fork },
        // Nobody reads them there.
        node_args: if wanted == Runner::Itself { Vec::new() } else { app.node_args.clone() },
        ..plain(app, script)
    })
}

fn plain(app: &Pm2App, script: String) -> Start {
    Start {
        script,
        interpreter: None,
        nodejs: None,
        args: app.args.clone(),
        node_args: app.node_args.clone(),
        mode: app.exec_mode,
        command_line: false,
        left_out: None,
    }
}

fn shell(app: &Pm2App, line: String) -> Result<Start, String> {
    if line.chars().any(char::is_control) || !line.contains(' ') {
        let program = line.split_whitespace().next().unwrap_or_default();
        return Err(format!("it is a command line for a shell ({program} …); name the script that it runs"));
    }
    Ok(Start {
        args: Vec::new(),
        node_args: Vec::new(),
        mode: ExecMode::Fork,
        command_line: true,
        ..plain(app, line)
    })
}

/// A command line of these words.
fn line(program: &str, args: &[String]) -> String {
    let word = |text: &str| {
        let safe = |c: char| c.is_ascii_alphanumeric() || "_-./=:@%+,".contains(c);
        if !text.is_empty() && text.chars().all(safe) {
            text.to_owned()
        } else {
            format!("'{}'", text.replace('\'', "'\\''"))
        }
    };
    std::iter::once(program).chain(args.iter().map(String::as_str)).map(word).collect::<Vec<_>>().join(" ")
}

/// The version that was chosen, or that ran it.
fn nodejs(app: &Pm2App) -> Option<String> {
    let version = |text: &str| {
        let text = text.trim_start_matches('v');
        (text.starts_with(|c: char| c.is_ascii_digit())
            && text.chars().all(|c| c.is_ascii_digit() || c == '.'))
        .then(|| text.to_owned())
    };
    match &app.interpreter {
        Interpreter::NodeVersion(chosen) => version(chosen),
        // nvm and its kin: …/versions/node/v20.11.0/bin/node.
        Interpreter::Program(path) => path.split('/').filter(|part| part.starts_with('v')).find_map(version),
        _ => app
            .node_version
            .as_deref()
            .and_then(version)
            .map(|v| v.split('.').next().unwrap_or("*").to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        let args = ["run", "start:prod", "--", "a b", "it's", ""].map(str::to_owned);
        assert_eq!(line("npm", &args), r"npm run start:prod -- 'a b' 'it'\''s' ''");
    }
}

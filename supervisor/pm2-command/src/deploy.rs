//! `deploy`: the deploy section of a configuration file, carried out over ssh as pm2 does it: a clone that is moved to a
//! commit, with hooks.

mod settings;
mod steps;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Context, Failure};
use settings::{Settings, check_reference};
use steps::{Deployment, local};

/// Arguments.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// A configuration file or an environment, the environment, then what to do (see `pm2 deploy help`)
    #[arg(value_name = "file|environment", trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// Looked for, in this order, when no file is named.
const DEFAULT_FILES: [&str; 9] = [
    "ecosystem.config.js",
    "ecosystem.config.cjs",
    "ecosystem.config.mjs",
    "ecosystem.config.json",
    "ecosystem.config.yml",
    "ecosystem.config.yaml",
    "ecosystem.json",
    "ecosystem.json5",
    "package.json",
];

/// What to do on each host.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Act {
    Setup,
    /// A reference, or the one of the section.
    Deploy(Option<String>),
    Revert(u32),
    Current,
    Previous,
    List,
    Execute(String),
    Config(Option<String>),
}

/// Runs it.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let mut words = args.words;
    if words.first().is_none_or(|word| word == "help") {
        println!("{HELP}");
        return Ok(());
    }
    let named = Path::new(&words[0]);
    let file = if words[0].contains('.') && muster_pm2::format_of(named).is_some() {
        PathBuf::from(words.remove(0))
    } else {
        let found = DEFAULT_FILES.iter().find(|file| context.cwd.join(file).exists());
        PathBuf::from(found.ok_or_else(|| {
            Failure::new("Not any default deployment file exists.")
                .hint(format!("Allowed default config file names are: {}", DEFAULT_FILES.join(", ")))
        })?)
    };
    if words.is_empty() {
        println!("{HELP}");
        return Ok(());
    }
    let env = words.remove(0);
    let document = muster_pm2::document(&context.cwd.join(&file), &context.surroundings())
        .map_err(|error| Failure::new(error.to_string()))?;
    let mut section = document
        .get("deploy")
        .and_then(|deploy| deploy.get(&env))
        .filter(|section| section.is_object())
        .cloned()
        .ok_or_else(|| {
            Failure::new(format!("{env} environment is not defined in {} file", file.display()))
        })?;
    if section.get("post-deploy").and_then(Value::as_str).is_none_or(str::is_empty) {
        let file = crate::shell::quote(&file.to_string_lossy());
        let env = crate::shell::quote(&env);
        section["post-deploy"] = Value::from(format!("pm2 startOrRestart {file} --env {env}"));
    }
    let home = context.env.get("HOME").map_or("/", String::as_str);
    let settings = Settings::of(&section, home)?;
    let (act, force) = act(&words)?;
    if let Act::Config(key) = &act {
        let shown = key.as_ref().map_or(Some(&section), |key| section.get(key));
        println!(
            "{}",
            shown
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                .unwrap_or_default()
        );
        return Ok(());
    }
    println!("--> Deploying to {env} environment");
    for host in &settings.hosts {
        println!("--> on host {}", host.name);
        let deployment = Deployment { context, settings: &settings, host };
        let done = carry_out(&deployment, &act, force || context.flags.force).await;
        done.map_err(|failure| Failure {
            message: format!("Deploy failed\n{}", failure.message),
            ..failure
        })?;
    }
    println!("--> Success");
    Ok(())
}

async fn carry_out(deployment: &Deployment<'_>, act: &Act, force: bool) -> Result<(), Failure> {
    match act {
        Act::Setup => deployment.setup().await,
        Act::Deploy(reference) => {
            if !force {
                check_for_local_changes(deployment.context).await?;
            }
            deployment.deploy(reference.as_ref().unwrap_or(&deployment.settings.reference)).await
        }
        Act::Revert(n) => deployment.revert(*n).await,
        Act::Current => deployment.current().await,
        Act::Previous => deployment.previous().await,
        Act::List => deployment.list().await,
        Act::Execute(command) => deployment.execute(command).await,
        Act::Config(_) => Ok(()),
    }
}

/// What stands behind the environment.
fn act(words: &[String]) -> Result<(Act, bool), Failure> {
    let force = |word: &str| matches!(word, "-f" | "-F" | "--force");
    let forced = words.iter().any(|word| force(word));
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| !force(word)).collect();
    let act = match words.as_slice() {
        [] | ["update"] => Act::Deploy(None),
        ["setup"] => Act::Setup,
        ["curr" | "current"] => Act::Current,
        ["prev" | "previous"] => Act::Previous,
        ["list"] => Act::List,
        ["revert"] => Act::Revert(1),
        ["revert", n] => {
            let n = n.parse().ok().filter(|n| (1..10_000).contains(n));
            Act::Revert(n.ok_or_else(|| Failure::new("revert wants how many deploys to go back, such as 1"))?)
        }
        ["exec" | "run"] => return Err(Failure::new("exec wants a command")),
        ["exec" | "run", command @ ..] => Act::Execute(command.join(" ")),
        ["config"] => Act::Config(None),
        ["config", key] => Act::Config(Some((*key).to_owned())),
        ["ref", reference, ..] | [reference] => {
            check_reference(reference)?;
            Act::Deploy(Some((*reference).to_owned()))
        }
        more => return Err(Failure::new(format!("{:?} is not understood", more.join(" "))).hint(HELP)),
    };
    Ok((act, forced))
}

/// What is not pushed is not deployed, and people wonder.
async fn check_for_local_changes(context: &Context) -> Result<(), Failure> {
    for (command, otherwise) in [
        ("git --no-pager diff --exit-code --quiet", "commit or stash your changes before deploying"),
        ("git --no-pager diff --exit-code --quiet --cached", "commit your staged changes before deploying"),
        ("[ -z \"$(git rev-list '@{upstream}..' -n 1 2>/dev/null)\" ]", "push your changes before deploying"),
    ] {
        local(context, command).await.map_err(|_| Failure::new(otherwise).hint("or say --force"))?;
    }
    Ok(())
}

const HELP: &str = "
-----> Helper: Deployment with PM2

  Generate a sample ecosystem.config.js with the command
  $ pm2 ecosystem
  Then edit the file depending on your needs

  Commands:
    setup                run remote setup commands
    update               update deploy to the latest release
    revert [n]           revert to [n]th last deployment or 1
    curr[ent]            output current release commit
    prev[ious]           output previous release commit
    exec|run <cmd>       execute the given <cmd>
    list                 list previous deploy commits
    [ref]                deploy to [ref], the \"ref\" setting, or latest tag

  Basic Examples:

    First initialize remote production host:
    $ pm2 deploy ecosystem.config.js production setup

    Then deploy new code:
    $ pm2 deploy ecosystem.config.js production

    If I want to revert to the previous commit:
    $ pm2 deploy ecosystem.config.js production revert 1

    Execute a command on remote server:
    $ pm2 deploy ecosystem.config.js production exec \"pm2 restart all\"

    ecosystem.config.js is looked for when no file is named:
    $ pm2 deploy production
";

#[cfg(test)]
mod tests;

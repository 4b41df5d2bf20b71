//! One file for each noun; this one finds the controller and hands over.

mod access;
mod applications;
mod apply;
mod convergence;
mod events;
mod history;
mod local;
mod logs;
mod nodes;
mod plan;
mod pm2;
mod releases;
mod rollouts;
mod secrets;
mod sources;

use std::fs;

use crate::arguments::{Arguments, Command, Global};
use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::output::Output;
use crate::profile::{ProfileFile, controller_url};
use crate::trust;

/// Carries out a command.
pub(crate) async fn run(arguments: Arguments, output: &Output) -> Result<()> {
    let global = arguments.global;
    match arguments.command {
        Command::Completions { shell } => return local::completions(output, shell),
        Command::Man { dir } => return local::man(output, dir.as_deref()),
        Command::ExitCodes => return local::exit_codes(output),
        Command::Version => return local::version(output, connect_if_known(&global)).await,
        Command::Login(login) => return access::login(output, &global, login).await,
        Command::Logout => return access::logout(output, &global).await,
        Command::Pm2(command) => return pm2::run(output, command),
        Command::Schema => return local::schema(output, &connect_anonymous(&global)?).await,
        _ => {}
    }
    let client = connect(&global)?;
    match arguments.command {
        Command::Node(command) => nodes::run(output, &client, command).await,
        Command::Environment(_) => applications::environment_list(output, &client).await,
        Command::Application(command) => applications::run(output, &client, command).await,
        Command::Apply(command) => apply::apply(output, &client, command).await,
        Command::Plan(command) => plan::plan(output, &client, command).await,
        Command::Secret(command) => secrets::run(output, &client, command).await,
        Command::Release(command) => releases::run(output, &client, command).await,
        Command::Deploy(command) => rollouts::deploy(output, &client, command).await,
        Command::Rollback(command) => rollouts::rollback(output, &client, command).await,
        Command::Rollout(command) => rollouts::run(output, &client, command).await,
        Command::Ps(command) => applications::ps(output, &client, command).await,
        Command::Logs(command) => logs::logs(output, &client, command).await,
        Command::Events(command) => events::events(output, &client, command).await,
        Command::Token(command) => access::token(output, &client, command).await,
        Command::Completions { .. }
        | Command::Pm2(_)
        | Command::Man { .. }
        | Command::ExitCodes
        | Command::Version
        | Command::Login(_)
        | Command::Logout
        | Command::Schema => unreachable!("handled before a controller was looked for"),
    }
}

/// The content of the file that names whom to trust, if one was given.
fn ca_pem(global: &Global) -> Result<Option<String>> {
    let Some(path) = &global.ca_file else { return Ok(None) };
    let pem = fs::read_to_string(path).map_err(|error| {
        Failure::of(format!("cannot read the certificate authority {}", path.display()), &error)
    })?;
    trust::certificates(&pem)?;
    Ok(Some(pem))
}

fn env_token() -> Option<String> {
    std::env::var("MUSTER_TOKEN").ok().filter(|token| !token.is_empty())
}

/// A client for the controller that is meant. The kept token is only ever sent to the controller that gave it.
fn connect(global: &Global) -> Result<Client> {
    let client = find(global)?;
    match client {
        Some((client, true)) => Ok(client),
        Some((client, false)) => Err(Failure::refused(
            "unauthenticated",
            format!("not signed in to {}", client.base().as_str().trim_end_matches('/')),
        )
        .hint("sign in with `muster login URL`, or set MUSTER_TOKEN")),
        None => Err(Failure::refused("unauthenticated", "not signed in to any controller")
            .hint("sign in with `muster login URL`, or set MUSTER_URL and MUSTER_TOKEN")),
    }
}

/// A client for what can be read without a sign-in.
fn connect_anonymous(global: &Global) -> Result<Client> {
    find(global)?.map(|(client, _)| client).ok_or_else(|| {
        Failure::usage("no controller is known").hint("sign in with `muster login URL`, or give --url")
    })
}

fn connect_if_known(global: &Global) -> Option<Client> {
    find(global).ok().flatten().and_then(|(client, signed_in)| signed_in.then_some(client))
}

/// The controller that is meant, and whether there is a token for it.
fn find(global: &Global) -> Result<Option<(Client, bool)>> {
    let env_token = env_token();
    // With everything in the environment, as in CI, there is no need for a home.
    let profiles = match (ProfileFile::standard(), &global.url, &env_token) {
        (Ok(file), _, _) => file.load()?,
        (Err(_), Some(_), Some(_)) => crate::profile::Profiles::default(),
        (Err(failure), _, _) => return Err(failure),
    };
    let Some(text) = global.url.as_ref().or(profiles.current.as_ref()) else { return Ok(None) };
    let url = controller_url(text)?;
    let profile = profiles.controllers.get(url.as_str());
    let token = env_token.or_else(|| profile.map(|profile| profile.token.clone()));
    let ca_pem = ca_pem(global)?.or_else(|| profile.and_then(|profile| profile.ca_pem.clone()));
    let signed_in = token.is_some();
    Ok(Some((Client::new(url, ca_pem.as_deref(), token)?, signed_in)))
}

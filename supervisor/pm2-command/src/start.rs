//! `pm2 start`: scripts, command lines, configuration files, and what is there already under a name.

use std::fs;
use std::path::Path;

use muster_pm2::Pm2App;
use muster_supervisor_protocol::{AppSpec, Client, InstanceState, Request};
use serde_json::Value;

use crate::bring_up::{new_ones, say_applied};
use crate::cli::StartArgs;
use crate::context::refused;
use crate::operate::{Action, on_chosen, operate, renew, show};
use crate::origin::Record;
use crate::process::Process;
use crate::selector::{numeric, select};
use crate::snapshot::Snapshot;
use crate::{Context, Failure, config, foreground, reload_lock, spec};

/// What is started when nothing is named.
const DEFAULT_FILE: &str = "ecosystem.config.js";

/// `pm2 start ...`.
pub(crate) async fn run(context: &Context, args: StartArgs) -> Result<(), Failure> {
    if args.container {
        return Err(Failure::new("containers are not made here")
            .hint("write a Dockerfile that runs `muster-supervisor pm2-runtime start ecosystem.config.js`"));
    }
    if context.flags.no_daemon {
        return foreground::no_daemon(context, &args.targets).await;
    }
    let mut client = context.connect().await?;
    targets(context, &mut client, &args.targets).await?;
    show(context, &mut client).await?;
    if context.flags.attach {
        return foreground::attach(context).await;
    }
    Ok(())
}

/// Everything that was named, one after the other.
pub(crate) async fn targets(
    context: &Context,
    client: &mut Client,
    targets: &[String],
) -> Result<(), Failure> {
    let default = [DEFAULT_FILE.to_owned()];
    let targets = if targets.is_empty() { &default[..] } else { targets };
    for target in targets {
        if target == "-" {
            let apps = config::of_document(context, config::standard_input()?)?;
            applications(context, client, apps, Action::Restart).await?;
        } else if config::names_config(target) {
            let apps = config::of_file(context, target)?;
            applications(context, client, apps, Action::Restart).await?;
        } else {
            script(context, client, target).await?;
        }
    }
    Ok(())
}

/// Starts the applications of a document, and shows the list.
pub(crate) async fn document(context: &Context, document: Value) -> Result<(), Failure> {
    let apps = config::of_document(context, document)?;
    let mut client = context.connect().await?;
    applications(context, &mut client, apps, Action::Restart).await?;
    show(context, &mut client).await
}

/// Makes specs run that are not there yet, and waits for them.
pub(crate) async fn bring_up(
    context: &Context,
    client: &mut Client,
    specs: Vec<AppSpec>,
) -> Result<(), Failure> {
    let failed = new_ones(context, client, &specs).await?;
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(format!("{} did not come up", failed.join(", "))))
    }
}

/// `startOrRestart`, `startOrReload`.
pub(crate) async fn start_or(context: &Context, file: &str, action: Action) -> Result<(), Failure> {
    let mut client = context.connect().await?;
    let lock = if action == Action::Reload { reload_lock::take(context)? } else { None };
    let apps = match file {
        "-" => config::of_document(context, config::standard_input()?)?,
        file => config::of_file(context, file)?,
    };
    applications(context, &mut client, apps, action).await?;
    drop(lock);
    show(context, &mut client).await
}

/// A script, or what is there already under this name, namespace or id.
async fn script(context: &Context, client: &mut Client, target: &str) -> Result<(), Failure> {
    let snapshot = Snapshot::take(client).await?;
    let expression = target.len() > 2 && target.starts_with('/') && target.ends_with('/');
    let names_something =
        expression || (!target.contains('/') && (numeric(target) || Path::new(target).extension().is_none()));
    if names_something && (numeric(target) || target == "all" || select(&snapshot.processes, target).is_ok())
    {
        operate(context, client, Action::Restart, target).await?;
        context.output.message("Process successfully started");
        return Ok(());
    }
    let app = config::of_script(context, target)?;
    if app.write {
        write_down(context, &app, target)?;
    }
    spec::check_script(&app)?;
    let there: Vec<&Process> = snapshot.of_app(&app.name).collect();
    if let (Some(first), Some(old)) = (there.first(), snapshot.specs.get(&app.name)) {
        let same = Path::new(&Record::of(old).typed_script) == app.script_path;
        let down = there.iter().all(|process| {
            matches!(
                process.instance.state,
                InstanceState::Stopped | InstanceState::CrashLooping | InstanceState::Stopping
            )
        });
        if !same {
            return Err(Failure::new(format!(
                "the name {} is taken by {}",
                app.name,
                Record::of(old).typed_script
            ))
            .hint("give this one another name with --name, or delete the other one"));
        }
        if down {
            on_chosen(context, Action::Restart, &app.name, &snapshot, &there).await?;
            context.output.message("Process successfully started");
            return Ok(());
        }
        if !context.flags.force {
            return Err(Failure::new("Script already launched, add -f option to force re-execution"));
        }
        let count = u32::try_from(there.len()).unwrap_or(u32::MAX).saturating_add(app.instances.count);
        let request = Request::Scale { app: first.name.clone(), instances: count, oldest_first: false };
        let applied = client.change(&request).await.map_err(refused)?;
        return if say_applied(context, &first.name, &applied) { Ok(()) } else { Err(Failure::new("")) };
    }
    spec::notices(context, std::slice::from_ref(&app));
    let spec = spec::build(context, &app)?;
    context.output.message(format!(
        "Starting {} in {} ({} instance{})",
        Record::of(&spec).typed_script,
        crate::record::mode_word(spec.exec_mode),
        spec.instances,
        if spec.instances > 1 { "s" } else { "" }
    ));
    let failed = new_ones(context, client, std::slice::from_ref(&spec)).await?;
    if failed.is_empty() {
        context.output.message("Done.");
        Ok(())
    } else {
        show(context, client).await?;
        Err(Failure::new(""))
    }
}

/// Applications of a file: those that are there are restarted (or reloaded) with what the file says now, the others are
/// started.
pub(crate) async fn applications(
    context: &Context,
    client: &mut Client,
    apps: Vec<Pm2App>,
    action: Action,
) -> Result<(), Failure> {
    spec::notices(context, &apps);
    let snapshot = Snapshot::take(client).await?;
    let mut missing = Vec::new();
    let mut there = Vec::new();
    let mut refused_some = false;
    for app in &apps {
        if let Some(pattern) = &app.cron_restart {
            context.output.message(format!("cron restart at {pattern}"));
        }
        // One that cannot be started does not keep the others.
        match spec::build(context, app) {
            Ok(spec) if snapshot.app(&app.name).is_some() => there.push(spec),
            Ok(spec) => missing.push(spec),
            Err(failure) => {
                context.output.error(format!("Error: {failure}"));
                refused_some = true;
            }
        }
    }
    let mut failed = refused_some;
    for spec in &there {
        failed |= !existing(context, &snapshot, spec, action).await?;
    }
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|spec| spec.name.as_str()).collect();
        context.output.warn(format!("Applications {} not running, starting...", names.join(", ")));
        let waits = missing
            .iter()
            .filter(|spec| spec.readiness == muster_supervisor_protocol::Readiness::ReadyMessage);
        for spec in waits {
            context.output.warn(format!(
                "App {} has option 'wait_ready' set, waiting for app to be ready...",
                spec.name
            ));
        }
        let down = new_ones(context, client, &missing).await?;
        for spec in missing.iter().filter(|spec| !down.contains(&spec.name)) {
            context.output.message(format!("App [{}] launched ({} instances)", spec.name, spec.instances));
        }
        failed |= !down.is_empty();
    }
    if failed {
        show(context, client).await?;
        return Err(Failure::new(""));
    }
    Ok(())
}

/// One that is there.
async fn existing(
    context: &Context,
    snapshot: &Snapshot,
    wanted: &AppSpec,
    action: Action,
) -> Result<bool, Failure> {
    let group: Vec<&Process> = snapshot.of_app(&wanted.name).collect();
    let ids: Vec<u32> = group.iter().map(|process| process.id()).collect();
    context.output.message(format!(
        "Applying action {} on app [{}](ids: {})",
        if action == Action::Reload { "reloadProcessId" } else { "restartProcessId" },
        wanted.name,
        crate::words::ids(&ids)
    ));
    let Some(old) = snapshot.specs.get(&wanted.name) else {
        return Err(Failure::new(format!("{} has no spec to start from", wanted.name))
            .hint("delete it and start it again"));
    };
    let mut wanted = wanted.clone();
    // The file did not change the number, so what somebody scaled to stays.
    if Record::of(old).asked_instances == Record::of(&wanted).asked_instances {
        wanted.instances = old.instances;
    }
    // What a reload found out about the application holds.
    if old.readiness == muster_supervisor_protocol::Readiness::Listening
        && wanted.readiness == muster_supervisor_protocol::Readiness::Started
        && wanted.exec_mode == old.exec_mode
    {
        wanted.readiness = old.readiness.clone();
    }
    spec::seal_digest(&mut wanted);
    renew(context, action, snapshot, &group, old, &wanted).await
}

/// `--write`: what the flags said, as a configuration.
fn write_down(context: &Context, app: &Pm2App, script: &str) -> Result<(), Failure> {
    let mut fields = config::flag_fields(context);
    fields.remove("write");
    fields.insert("script".to_owned(), Value::from(script));
    fields.insert("name".to_owned(), Value::from(app.name.clone()));
    if let Some(args) = &context.script_args {
        fields.insert("args".to_owned(), Value::from(args.clone()));
    }
    let path = config::written_path(context, &app.name);
    context.output.message(format!("Writing configuration to {}", path.display()));
    let text = serde_json::to_string_pretty(&fields).expect("maps have texts as keys");
    fs::write(&path, text).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

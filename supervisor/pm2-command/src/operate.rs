//! `stop`, `restart`, `reload` and `delete` of what is there.

use futures_util::stream::{self, StreamExt};
use muster_supervisor_protocol::{
    AppSpec, Applied, Client, ExecMode, InstanceState, Readiness, Request, Target,
};

use crate::bring_up::{apply, say_applied};
use crate::context::refused;
use crate::process::Process;
use crate::selector::select;
use crate::snapshot::Snapshot;
use crate::style::Code;
use crate::{Context, Failure, config, list, overlay, reload_lock, start, words};

/// What is done with processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Stop,
    Restart,
    Reload,
    Delete,
}

impl Action {
    /// pm2's word for it, which scripts look for.
    fn word(self) -> &'static str {
        match self {
            Self::Stop => "stopProcessId",
            Self::Restart => "restartProcessId",
            Self::Reload => "reloadProcessId",
            Self::Delete => "deleteProcessId",
        }
    }
}

/// `pm2 stop|restart|delete selector...`, with configuration files and `-` among the selectors.
pub(crate) async fn verb(context: &Context, action: Action, selectors: &[String]) -> Result<(), Failure> {
    let mut client = context.connect().await?;
    for selector in selectors {
        let document = selector == "-";
        if !document && !config::names_config(selector) {
            announce(context, action)?;
            operate(context, &mut client, action, selector).await?;
            continue;
        }
        let apps = match document {
            true => config::of_document(context, config::standard_input()?)?,
            false => config::of_file(context, selector)?,
        };
        match action {
            Action::Restart => start::applications(context, &mut client, apps, Action::Restart).await?,
            Action::Reload => start::applications(context, &mut client, apps, Action::Reload).await?,
            Action::Stop | Action::Delete => {
                let snapshot = Snapshot::take(&mut client).await?;
                for app in apps {
                    let places = select(&snapshot.processes, &app.name).unwrap_or_default();
                    let chosen: Vec<&Process> =
                        places.iter().map(|place| &snapshot.processes[*place]).collect();
                    carry_out(context, action, &snapshot, &chosen).await?;
                }
            }
        }
    }
    show(context, &mut client).await
}

/// `pm2 reload selector`, one at a time on the machine.
pub(crate) async fn reload(context: &Context, selector: &str) -> Result<(), Failure> {
    let mut client = context.connect().await?;
    let lock = reload_lock::take(context)?;
    let outcome = if config::names_config(selector) {
        let apps = config::of_file(context, selector)?;
        start::applications(context, &mut client, apps, Action::Reload).await
    } else {
        announce(context, Action::Reload)?;
        operate(context, &mut client, Action::Reload, selector).await
    };
    drop(lock);
    outcome
}

/// What pm2 says before it restarts.
fn announce(context: &Context, action: Action) -> Result<(), Failure> {
    if !matches!(action, Action::Restart | Action::Reload) {
        return Ok(());
    }
    if context.flags.env.is_some() {
        return Err(Failure::new("Using --env [env] without passing the ecosystem.config.js does not work"));
    }
    if !context.flags.update_env {
        let text = "Use --update-env to update environment variables";
        context.output.line(context.output.style.paint(&[Code::Bold, Code::Blue], text));
    }
    Ok(())
}

/// Does it with everything that a selector means.
pub(crate) async fn operate(
    context: &Context,
    client: &mut Client,
    action: Action,
    selector: &str,
) -> Result<(), Failure> {
    let snapshot = Snapshot::take(client).await?;
    let places = select(&snapshot.processes, selector).map_err(|no| {
        if no.warning() {
            context.output.error_line(format!(
                "{}{}",
                context.output.style.yellow("[PM2][WARN] "),
                no.message()
            ));
            return Failure::new("");
        }
        no.into()
    })?;
    let chosen: Vec<&Process> = places.iter().map(|place| &snapshot.processes[*place]).collect();
    on_chosen(context, action, selector, &snapshot, &chosen).await
}

/// The same, for processes that were chosen already; `title` is how messages call them.
pub(crate) async fn on_chosen(
    context: &Context,
    action: Action,
    title: &str,
    snapshot: &Snapshot,
    chosen: &[&Process],
) -> Result<(), Failure> {
    let ids: Vec<u32> = chosen.iter().map(|process| process.id()).collect();
    context.output.message(format!(
        "Applying action {} on app [{title}](ids: {})",
        action.word(),
        words::ids(&ids)
    ));
    carry_out(context, action, snapshot, chosen).await
}

async fn carry_out(
    context: &Context,
    action: Action,
    snapshot: &Snapshot,
    chosen: &[&Process],
) -> Result<(), Failure> {
    let groups = by_app(chosen);
    match action {
        // Stopping waits for applications, not for this machine: all at once.
        Action::Stop | Action::Delete => {
            let done: Vec<Result<(), Failure>> = stream::iter(&groups)
                .map(|group| end(context, action, snapshot, group))
                .buffered(groups.len().max(1))
                .collect()
                .await;
            done.into_iter().collect::<Result<(), Failure>>()?;
            for process in chosen {
                done_with(context, process);
                let spec = snapshot.specs.get(&process.name);
                if let (Action::Stop, Some(pattern)) = (action, spec.and_then(|it| it.cron_restart.as_ref()))
                {
                    context.output.info(format!(
                        "App {} stays stopped: cron restart {pattern} only restarts what runs",
                        process.name
                    ));
                }
            }
            Ok(())
        }
        Action::Restart | Action::Reload => {
            let done: Vec<Result<bool, Failure>> = stream::iter(&groups)
                .map(|group| again(context, action, snapshot, group))
                .buffered(at_once(context, chosen.len()))
                .collect()
                .await;
            // One that cannot be started does not keep the others.
            let mut failed = false;
            for outcome in done {
                match outcome {
                    Ok(up) => failed |= !up,
                    Err(failure) => {
                        context.output.error(failure.to_string());
                        failed = true;
                    }
                }
            }
            if failed { Err(Failure::new("")) } else { Ok(()) }
        }
    }
}

/// As pm2: two at a time, and one at a time where there are only two.
fn at_once(context: &Context, count: usize) -> usize {
    if count <= 2 { 1 } else { context.parallel() }
}

/// Restarts or reloads the processes of one application, as the flags say.
async fn again(
    context: &Context,
    action: Action,
    snapshot: &Snapshot,
    group: &[&Process],
) -> Result<bool, Failure> {
    let name = &group[0].name;
    let Some(old) = snapshot.specs.get(name) else {
        return Err(Failure::new(format!("{name} has no spec to start from"))
            .hint("bring the saved list back with `pm2 resurrect`"));
    };
    let new = overlay::changed(context, old)?;
    renew(context, action, snapshot, group, old, &new).await
}

/// Restarts or reloads the processes of one application, from a spec that may be another than before. Whether it
/// succeeded; what was wrong is said.
pub(crate) async fn renew(
    context: &Context,
    action: Action,
    snapshot: &Snapshot,
    group: &[&Process],
    old: &AppSpec,
    new: &AppSpec,
) -> Result<bool, Failure> {
    let mut new = new.clone();
    let app = snapshot.app(&old.name);
    let listens = app.is_some_and(|app| !app.listening.is_empty());
    // Whoever listened before has to listen again, or it is no successor.
    if action == Action::Reload
        && listens
        && new.exec_mode == ExecMode::Cluster
        && new.readiness == Readiness::Started
    {
        new.readiness = Readiness::Listening;
        crate::spec::seal_digest(&mut new);
    }
    let say = |applied: &Applied| say_applied(context, &old.name, applied);
    if new.spec_digest != old.spec_digest && new.spec_digest != snapshot_digest(snapshot, &old.name) {
        let applied = apply(context, &new).await?;
        let up = say(&applied);
        if up {
            group.iter().for_each(|process| done_with(context, process));
        }
        return Ok(up);
    }
    let mut client = context.connect().await?;
    // What is not online has nothing to hand over: it is restarted, as with pm2.
    if action == Action::Reload && group.iter().any(|process| process.instance.state == InstanceState::Ready)
    {
        let applied = client.reload(&old.name).await.map_err(refused)?;
        let up = say(&applied);
        if up {
            group.iter().for_each(|process| done_with(context, process));
        }
        return Ok(up);
    }
    for part in group.chunks(at_once(context, group.len())) {
        let instances = part.iter().map(|process| process.instance.index).collect();
        let request = Request::Restart(Target { app: old.name.clone(), instances });
        let applied = client.change(&request).await.map_err(refused)?;
        if !say(&applied) {
            return Ok(false);
        }
        part.iter().for_each(|process| done_with(context, process));
    }
    Ok(true)
}

fn snapshot_digest<'a>(snapshot: &'a Snapshot, name: &str) -> &'a str {
    snapshot.app(name).map_or("", |app| &app.spec_digest)
}

/// Stops or deletes the processes of one application.
async fn end(
    context: &Context,
    action: Action,
    snapshot: &Snapshot,
    group: &[&Process],
) -> Result<(), Failure> {
    let name = &group[0].name;
    let all = snapshot.of_app(name).count() == group.len();
    let instances =
        if all { Vec::new() } else { group.iter().map(|process| process.instance.index).collect() };
    let target = Target { app: name.clone(), instances };
    let request = match action {
        Action::Delete => Request::Delete(target),
        Action::Stop | Action::Restart | Action::Reload => Request::Stop(target),
    };
    let mut client = context.connect().await?;
    client.carry_out(&request).await.map_err(refused)
}

/// Processes of the same application together, in the order in which they were chosen.
pub(crate) fn by_app<'a>(chosen: &[&'a Process]) -> Vec<Vec<&'a Process>> {
    let mut groups: Vec<Vec<&Process>> = Vec::new();
    for process in chosen {
        match groups.iter_mut().find(|group| group[0].name == process.name) {
            Some(group) => group.push(process),
            None => groups.push(vec![process]),
        }
    }
    groups
}

/// pm2's tick.
pub(crate) fn done_with(context: &Context, process: &Process) {
    context.output.message(format!("[{}]({}) \u{2713}", process.name, process.id()));
}

/// The list, as pm2 shows it after most verbs.
pub(crate) async fn show(context: &Context, client: &mut Client) -> Result<(), Failure> {
    if !context.output.silent {
        let snapshot = Snapshot::take(client).await?;
        list::show(context, &snapshot);
    }
    Ok(())
}

//! Verbs about processes that run: `scale`, `reset`, `sendSignal`, `trigger`.

use muster_supervisor_protocol::{ClientError, ErrorCode, Request, Target};
use serde_json::Value;

use crate::bring_up::say_applied;
use crate::context::refused;
use crate::operate::{by_app, done_with, show};
use crate::process::Process;
use crate::selector::{numeric, select};
use crate::snapshot::Snapshot;
use crate::{Context, Failure, words};

/// How long an action may take to answer.
const ACTION_LIMIT_MS: u64 = 30_000;

/// `pm2 scale app 4`, `+2`, `-1`.
pub(crate) async fn scale(
    context: &Context,
    name: &str,
    number: &str,
    pm2_order: bool,
) -> Result<(), Failure> {
    let mut client = context.connect().await?;
    let before = Snapshot::take(&mut client).await?;
    let there: Vec<&Process> = before.of_app(name).collect();
    if there.is_empty() {
        return Err(Failure::new(format!("Application {name} not found")));
    }
    let count = u32::try_from(there.len()).unwrap_or(u32::MAX);
    let bad = || Failure::new(format!("{number:?} is no number of instances")).hint("write 4, +2 or -1");
    let wanted = match number.split_at_checked(1) {
        Some(("+", more)) => count.saturating_add(more.parse().map_err(|_| bad())?),
        Some(("-", fewer)) => count.saturating_sub(fewer.parse().map_err(|_| bad())?),
        _ => number.parse().map_err(|_| bad())?,
    };
    if wanted == count {
        return Err(Failure::new("Nothing to do"));
    }
    if wanted == 0 {
        return Err(Failure::new(format!("{name} cannot have 0 instances"))
            .hint(format!("`pm2 stop {name}` stops it, `pm2 delete {name}` removes it")));
    }
    for _ in count..wanted {
        context.output.message("Scaling up application");
    }
    let request = Request::Scale { app: name.to_owned(), instances: wanted, oldest_first: pm2_order };
    let applied = client.change(&request).await.map_err(refused)?;
    if !say_applied(context, name, &applied) {
        return Err(Failure::new(""));
    }
    let after = Snapshot::take(&mut client).await?;
    let gone = there.iter().filter(|process| after.processes.iter().all(|it| it.id() != process.id()));
    for process in gone {
        let id = process.id();
        context
            .output
            .message(format!("Applying action deleteProcessId on app [{id}](ids: {})", words::ids(&[id])));
        done_with(context, process);
    }
    show(context, &mut client).await
}

/// `pm2 reset selector`.
pub(crate) async fn reset(context: &Context, selector: &str) -> Result<(), Failure> {
    let mut client = context.connect().await?;
    let snapshot = Snapshot::take(&mut client).await?;
    let chosen = chosen(&snapshot, selector)?;
    for group in by_app(&chosen) {
        let request = Request::Reset(target(&group));
        client.carry_out(&request).await.map_err(refused)?;
    }
    for process in &chosen {
        context.output.message(format!("Resetting meta for process id {}", process.id()));
    }
    show(context, &mut client).await
}

/// `pm2 sendSignal SIGUSR2 selector`.
pub(crate) async fn send_signal(context: &Context, signal: &str, selector: &str) -> Result<(), Failure> {
    let kind = if numeric(selector) { "id" } else { "name" };
    context.output.message(format!("Sending signal to process {kind} {selector}"));
    let mut client = context.connect().await?;
    let snapshot = Snapshot::take(&mut client).await?;
    let running: Vec<&Process> =
        chosen(&snapshot, selector)?.into_iter().filter(|process| process.instance.pid.is_some()).collect();
    if running.is_empty() {
        return Err(Failure::new(format!("{selector} is not running")));
    }
    for group in by_app(&running) {
        let request = Request::Signal { target: target(&group), signal: signal.to_owned() };
        client.carry_out(&request).await.map_err(refused)?;
    }
    context.output.line(format!("successfully sent signal {signal} to process {kind} {selector}"));
    show(context, &mut client).await
}

/// `pm2 trigger selector action [parameter]`.
pub(crate) async fn trigger(
    context: &Context,
    selector: &str,
    action: &str,
    params: Option<String>,
) -> Result<(), Failure> {
    let nobody = || Failure::new("Not any process has received a command (offline or unexistent)");
    let mut client = context.connect().await?;
    let snapshot = Snapshot::take(&mut client).await?;
    let announced = |process: &&Process| {
        process
            .instance
            .actions
            .iter()
            .any(|it| it.get("action_name").and_then(Value::as_str) == Some(action))
    };
    let places = select(&snapshot.processes, selector).map_err(|_| nobody())?;
    let receivers: Vec<&Process> =
        places.iter().map(|place| &snapshot.processes[*place]).filter(announced).collect();
    if receivers.is_empty() {
        return Err(nobody().hint("`pm2 describe <name>` lists the actions that a process announced"));
    }
    context.output.line(
        context.output.style.bold(&format!("{} processes have received command {action}", receivers.len())),
    );
    let mut answered = 0;
    for group in by_app(&receivers) {
        let params = params.clone().map(Value::String);
        let answers = match client.trigger(target(&group), action, params, ACTION_LIMIT_MS).await {
            Ok(answers) => answers,
            Err(ClientError::Refused { code: ErrorCode::WrongState, .. }) => return Err(nobody()),
            Err(error) => return Err(refused(error)),
        };
        answered += answers.len();
        for answer in answers {
            if let Some(process) = group.iter().find(|process| process.instance.index == answer.instance) {
                context.output.line(format!(
                    "[{}:{}:{}]={}",
                    process.name,
                    process.id(),
                    process.namespace,
                    answer.value
                ));
            }
        }
    }
    if answered < receivers.len() {
        return Err(Failure::new(format!(
            "{} of {} processes did not answer within {} s",
            receivers.len() - answered,
            receivers.len(),
            ACTION_LIMIT_MS / 1_000
        )));
    }
    Ok(())
}

fn chosen<'a>(snapshot: &'a Snapshot, selector: &str) -> Result<Vec<&'a Process>, Failure> {
    Ok(select(&snapshot.processes, selector)?.into_iter().map(|place| &snapshot.processes[place]).collect())
}

fn target(group: &[&Process]) -> Target {
    Target { app: group[0].name.clone(), instances: group.iter().map(|it| it.instance.index).collect() }
}

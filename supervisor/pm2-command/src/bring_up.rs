//! Makes specs run: new ones are registered, started under supervision and waited for; those that are there already are
//! replaced or restarted.

use futures_util::stream::{self, StreamExt};
use muster_supervisor_protocol::{AppSpec, Applied, ApplyOutcome, Client, Readiness, Request, Target};

use crate::context::refused;
use crate::origin::Record;
use crate::waiting::{Outcome, until_settled};
use crate::{Context, Failure};

/// Connections at a time.
const AT_ONCE: usize = 16;

/// Registers and starts applications that are not there yet. What starts without a deadline starts at once; what has to
/// say `ready` in time starts a few at a time, so that a busy machine does not make it late. Gives the names of those
/// that did not come up, which was said already.
pub(crate) async fn new_ones(
    context: &Context,
    client: &mut Client,
    specs: &[AppSpec],
) -> Result<Vec<String>, Failure> {
    let mut failed = Vec::new();
    let mut known = Vec::new();
    let registered: Vec<(AppSpec, Result<Applied, Failure>)> = stream::iter(specs.iter().cloned())
        .map(|spec| async {
            let applied = apply(context, &spec).await;
            (spec, applied)
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    for (spec, applied) in registered {
        match applied {
            Ok(Applied { outcome: ApplyOutcome::Failed { reason, last_stderr, .. }, .. }) => {
                say_failure(context, &spec.name, &reason, &last_stderr);
                failed.push(spec.name);
            }
            Ok(_) => known.push(spec),
            Err(failure) => {
                context.output.error(format!("Process failed to launch {}: {failure}", spec.name));
                failed.push(spec.name);
            }
        }
    }
    let (waits, at_once): (Vec<AppSpec>, Vec<AppSpec>) =
        known.into_iter().partition(|spec| spec.readiness == Readiness::ReadyMessage);
    let mut groups: Vec<&[AppSpec]> = Vec::new();
    if !at_once.is_empty() {
        groups.push(&at_once);
    }
    groups.extend(waits.chunks(context.parallel().max(1)));
    for group in groups {
        let started: Vec<AppSpec> = group.iter().filter(|spec| Record::of(spec).autostart).cloned().collect();
        for spec in &started {
            let request = Request::Start(Target::all(&spec.name));
            client.carry_out(&request).await.map_err(refused)?;
        }
        for (name, outcome) in until_settled(client, &started).await? {
            if let Outcome::Down { reason, last_stderr } = outcome {
                say_failure(context, &name, &reason, &last_stderr);
                failed.push(name);
            }
        }
    }
    Ok(failed)
}

/// Applies a spec over a connection of its own.
pub(crate) async fn apply(context: &Context, spec: &AppSpec) -> Result<Applied, Failure> {
    let mut client = context.connect().await?;
    client.apply(spec).await.map_err(refused)
}

/// Says what became of a change; whether it succeeded.
pub(crate) fn say_applied(context: &Context, name: &str, applied: &Applied) -> bool {
    for note in &applied.notes {
        context.output.info(format!("{name}: {note}"));
    }
    match &applied.outcome {
        ApplyOutcome::Failed { reason, last_stderr, previous_kept } => {
            say_failure(context, name, reason, last_stderr);
            if *previous_kept {
                context.output.error(format!("{name}: what ran before still serves"));
            }
            false
        }
        ApplyOutcome::Unchanged | ApplyOutcome::Started | ApplyOutcome::Replaced => true,
    }
}

/// Why something is not up, with what it said last.
pub(crate) fn say_failure(context: &Context, name: &str, reason: &str, last_stderr: &[String]) {
    context.output.error(format!("{name}: {reason}"));
    for line in last_stderr {
        context.output.error_line(format!("    {line}"));
    }
}

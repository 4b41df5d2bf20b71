//! The plain verbs: `muster-supervisor restart shop:1`.

use std::path::Path;

use muster_supervisor_protocol::{AppStatus, Applied, ApplyOutcome, Client, ClientError, Request, Target};

use super::{CommandError, connect, print, table};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Stop instances and keep them.
    Stop,
    /// Start stopped instances.
    Start,
    /// Stop and start again.
    Restart,
    /// Replace by fresh processes, start-first.
    Reload,
    /// Stop and forget.
    Delete,
    /// Have this many instances.
    Scale {
        /// How many.
        instances: u32,
        /// The oldest go first.
        oldest_first: bool,
    },
    /// Count from zero.
    Reset,
    /// Send a signal to the main processes.
    Signal(String),
}

/// Does it to `<application>` or `<application>:<instance>`, and says how it went.
pub async fn perform(state_dir: &Path, whom: &str, deed: Deed) -> Result<(), CommandError> {
    let mut client = connect(state_dir).await?;
    let target = target(&mut client, whom).await?;
    let app = target.app.clone();
    let (done, request) = match deed {
        Deed::Stop => ("stopped", Request::Stop(target)),
        Deed::Start => ("started", Request::Start(target)),
        Deed::Delete => ("deleted", Request::Delete(target)),
        Deed::Reset => ("counts from zero", Request::Reset(target)),
        Deed::Signal(signal) => ("signalled", Request::Signal { target, signal }),
        Deed::Restart => return tell(whom, changed(&mut client, &Request::Restart(target)).await?),
        Deed::Reload | Deed::Scale { .. } if !target.instances.is_empty() => {
            return Err(CommandError::Refused(format!(
                "this is for all of {app:?}, not for single instances"
            )));
        }
        Deed::Reload => return tell(whom, changed(&mut client, &Request::Reload { app }).await?),
        Deed::Scale { instances, oldest_first } => {
            let request = Request::Scale { app, instances, oldest_first };
            return tell(whom, changed(&mut client, &request).await?);
        }
    };
    client.carry_out(&request).await.map_err(refused)?;
    print(&format!("{whom}: {done}\n"))
}

/// Prints everything that is known about an application.
pub async fn describe(state_dir: &Path, name: &str) -> Result<(), CommandError> {
    let mut client = connect(state_dir).await?;
    let apps = client.list().await.map_err(refused)?;
    match apps.iter().find(|app| app.name == name) {
        Some(app) => print(&table::describe(app)),
        None => Err(unknown(name, &apps)),
    }
}

async fn changed(client: &mut Client, request: &Request) -> Result<Applied, CommandError> {
    client.change(request).await.map_err(refused)
}

fn tell(whom: &str, applied: Applied) -> Result<(), CommandError> {
    let mut text: String = applied.notes.iter().map(|note| format!("{whom}: {note}\n")).collect();
    let done = match applied.outcome {
        ApplyOutcome::Failed { reason, last_stderr, previous_kept } => {
            print(&text)?;
            let kept = if previous_kept { "; what ran before still runs" } else { "" };
            return Err(CommandError::Failed { reason: format!("{whom}: {reason}{kept}"), last_stderr });
        }
        ApplyOutcome::Unchanged => "nothing to do",
        ApplyOutcome::Started | ApplyOutcome::Replaced => "done",
    };
    text.push_str(&format!("{whom}: {done}\n"));
    print(&text)
}

/// Names may contain colons: what is known by the whole name is meant.
async fn target(client: &mut Client, whom: &str) -> Result<Target, CommandError> {
    let apps = client.list().await.map_err(refused)?;
    let known = |name: &str| apps.iter().any(|app| app.name == name);
    if known(whom) {
        return Ok(Target::all(whom));
    }
    match whom.rsplit_once(':') {
        Some((app, number)) if known(app) => match number.parse() {
            Ok(instance) => Ok(Target::one(app, instance)),
            Err(_) => Err(CommandError::Refused(format!("{number:?} is not the number of an instance"))),
        },
        _ => Err(unknown(whom, &apps)),
    }
}

fn unknown(name: &str, apps: &[AppStatus]) -> CommandError {
    let names: Vec<&str> = apps.iter().map(|app| app.name.as_str()).collect();
    let known = match names.is_empty() {
        true => "there are none".to_owned(),
        false => format!("there are: {}", names.join(", ")),
    };
    CommandError::Unknown { name: name.to_owned(), known }
}

fn refused(error: ClientError) -> CommandError {
    match error {
        ClientError::Refused { message, .. } => CommandError::Refused(message),
        other => CommandError::Client(other),
    }
}

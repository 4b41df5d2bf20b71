//! Waiting until what was started is online, or until it is clear why not.

use std::time::{Duration, Instant};

use muster_supervisor_protocol::{AppSpec, AppStatus, Client, InstanceState, InstanceStatus, Readiness};

use crate::{Failure, context};

const PAUSE: Duration = Duration::from_millis(15);
/// Beyond what an instance may take to become ready, for its process to start at all.
const GRACE: Duration = Duration::from_secs(5);
/// How long a crash loop is watched before it is told as what it is.
const CRASHES_WATCHED: Duration = Duration::from_secs(10);

/// What became of one application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every instance is online, or did its work and ended as it may.
    Up,
    /// Why not, with the last lines of standard error.
    Down { reason: String, last_stderr: Vec<String> },
}

/// Waits for all instances of these applications.
pub(crate) async fn until_settled(
    client: &mut Client,
    specs: &[AppSpec],
) -> Result<Vec<(String, Outcome)>, Failure> {
    let began = Instant::now();
    let mut outcomes: Vec<Option<Outcome>> = vec![None; specs.len()];
    loop {
        let apps = client.list().await.map_err(context::refused)?;
        for (spec, outcome) in specs.iter().zip(&mut outcomes) {
            if outcome.is_none() {
                let app = apps.iter().find(|app| app.name == spec.name);
                *outcome = judge(spec, app, began.elapsed());
            }
        }
        if outcomes.iter().all(Option::is_some) {
            let names = specs.iter().map(|spec| spec.name.clone());
            return Ok(names.zip(outcomes.into_iter().flatten()).collect());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// `None` while it can still go either way.
fn judge(spec: &AppSpec, app: Option<&AppStatus>, waited: Duration) -> Option<Outcome> {
    let Some(app) = app else {
        return Some(Outcome::Down { reason: "it is gone".to_owned(), last_stderr: Vec::new() });
    };
    let limit = Duration::from_millis(spec.listen_timeout_ms + spec.kill_timeout_ms) + GRACE;
    let mut undecided = false;
    for instance in &app.instances {
        match instance.state {
            InstanceState::Ready => {}
            InstanceState::CrashLooping => return Some(down(instance, &never_ready(spec, instance))),
            InstanceState::Stopped if ended_well(spec, instance) => {}
            InstanceState::Stopped => return Some(down(instance, &never_ready(spec, instance))),
            InstanceState::BackingOff if spec.restart_delay_ms > 1_000 => {
                return Some(down(instance, "; it is restarted again and again"));
            }
            InstanceState::Starting | InstanceState::BackingOff | InstanceState::Stopping => undecided = true,
        }
        let crashes = instance.restarts > 0 && instance.last_exit.is_some() && undecided;
        if (crashes && waited > CRASHES_WATCHED) || (undecided && waited > limit.max(CRASHES_WATCHED)) {
            let mut more = never_ready(spec, instance);
            if crashes {
                more.push_str("; it is restarted again and again");
            }
            return Some(down(instance, &more));
        }
    }
    (!undecided).then_some(Outcome::Up)
}

/// It was ended because it did not say `ready`: the way in which it ended says nothing about that.
fn never_ready(spec: &AppSpec, instance: &InstanceStatus) -> String {
    let limit = spec.listen_timeout_ms;
    let late = instance.last_exit.as_ref().is_some_and(|exit| exit.uptime_ms >= limit);
    match spec.readiness == Readiness::ReadyMessage && late {
        true => format!(", for it was not ready within {limit} ms"),
        false => String::new(),
    }
}

/// An end that is no failure: nothing ran (`autostart: false`), or it did its work.
fn ended_well(spec: &AppSpec, instance: &InstanceStatus) -> bool {
    instance.last_exit.as_ref().is_none_or(|exit| match exit.code {
        Some(code) => code == 0 || spec.stop_exit_codes.contains(&code),
        None => spec.stop_exit_codes.contains(&0),
    })
}

fn down(instance: &InstanceStatus, more: &str) -> Outcome {
    let exit = instance.last_exit.as_ref();
    let reason = exit.map_or_else(|| format!("it is {}", instance.state), |exit| exit.reason.clone());
    Outcome::Down {
        reason: format!("instance {} (id {}): {reason}{more}", instance.index, instance.id),
        last_stderr: exit.map(|exit| exit.last_stderr.clone()).unwrap_or_default(),
    }
}

//! What happens to processes: from the supervisor's events to reports that a person can read in one line.

mod seen;

use crate::config::AgentConfig;
use crate::converge::Nudges;
use crate::ledger::{Ledger, QueuedReport};
use crate::link::backoff::Backoff;
use crate::runner::{ApplicationRunner, Renewal};
use chrono::{DateTime, Utc};
use muster_domain::{ReleaseVersion, event::Severity, observed, resource::DesiredState};
use muster_proto::convert;
use muster_supervisor_protocol::{AppStatus, InstanceState, LastExit, Pong, ProcessEvent, ProcessEventKind};
use seen::Seen;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How long the supervisor may take to say more about a process that ended. It is told without, then.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest cause that is quoted from standard error in a line for a person.
const MAX_CAUSE_BYTES: usize = 300;

/// Watches the processes of this node.
pub(crate) struct ProcessWatch {
    pub(crate) config: AgentConfig,
    pub(crate) runner: Arc<dyn ApplicationRunner>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) nudges: Arc<Nudges>,
}

impl ProcessWatch {
    /// Has a supervisor of another build replaced by the one that belongs to this agent. Applications do not notice.
    pub(crate) async fn renew_supervisor(&self) {
        match self.runner.renew().await {
            Ok(Renewal::Current) => {}
            Ok(Renewal::Renewed { from, to }) if from == to => {
                self.tell(
                    "supervisor.upgraded",
                    Severity::Info,
                    format!("the supervisor was replaced in place by another build of version {to}"),
                );
            }
            Ok(Renewal::Renewed { from, to }) => {
                self.tell(
                    "supervisor.upgraded",
                    Severity::Info,
                    format!("the supervisor was upgraded in place from {from} to {to}"),
                );
            }
            Err(error) => {
                self.tell(
                    "supervisor.upgrade_refused",
                    Severity::Error,
                    format!(
                        "the supervisor was not upgraded and goes on as it is ({error}); \
                         it is tried again when the agent starts next"
                    ),
                );
            }
        }
    }

    /// Reports what happens to processes, and wakes the loop when something should be looked at. Never ends.
    pub(crate) async fn run(self) {
        let now_ms = self.config.clock.now().timestamp_millis();
        let mut seen = Seen::open(&self.config.state_dir.ledger(), now_ms);
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
        let mut last_error = None;
        loop {
            match self.runner.watch().await {
                Ok(mut events) => {
                    backoff.reset();
                    last_error = None;
                    let before = self.runner.supervisor().await.ok();
                    self.learn_running().await;
                    // Whatever happened while nobody watched.
                    self.nudges.nudge();
                    let caught_up = self.catch_up(&mut seen).await;
                    let mut courses = Courses::default();
                    while let Some(event) = events.recv().await {
                        let known =
                            event.exit.as_ref().is_some_and(|exit| caught_up.contains(&end(&event, exit)));
                        if courses.of_interest(&event) && !known {
                            self.note(&event, None).await;
                        }
                        if event.kind == ProcessEventKind::Exited {
                            seen.advance(event.at);
                        }
                    }
                    self.ended(before.as_ref()).await;
                }
                Err(error) => {
                    if last_error.as_ref() != Some(&error) {
                        tracing::error!("{error}");
                        last_error = Some(error);
                    }
                }
            }
            tokio::time::sleep(backoff.next_pause()).await;
        }
    }

    /// The stream of events ended: the supervisor was replaced in place, which is no trouble, or it is gone.
    async fn ended(&self, before: Option<&Pong>) {
        let after = self.runner.supervisor().await.ok();
        if let (Some(before), Some(after)) = (before, &after)
            && after.started_at == before.started_at
        {
            if after.upgrades > before.upgrades {
                let message = format!(
                    "the supervisor was upgraded in place from {} to {}",
                    before.version, after.version
                );
                self.tell("supervisor.upgraded", Severity::Info, message);
            }
            return;
        }
        tracing::warn!("the supervisor is gone; it is started again");
        self.tell("supervisor.lost", Severity::Error, "the supervisor ended and is started again".to_owned());
    }

    fn tell(&self, event: &str, severity: Severity, message: String) {
        tracing::info!(event, "{message}");
        let now_ms = self.config.clock.now().timestamp_millis();
        self.ledger.reports.push(QueuedReport::event(event, severity, message, now_ms));
    }

    /// Processes may still have the secrets that they were started with, whatever is assigned now.
    async fn learn_running(&self) {
        let specs = match self.runner.specs().await {
            Ok(specs) => specs,
            Err(error) => return tracing::debug!("what runs cannot be read: {error}"),
        };
        let assignment = self.ledger.current();
        for spec in specs {
            let wanted = assignment.iter().flat_map(|a| &a.content.resources).find_map(|resource| {
                let DesiredState::Application(wanted) = &resource.desired else { return None };
                (wanted.name.as_str() == spec.name).then_some(wanted)
            });
            let env = spec.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            self.ledger.redactor().learn_running(wanted.map(|wanted| &wanted.secrets), env);
        }
    }

    /// Tells how processes ended while nobody watched: the agent was being updated, or had crashed itself. The supervisor
    /// knows the last end of each instance.
    async fn catch_up(&self, seen: &mut Seen) -> BTreeSet<End> {
        let mut caught_up = BTreeSet::new();
        let Ok(Ok(apps)) = tokio::time::timeout(LOOK_TIMEOUT, self.runner.list()).await else {
            return caught_up;
        };
        let mut missed: Vec<(ProcessEvent, &AppStatus)> = Vec::new();
        for app in &apps {
            // One that was stopped ended because somebody wanted it to.
            let instances = app.instances.iter().filter(|i| i.state != InstanceState::Stopped);
            for instance in instances {
                let Some(exit) = instance.last_exit.clone().filter(|exit| seen.before(exit.at)) else {
                    continue;
                };
                let event = ProcessEvent {
                    at: exit.at,
                    app: app.name.clone(),
                    instance: Some(instance.index),
                    release: instance.release.clone(),
                    kind: ProcessEventKind::Exited,
                    reason: exit.reason.clone(),
                    exit: Some(exit),
                };
                missed.push((event, app));
            }
        }
        missed.sort_by_key(|(event, _)| event.at);
        for (event, app) in missed {
            self.note(&event, Some(app)).await;
            seen.advance(event.at);
            caught_up.extend(event.exit.as_ref().map(|exit| end(&event, exit)));
        }
        caught_up
    }

    /// Reports an event. `app` is what the supervisor says of the application, if it was asked already.
    async fn note(&self, event: &ProcessEvent, app: Option<&AppStatus>) {
        use ProcessEventKind as Kind;
        let (word, severity) = match event.kind {
            Kind::Exited => ("process.exited", Severity::Warning),
            Kind::CrashLooping => ("process.crash_looping", Severity::Error),
            Kind::Stopped => ("process.stopped", Severity::Info),
            Kind::Restarting => ("process.restarted", Severity::Info),
            Kind::BackingOff => ("process.restarted", Severity::Warning),
            Kind::Replaced => ("process.replaced", Severity::Info),
            Kind::ReplaceFailed => ("process.replace_failed", Severity::Error),
            Kind::Deleted => ("process.deleted", Severity::Info),
            Kind::Missed => ("process.events_missed", Severity::Warning),
            Kind::MemoryRestart => ("process.memory_restart", Severity::Warning),
            Kind::OutOfMemory => ("process.out_of_memory", Severity::Warning),
            Kind::CronRestart => ("process.cron_restart", Severity::Info),
            Kind::WatchRestart => ("process.watch_restart", Severity::Info),
            // Every start is followed by one of the others or by a process that simply runs.
            Kind::Ready => return self.nudges.nudge(),
            Kind::Started | Kind::Stopping | Kind::Unknown => return,
        };
        let looked = match app {
            None if event.kind == Kind::Exited => self.look(&event.app).await,
            _ => None,
        };
        let (at_ms, application) = (event.at.timestamp_millis(), event.app.clone());
        let process = process_event(event.clone(), app.or(looked.as_ref()));
        let which = match process.instance {
            Some(instance) => format!("{application} #{instance}: "),
            None if application.is_empty() => String::new(),
            None => format!("{application}: "),
        };
        let about = !application.is_empty();
        self.ledger.reports.push(QueuedReport::Event {
            event: word.to_owned(),
            severity,
            message: format!("{which}{}", process.reason),
            application: about.then_some(application),
            at_ms,
            process: about.then_some(process),
        });
        self.nudges.nudge();
    }

    /// What the supervisor says of an application now.
    async fn look(&self, name: &str) -> Option<AppStatus> {
        let apps = tokio::time::timeout(LOOK_TIMEOUT, self.runner.list()).await.ok()?.ok()?;
        apps.into_iter().find(|app| app.name == name)
    }
}

/// One end of a process: the instance, and when.
type End = (String, Option<u32>, DateTime<Utc>);

fn end(event: &ProcessEvent, exit: &LastExit) -> End {
    (event.app.clone(), event.instance, exit.at)
}

/// What is known of instances while one thing leads to the next.
#[derive(Debug, Default)]
struct Courses {
    /// They were asked to end.
    stopping: BTreeSet<(String, u32)>,
    /// They ended because they were asked to.
    asked: BTreeSet<(String, u32)>,
    /// Why they are restarted has been told already.
    told: BTreeSet<(String, u32)>,
}

impl Courses {
    /// A process that ends because it was asked to is no event of its own: the stop, the restart or the replacement is.
    /// A restart is one only if nothing before it says why.
    fn of_interest(&mut self, event: &ProcessEvent) -> bool {
        use ProcessEventKind as Kind;
        let Some(instance) = event.instance else { return true };
        let instance = (event.app.clone(), instance);
        match event.kind {
            Kind::Stopping => {
                self.stopping.insert(instance);
                false
            }
            Kind::Exited if self.stopping.remove(&instance) => {
                self.asked.insert(instance);
                false
            }
            Kind::MemoryRestart | Kind::CronRestart | Kind::WatchRestart => {
                self.told.insert(instance);
                true
            }
            // The supervisor ended it because it was not well, and starts it again at once or later.
            Kind::Restarting | Kind::BackingOff => {
                self.asked.remove(&instance) && !self.told.contains(&instance)
            }
            Kind::Started => {
                self.asked.remove(&instance);
                self.told.remove(&instance);
                false
            }
            _ => true,
        }
    }
}

/// What is reported of an event. `app` is what the supervisor says of the application, if it was asked.
fn process_event(event: ProcessEvent, app: Option<&AppStatus>) -> observed::ProcessEvent {
    // During a replacement two instances have the same number; the release tells them apart.
    let candidates = || app.iter().flat_map(|app| &app.instances).filter(|i| Some(i.index) == event.instance);
    let instance = candidates().find(|i| i.release == event.release).or_else(|| candidates().next());
    let known_exit = || {
        let exit = instance?.last_exit.clone()?;
        // The instance may have been started and have ended again since.
        (event.kind == ProcessEventKind::Exited && event.reason.contains(&exit.reason)).then_some(exit)
    };
    let exit = event.exit.clone().or_else(known_exit);
    let cause = exit.as_ref().and_then(|exit| telling_line(&exit.last_stderr));
    let mut reason = event.reason.clone();
    if let Some(cause) = cause.filter(|cause| !reason.contains(cause)) {
        reason.push_str(": ");
        reason.push_str(&convert::cut(cause.to_owned(), MAX_CAUSE_BYTES));
    }
    observed::ProcessEvent {
        instance: event.instance,
        release: ReleaseVersion::parse(event.release).ok(),
        reason,
        restarts: instance.map(|instance| instance.restarts.into()),
        exit: exit.map(process_exit),
    }
}

fn process_exit(exit: LastExit) -> observed::ProcessExit {
    let LastExit { code, signal, reason: _, at: _, out_of_memory, uptime_ms, last_stderr } = exit;
    observed::ProcessExit { code, signal, out_of_memory, uptime_ms, last_stderr }
}

/// The line of standard error that says most about why a process ended: the error that it died of, as Node.js prints it,
/// else the last words that are no part of a stack trace.
fn telling_line(lines: &[String]) -> Option<&str> {
    let error = |line: &&str| {
        let Some((name, text)) = line.split_once(": ") else { return false };
        let name = name.strip_prefix("Uncaught ").unwrap_or(name);
        let name = name.split(" [").next().unwrap_or(name);
        let a_name = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
        !text.is_empty() && a_name && (name.ends_with("Error") || name.ends_with("Exception"))
    };
    let frame = |line: &str| {
        line.starts_with("at ")
            || line.starts_with("Node.js v")
            || line.chars().all(|c| c.is_ascii_punctuation() || c == ' ')
    };
    let trimmed = || lines.iter().map(|line| line.trim());
    trimmed().rfind(error).or_else(|| trimmed().rfind(|line| !line.is_empty() && !frame(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: ProcessEventKind, reason: &str, exit: Option<LastExit>) -> ProcessEvent {
        ProcessEvent {
            at: DateTime::<Utc>::UNIX_EPOCH,
            app: "web".into(),
            instance: Some(3),
            release: "1.4.0".into(),
            kind,
            reason: reason.into(),
            exit,
        }
    }

    fn exit(reason: &str, last_stderr: &[&str]) -> LastExit {
        LastExit {
            code: Some(1),
            signal: None,
            reason: reason.into(),
            at: DateTime::<Utc>::UNIX_EPOCH,
            out_of_memory: false,
            uptime_ms: 50,
            last_stderr: last_stderr.iter().map(|line| (*line).to_owned()).collect(),
        }
    }

    fn check_line(lines: &[&str], expected: Option<&str>) {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(telling_line(&lines), expected);
    }

    #[test]
    fn the_error_that_node_died_of_is_found_among_its_last_words() {
        check_line(
            &[
                "listening",
                "/app/server.js:3",
                "    throw new Error(\"no route to db-1\");",
                "    ^",
                "",
                "Error: no route to db-1",
                "    at Object.<anonymous> (/app/server.js:3:9)",
                "    at node:internal/main/run_main_module:36:49",
                "",
                "Node.js v22.11.0",
            ],
            Some("Error: no route to db-1"),
        );
        check_line(
            &["Error: listen EADDRINUSE: address already in use :::3000", "  code: 'EADDRINUSE',", "}"],
            Some("Error: listen EADDRINUSE: address already in use :::3000"),
        );
        check_line(
            &["TypeError [ERR_INVALID_ARG_TYPE]: The \"path\" argument", "    at x"],
            Some("TypeError [ERR_INVALID_ARG_TYPE]: The \"path\" argument"),
        );
        check_line(&["going down", "    at x (y:1)", "}"], Some("going down"));
        check_line(&["", "   "], None);
        check_line(&[], None);
    }

    #[test]
    fn an_exit_is_told_with_its_cause_and_the_supervisor_is_asked_for_the_rest() {
        let exited = exit("exited with code 1 after 50 ms", &["Error: no route"]);
        let told = process_event(
            event(ProcessEventKind::Exited, "exited with code 1 after 50 ms", Some(exited.clone())),
            None,
        );
        assert_eq!(told.reason, "exited with code 1 after 50 ms: Error: no route");
        assert_eq!((told.instance, told.restarts), (Some(3), None));
        assert_eq!(told.exit.unwrap().code, Some(1));

        let mut app = crate::runner::fake::status_of("web", "1.4.0", 4);
        app.instances[3].restarts = 7;
        app.instances[3].last_exit = Some(exited);
        let without = || event(ProcessEventKind::Exited, "exited with code 1 after 50 ms", None);
        let told = process_event(without(), Some(&app));
        assert_eq!(told.restarts, Some(7));
        assert_eq!(told.exit.unwrap().uptime_ms, 50);
        app.instances[3].last_exit.as_mut().unwrap().reason = "exited with code 2 after 9 ms".into();
        assert_eq!(process_event(without(), Some(&app)).exit, None, "that was another process");
    }

    #[test]
    fn what_was_asked_for_is_told_once() {
        use ProcessEventKind as Kind;
        let told = |kinds: &[Kind]| {
            let mut courses = Courses::default();
            let of_interest = |kind: &&Kind| courses.of_interest(&event(**kind, "", None));
            kinds.iter().filter(of_interest).copied().collect::<Vec<_>>()
        };
        let again = [Kind::Stopping, Kind::Exited, Kind::Restarting, Kind::Started, Kind::Ready];
        assert_eq!(told(&again), [Kind::Restarting, Kind::Ready], "somebody restarted it");
        let due = [&[Kind::CronRestart], again.as_slice(), again.as_slice()].concat();
        assert_eq!(told(&due), [Kind::CronRestart, Kind::Ready, Kind::Restarting, Kind::Ready]);
        assert_eq!(told(&[Kind::Stopping, Kind::Exited, Kind::Stopped]), [Kind::Stopped]);
        let crash = [Kind::Exited, Kind::BackingOff, Kind::Restarting, Kind::Started, Kind::Exited];
        assert_eq!(told(&crash), [Kind::Exited, Kind::Exited]);
        let unwell = [Kind::Stopping, Kind::Exited, Kind::BackingOff, Kind::Restarting, Kind::Started];
        assert_eq!(told(&unwell), [Kind::BackingOff], "it never became ready and was ended");
    }
}

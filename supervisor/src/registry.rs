//! The one task that knows which applications there are, and hands requests to them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_supervisor_protocol::{AppSpec, AppStatus, DesiredRun, ErrorCode, Progress, Reply};
use tokio::sync::{mpsc, oneshot};

use crate::app::{App, Before, Command, SavedState, Shared, Verb};
use crate::cron;
use crate::process::{tree, users};
use crate::saved::{SavedApp, SavedApps};

/// What clients ask.
#[derive(Debug)]
pub(crate) enum Ask {
    Apply {
        spec: Box<AppSpec>,
        progress: Option<mpsc::Sender<Progress>>,
        reply: oneshot::Sender<Reply>,
    },
    Do {
        app: String,
        verb: Verb,
        reply: oneshot::Sender<Reply>,
    },
    /// The specs in force, of one application or all.
    Specs {
        app: Option<String>,
        reply: oneshot::Sender<Reply>,
    },
    List {
        reply: oneshot::Sender<Reply>,
    },
    /// Stop everything; answered when all is down.
    Shutdown {
        reply: oneshot::Sender<Reply>,
    },
    /// Leave everything as it is, parked; answered when another supervisor can go on.
    HandOver {
        done: oneshot::Sender<()>,
    },
}

/// What applications tell.
#[derive(Debug)]
pub(crate) enum FromApp {
    /// Remember (or forget) it across a restart.
    Save { name: String, saved: Option<SavedApp> },
    /// Its task has ended; these commands came too late for it.
    Ended { name: String, leftover: Vec<Command> },
}

/// An application answers about itself without waiting for anything; longer means it is broken.
const STATUS_PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Registry {
    shared: Shared,
    saved: SavedApps,
    apps: BTreeMap<String, mpsc::UnboundedSender<Command>>,
    asks: mpsc::Receiver<Ask>,
    from_apps: mpsc::UnboundedReceiver<FromApp>,
    to_us: mpsc::UnboundedSender<FromApp>,
    /// Commands for applications whose task is just ending.
    late: BTreeMap<String, Vec<Command>>,
    shutting_down: Option<Vec<oneshot::Sender<Reply>>>,
}

impl Registry {
    /// Starts the task, with the applications of the supervisor before.
    pub(crate) fn start(
        shared: Shared,
        saved: SavedApps,
        resumed: Vec<(String, SavedState)>,
    ) -> mpsc::Sender<Ask> {
        let (sender, asks) = mpsc::channel(64);
        let (to_us, from_apps) = mpsc::unbounded_channel();
        let mut registry = Self {
            shared,
            saved,
            apps: BTreeMap::new(),
            asks,
            from_apps,
            to_us,
            late: BTreeMap::new(),
            shutting_down: None,
        };
        for (name, state) in resumed {
            let app = App::resume(name.clone(), state, registry.shared.clone(), registry.to_us.clone());
            registry.apps.insert(name, app);
        }
        tokio::spawn(registry.run());
        sender
    }

    async fn run(mut self) {
        loop {
            tokio::select! {
                ask = self.asks.recv() => match ask {
                    Some(Ask::HandOver { done }) => return self.hand_over(done).await,
                    Some(ask) => self.ask(ask),
                    None => return,
                },
                Some(told) = self.from_apps.recv() => self.told(told),
            }
            if self.apps.is_empty()
                && let Some(replies) = self.shutting_down.take()
            {
                replies.into_iter().for_each(|reply| answer(reply, Reply::Done));
                return;
            }
        }
    }

    /// Ends the task when every application has let go. What clients ask meanwhile is not heard any more.
    async fn hand_over(mut self, done: oneshot::Sender<()>) {
        let ask = |app: &mpsc::UnboundedSender<Command>| {
            let (done, handed_over) = oneshot::channel();
            drop(app.send(Command::HandOver { done }));
            handed_over
        };
        let waiting: Vec<_> = self.apps.values().map(ask).collect();
        for handed_over in waiting {
            // One that ended just now has nothing to hand over.
            drop(handed_over.await);
        }
        while let Ok(told) = self.from_apps.try_recv() {
            if let FromApp::Save { name, saved } = told {
                self.saved.set(&name, saved);
            }
        }
        if done.send(()).is_err() {
            tracing::error!("nobody waits for the applications to be handed over");
        }
    }

    fn ask(&mut self, ask: Ask) {
        match ask {
            // Is answered where the task can end.
            Ask::HandOver { .. } => {}
            Ask::List { reply } => self.list(reply),
            Ask::Shutdown { reply } => {
                for app in self.apps.values() {
                    let (sender, _) = oneshot::channel();
                    // One that has ended just now tells so itself.
                    drop(app.send(Command::Shutdown { reply: sender }));
                }
                self.shutting_down.get_or_insert_default().push(reply);
            }
            Ask::Specs { app, reply } => self.specs(app, reply),
            Ask::Apply { reply, .. } | Ask::Do { reply, .. } if self.shutting_down.is_some() => {
                answer(reply, refusal(ErrorCode::ShuttingDown, "the supervisor is stopping".to_owned()));
            }
            Ask::Apply { spec, progress, reply } => self.apply(*spec, progress, reply),
            Ask::Do { app, verb, reply } => match (self.waiting_to_be_applied(&app).cloned(), verb) {
                (None, verb) => self.pass_on(&app, verb, reply),
                (Some(saved), Verb::Stop(named)) => {
                    let (desired, stopped) = match named.is_empty() {
                        true => (DesiredRun::Stopped, saved.instances.clone()),
                        false => (saved.desired, saved.stopped.iter().copied().chain(named).collect()),
                    };
                    self.saved.set(&app, Some(SavedApp { desired, stopped, ..saved }));
                    answer(reply, Reply::Done);
                }
                (Some(saved), Verb::Start(named)) => {
                    let forget = |number: &&u32| !named.is_empty() && !named.contains(number);
                    let stopped = saved.stopped.iter().filter(forget).copied().collect();
                    let saved = SavedApp { desired: DesiredRun::Running, stopped, ..saved };
                    self.saved.set(&app, Some(saved));
                    answer(reply, awaiting_apply(&app));
                }
                (Some(_), Verb::Delete(named)) if named.is_empty() => {
                    self.saved.set(&app, None);
                    answer(reply, Reply::Done);
                }
                (Some(_), _) => answer(reply, awaiting_apply(&app)),
            },
        }
    }

    fn apply(
        &mut self,
        spec: AppSpec,
        progress: Option<mpsc::Sender<Progress>>,
        reply: oneshot::Sender<Reply>,
    ) {
        let mut problems: Vec<String> = spec.problems().iter().map(ToString::to_string).collect();
        if tree::signal_number(&spec.kill_signal).is_none() {
            problems.push(format!(
                "kill_signal: {:?} is not a signal; use for example SIGTERM",
                spec.kill_signal
            ));
        }
        if let Some(Err(problem)) = spec.cron_restart.as_deref().map(cron::parse) {
            problems.push(format!("cron_restart: {problem}"));
        }
        if let Err(problem) = users::resolve(&spec) {
            problems.push(format!("user: {problem}"));
        }
        if !problems.is_empty() {
            let message = format!("the spec of {:?} cannot be run: {}", spec.name, problems.join("; "));
            answer(reply, refusal(ErrorCode::InvalidSpec, message));
            return;
        }
        let before = self.waiting_to_be_applied(&spec.name).and_then(|saved| {
            let same = saved.spec_digest == spec.spec_digest;
            match (same, saved.desired) {
                (true, desired) => Some(Before {
                    stopped: desired == DesiredRun::Stopped,
                    instances: Some(saved.instances.clone()).filter(|numbers| !numbers.is_empty()),
                    stopped_instances: saved.stopped.clone(),
                }),
                (false, DesiredRun::Running) => Some(Before::default()),
                // A new spec is for running, unless it says otherwise.
                (false, DesiredRun::Stopped) => None,
            }
        });
        let name = spec.name.clone();
        let command = Command::Apply { before, progress, reply, spec: Arc::new(spec) };
        self.dispatch(name, command);
    }

    /// Gives a command to its application, which is started if there is none.
    fn dispatch(&mut self, name: String, command: Command) {
        let start = || App::start(name.clone(), self.shared.clone(), self.to_us.clone());
        let app = self.apps.entry(name.clone()).or_insert_with(start);
        if let Err(mpsc::error::SendError(command)) = app.send(command) {
            self.late.entry(name).or_default().push(command);
        }
    }

    fn pass_on(&mut self, name: &str, verb: Verb, reply: oneshot::Sender<Reply>) {
        if self.apps.contains_key(name) {
            self.dispatch(name.to_owned(), Command::Do { verb, reply });
        } else if matches!(verb, Verb::Delete(_)) {
            // It is not there, as was wanted.
            answer(reply, Reply::Done);
        } else {
            answer(reply, self.unknown(name));
        }
    }

    fn unknown(&self, name: &str) -> Reply {
        let known: Vec<&str> = self.apps.keys().map(String::as_str).collect();
        let hint = match known.is_empty() {
            true => "there are none".to_owned(),
            false => format!("there are: {}", known.join(", ")),
        };
        refusal(ErrorCode::UnknownApp, format!("there is no application {name:?}; {hint}"))
    }

    fn specs(&self, app: Option<String>, reply: oneshot::Sender<Reply>) {
        if let Some(name) = app.as_ref().filter(|name| !self.apps.contains_key(*name)) {
            let refused = match self.waiting_to_be_applied(name) {
                Some(_) => awaiting_apply(name),
                None => self.unknown(name),
            };
            return answer(reply, refused);
        }
        let wanted = self.apps.iter().filter(|(name, _)| app.as_ref().is_none_or(|app| app == *name));
        let ask = |(_, app): (&String, &mpsc::UnboundedSender<Command>)| {
            let (reply, answer) = oneshot::channel();
            // One that has ended just now has no spec.
            drop(app.send(Command::Spec { reply }));
            answer
        };
        let answers: Vec<_> = wanted.map(ask).collect();
        tokio::spawn(async move {
            let mut specs = Vec::new();
            for answer in answers {
                if let Ok(Ok(Some(spec))) = tokio::time::timeout(STATUS_PATIENCE, answer).await {
                    specs.push(spec);
                }
            }
            answer(reply, Reply::Specs { specs });
        });
    }

    /// Known from an earlier run, not applied since.
    fn waiting_to_be_applied(&self, name: &str) -> Option<&SavedApp> {
        self.saved.get(name).filter(|_| !self.apps.contains_key(name))
    }

    fn list(&self, reply: oneshot::Sender<Reply>) {
        let mut apps: Vec<AppStatus> = self
            .saved
            .all()
            .filter(|saved| !self.apps.contains_key(&saved.name))
            .map(|saved| AppStatus {
                name: saved.name.clone(),
                namespace: String::new(),
                release: saved.release.clone(),
                release_id: saved.release_id.clone(),
                spec_digest: saved.spec_digest.clone(),
                exec_mode: saved.exec_mode,
                desired: saved.desired,
                replacing: false,
                awaiting_apply: true,
                listening: Vec::new(),
                next_cron_restart: None,
                watching: false,
                watch_failure: None,
                last_failure: None,
                instances: Vec::new(),
            })
            .collect();
        let answers: Vec<_> = self
            .apps
            .values()
            .map(|app| {
                let (reply, answer) = oneshot::channel();
                drop(app.send(Command::Status { reply }));
                answer
            })
            .collect();
        tokio::spawn(async move {
            for answer in answers {
                if let Ok(Ok(Some(status))) = tokio::time::timeout(STATUS_PATIENCE, answer).await {
                    apps.push(status);
                }
            }
            apps.sort_by(|one, other| one.name.cmp(&other.name));
            answer(reply, Reply::Apps { apps });
        });
    }

    fn told(&mut self, told: FromApp) {
        match told {
            // While everything is stopped for the end, what runs must be remembered as it was.
            FromApp::Save { .. } if self.shutting_down.is_some() => {}
            FromApp::Save { name, saved } => self.saved.set(&name, saved),
            FromApp::Ended { name, leftover } => {
                self.apps.remove(&name);
                let late = self.late.remove(&name).unwrap_or_default();
                for command in leftover.into_iter().chain(late) {
                    match command {
                        Command::Apply { .. } if self.shutting_down.is_none() => {
                            self.dispatch(name.clone(), command);
                        }
                        Command::Do { verb: Verb::Delete(_), reply } | Command::Shutdown { reply } => {
                            answer(reply, Reply::Done);
                        }
                        Command::Do { reply, .. } => {
                            let message = format!("application {name:?} was deleted meanwhile");
                            answer(reply, refusal(ErrorCode::UnknownApp, message));
                        }
                        Command::Apply { reply, .. } => {
                            answer(
                                reply,
                                refusal(ErrorCode::ShuttingDown, "the supervisor is stopping".to_owned()),
                            );
                        }
                        Command::Status { .. } | Command::Spec { .. } | Command::HandOver { .. } => {}
                    }
                }
            }
        }
    }
}

fn refusal(code: ErrorCode, message: String) -> Reply {
    Reply::Error { code, message }
}

fn awaiting_apply(app: &str) -> Reply {
    refusal(
        ErrorCode::AwaitingApply,
        format!(
            "application {app:?} is known from before the supervisor restarted; the agent has to apply it first"
        ),
    )
}

/// Answers a client; one that has hung up does not matter.
fn answer(reply: oneshot::Sender<Reply>, with: Reply) {
    drop(reply.send(with));
}

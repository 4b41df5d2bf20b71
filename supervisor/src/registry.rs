//! The one task that knows which applications there are, and hands requests to them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_supervisor_protocol::{AppSpec, AppStatus, DesiredRun, ErrorCode, Progress, Reply};
use tokio::sync::{mpsc, oneshot};

use crate::app::{App, Command, SavedState, Shared};
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
    Stop {
        app: String,
        reply: oneshot::Sender<Reply>,
    },
    Start {
        app: String,
        reply: oneshot::Sender<Reply>,
    },
    Restart {
        app: String,
        reply: oneshot::Sender<Reply>,
    },
    Delete {
        app: String,
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
    shutting_down: Option<oneshot::Sender<Reply>>,
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
                && let Some(reply) = self.shutting_down.take()
            {
                answer(reply, Reply::Done);
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
                self.shutting_down = Some(reply);
            }
            Ask::Apply { reply, .. }
            | Ask::Stop { reply, .. }
            | Ask::Start { reply, .. }
            | Ask::Restart { reply, .. }
            | Ask::Delete { reply, .. }
                if self.shutting_down.is_some() =>
            {
                answer(reply, refusal(ErrorCode::ShuttingDown, "the supervisor is stopping".to_owned()));
            }
            Ask::Apply { spec, progress, reply } => self.apply(*spec, progress, reply),
            Ask::Stop { app, reply } => {
                if let Some(saved) = self.waiting_to_be_applied(&app).cloned() {
                    self.saved.set(&app, Some(SavedApp { desired: DesiredRun::Stopped, ..saved }));
                    answer(reply, Reply::Done);
                } else {
                    self.pass_on(&app, reply, |reply| Command::Stop { reply });
                }
            }
            Ask::Start { app, reply } => {
                if let Some(saved) = self.waiting_to_be_applied(&app).cloned() {
                    self.saved.set(&app, Some(SavedApp { desired: DesiredRun::Running, ..saved }));
                    answer(reply, awaiting_apply(&app));
                } else {
                    self.pass_on(&app, reply, |reply| Command::Start { reply });
                }
            }
            Ask::Restart { app, reply } => {
                if self.waiting_to_be_applied(&app).is_some() {
                    answer(reply, awaiting_apply(&app));
                } else {
                    self.pass_on(&app, reply, |reply| Command::Restart { reply });
                }
            }
            Ask::Delete { app, reply } => {
                if self.apps.contains_key(&app) {
                    self.pass_on(&app, reply, |reply| Command::Delete { reply });
                } else {
                    self.saved.set(&app, None);
                    answer(reply, Reply::Done);
                }
            }
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
        if let Err(problem) = users::resolve(&spec) {
            problems.push(format!("user: {problem}"));
        }
        if !problems.is_empty() {
            let message = format!("the spec of {:?} cannot be run: {}", spec.name, problems.join("; "));
            answer(reply, refusal(ErrorCode::InvalidSpec, message));
            return;
        }
        let stay_stopped = self.waiting_to_be_applied(&spec.name).is_some_and(|saved| {
            saved.desired == DesiredRun::Stopped && saved.spec_digest == spec.spec_digest
        });
        let name = spec.name.clone();
        let command = Command::Apply { stay_stopped, progress, reply, spec: Arc::new(spec) };
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

    fn pass_on(
        &mut self,
        name: &str,
        reply: oneshot::Sender<Reply>,
        command: impl FnOnce(oneshot::Sender<Reply>) -> Command,
    ) {
        match self.apps.contains_key(name) {
            true => self.dispatch(name.to_owned(), command(reply)),
            false => {
                let known: Vec<&str> = self.apps.keys().map(String::as_str).collect();
                let hint = if known.is_empty() {
                    "there are none".to_owned()
                } else {
                    format!("there are: {}", known.join(", "))
                };
                answer(
                    reply,
                    refusal(ErrorCode::UnknownApp, format!("there is no application {name:?}; {hint}")),
                );
            }
        }
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
                        Command::Delete { reply } | Command::Shutdown { reply } => answer(reply, Reply::Done),
                        Command::Restart { reply } | Command::Start { reply } | Command::Stop { reply } => {
                            answer(
                                reply,
                                refusal(
                                    ErrorCode::UnknownApp,
                                    format!("application {name:?} was deleted meanwhile"),
                                ),
                            )
                        }
                        Command::Apply { reply, .. } => {
                            answer(
                                reply,
                                refusal(ErrorCode::ShuttingDown, "the supervisor is stopping".to_owned()),
                            );
                        }
                        Command::Status { .. } | Command::HandOver { .. } => {}
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

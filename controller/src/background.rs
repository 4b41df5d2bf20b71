//! Work that nobody asked for at this moment. Each task reads the world and calls one use case; a nudge only makes it look
//! earlier, so a lost one costs an interval.
//!
//! Start here: [`TASKS`], the list of everything that runs.

use futures_util::{FutureExt as _, future::BoxFuture};
use muster_app::{App, AppError};
use std::{panic::AssertUnwindSafe, time::Duration};
use tokio::{sync::watch, task::JoinSet, time::Instant};

/// One piece of recurring work.
pub struct Task {
    /// Names it in logs.
    pub name: &'static str,
    /// How long it rests after a run.
    pub interval: Duration,
    /// Ends its rest early; most tasks have none.
    pub nudge: Option<fn(App) -> BoxFuture<'static, ()>>,
    /// One run.
    pub run: fn(App) -> BoxFuture<'static, Result<(), AppError>>,
}

/// A run that takes longer is given up; the next one starts anew from the state of the world.
const RUN_TIMEOUT: Duration = Duration::from_secs(120);

/// Everything that runs in the background.
pub const TASKS: &[Task] = &[
    Task {
        name: "rollout_driver",
        interval: Duration::from_secs(1),
        nudge: Some(|app| Box::pin(async move { app.rollouts_wait().await })),
        run: |app| Box::pin(async move { app.rollouts_drive().await }),
    },
    Task {
        name: "node_liveness",
        interval: Duration::from_secs(1),
        nudge: None,
        run: |app| Box::pin(async move { app.liveness_scan().await }),
    },
    Task {
        name: "turns",
        interval: Duration::from_secs(5),
        nudge: None,
        run: |app| Box::pin(async move { app.turns_maintain().await }),
    },
    Task {
        name: "mode_overrides",
        interval: Duration::from_secs(5),
        nudge: None,
        run: |app| Box::pin(async move { app.mode_overrides_expire().await }),
    },
    Task {
        name: "metrics_retention",
        interval: Duration::from_secs(60),
        nudge: None,
        run: |app| Box::pin(async move { app.metrics_maintain(app.now()).await }),
    },
    Task {
        name: "events_retention",
        interval: Duration::from_secs(3600),
        nudge: None,
        run: |app| Box::pin(async move { app.events_maintain().await }),
    },
    Task {
        name: "process_events_retention",
        interval: Duration::from_secs(3600),
        nudge: None,
        run: |app| Box::pin(async move { app.process_events_maintain().await }),
    },
    Task {
        name: "resource_changes_retention",
        interval: Duration::from_secs(3600),
        nudge: None,
        run: |app| Box::pin(async move { app.resource_changes_maintain().await }),
    },
    Task {
        name: "sessions_retention",
        interval: Duration::from_secs(600),
        nudge: None,
        run: |app| Box::pin(async move { app.sessions_forget().await.map(drop) }),
    },
];

/// Runs every task until `shutdown` says so; returns when the runs under way have ended.
pub async fn run(app: App, shutdown: watch::Receiver<bool>) {
    let mut tasks = JoinSet::new();
    for task in TASKS {
        tasks.spawn(repeat(task, app.clone(), shutdown.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(error = &error as &dyn std::error::Error, "a background task ended unexpectedly");
        }
    }
}

async fn repeat(task: &'static Task, app: App, mut shutdown: watch::Receiver<bool>) {
    let mut failing_since: Option<Instant> = None;
    loop {
        let error = attempt((task.run)(app.clone())).await;
        // Said once when it begins and once when it ends: a database that is away for a minute is one line, not sixty.
        match (error, failing_since) {
            (Some(error), None) => {
                failing_since = Some(Instant::now());
                tracing::error!(task = task.name, error, "a background task fails; it is tried again");
            }
            (None, Some(since)) => {
                failing_since = None;
                tracing::info!(
                    task = task.name,
                    failed_for_s = since.elapsed().as_secs(),
                    "the background task works again"
                );
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        let nudge = async {
            match task.nudge {
                Some(nudge) if failing_since.is_none() => nudge(app.clone()).await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(task.interval) => {}
            () = nudge => {}
            _ = shutdown.wait_for(|stop| *stop) => return,
        }
    }
}

/// One run; why it failed, if it did. A defect ends the run, not the task: a controller without its rollout driver would
/// look well and move nothing.
async fn attempt(run: BoxFuture<'static, Result<(), AppError>>) -> Option<String> {
    // What a run leaves behind is in the database, where its transaction is rolled back.
    match tokio::time::timeout(RUN_TIMEOUT, AssertUnwindSafe(run).catch_unwind()).await {
        Ok(Ok(Ok(()))) => None,
        Ok(Ok(Err(error))) => Some(chain(&error)),
        Ok(Err(_)) => Some("it panicked, which is a defect; the lines before this one say where".to_owned()),
        Err(_) => Some(format!("it did not end within {} s", RUN_TIMEOUT.as_secs())),
    }
}

/// An error with its causes, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_run_that_panics_is_a_run_that_failed() {
        let failed = attempt(Box::pin(async { panic!("a defect") })).await;
        assert!(failed.is_some_and(|why| why.contains("panicked")));
        assert_eq!(attempt(Box::pin(async { Ok(()) })).await, None);
    }
}

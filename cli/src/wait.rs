//! Waiting for something to come true, through restarts of the controller, up to a deadline.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::failure::{Failure, Result};
use crate::output::Output;

/// The pause after the first look: most changes take a few tenths of a second, and nobody should wait for the waiting.
const FIRST_PAUSE: Duration = Duration::from_millis(40);
/// The pause of a long wait.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// Asks again and again until `look` gives a result. A failure that may pass is tried again; any other ends the wait.
///
/// `work` is what goes on when we stop waiting; `check` is the command that shows how it stands.
pub(crate) async fn wait_for<T, F: Future<Output = Result<Option<T>>>>(
    output: &Output,
    timeout: Duration,
    work: &str,
    check: &str,
    look: impl FnMut() -> F,
) -> Result<T> {
    let hint = format!("it goes on by itself; see `{check}`");
    tokio::select! {
        result = poll(output, timeout, work, &hint, look) => result,
        interrupted = tokio::signal::ctrl_c() => Err(match interrupted {
            Ok(()) => Failure::interrupted(format!("stopped waiting for {work}")).hint(hint),
            Err(error) => Failure::of("cannot listen for Ctrl-C", &error),
        }),
    }
}

async fn poll<T, F: Future<Output = Result<Option<T>>>>(
    output: &Output,
    timeout: Duration,
    work: &str,
    hint: &str,
    mut look: impl FnMut() -> F,
) -> Result<T> {
    let started = Instant::now();
    let mut retry = POLL_INTERVAL;
    let mut next = FIRST_PAUSE;
    let mut lost = false;
    loop {
        // One look may hang, too, when the controller's host is gone.
        let left = timeout.saturating_sub(started.elapsed());
        let pause = match tokio::time::timeout(left, look()).await {
            Ok(Ok(Some(result))) => return Ok(result),
            Ok(Ok(None)) => {
                if std::mem::take(&mut lost) {
                    output.note("the controller is back");
                }
                retry = POLL_INTERVAL;
                let pause = next;
                next = (next * 3 / 2).min(POLL_INTERVAL);
                pause
            }
            Ok(Err(failure)) if failure.transient => {
                if !std::mem::replace(&mut lost, true) {
                    output.warning(&format!("{}; trying again", failure.message));
                }
                let pause = retry;
                retry = (retry * 2).min(LONGEST_RETRY);
                pause
            }
            Ok(Err(failure)) => return Err(failure),
            Err(_) => Duration::ZERO,
        };
        let left = timeout.saturating_sub(started.elapsed());
        if left.is_zero() {
            let waited = crate::format::span(timeout.as_secs());
            return Err(Failure::timed_out(format!("{work} did not end within {waited}")).hint(hint));
        }
        sleep(pause.min(left)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::failure::Exit;
    use crate::output::OutputFormat;

    async fn wait(looks: impl Fn(u32) -> Result<Option<u32>>) -> Result<u32> {
        let count = Cell::new(0);
        let output = Output::new(OutputFormat::Table);
        wait_for(&output, Duration::from_secs(60), "the test", "muster help", || {
            count.set(count.get() + 1);
            let result = looks(count.get());
            async move { result }
        })
        .await
    }

    fn paused() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    }

    #[test]
    fn a_restart_of_the_controller_does_not_end_the_wait() {
        let result = paused().block_on(wait(|count| match count {
            1 | 6 => Ok(None),
            2..=5 => Err(Failure::failed("cannot reach the controller").transient()),
            _ => Ok(Some(count)),
        }));
        assert_eq!(result.unwrap(), 7);
    }

    #[test]
    fn what_is_soon_over_is_soon_noticed_and_a_long_wait_asks_seldom() {
        let looks_within = |seconds: u64| {
            let count = Cell::new(0);
            let output = Output::new(OutputFormat::Table);
            let timeout = Duration::from_secs(seconds);
            let waiting = wait_for::<(), _>(&output, timeout, "the test", "muster help", || {
                count.set(count.get() + 1);
                async { Ok(None) }
            });
            paused().block_on(waiting).unwrap_err();
            count.get()
        };
        assert!(looks_within(1) >= 6, "{}", looks_within(1));
        assert!(looks_within(601) - looks_within(1) <= 1_202);
    }

    #[test]
    fn other_failures_end_it_at_once() {
        let result = paused().block_on(wait(|_| Err(Failure::failed("gone"))));
        assert_eq!(result.unwrap_err().message, "gone");
    }

    #[test]
    fn the_deadline_ends_it_also_while_the_controller_is_away() {
        for answer in [Ok(None), Err(Failure::failed("away").transient())] {
            let failure = paused().block_on(wait(|_| answer.clone())).unwrap_err();
            assert_eq!(failure.exit, Exit::TimedOut);
            assert!(failure.message.contains("1 m") && failure.hint.is_some(), "{failure:?}");
        }
    }
}

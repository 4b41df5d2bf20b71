//! Waiting for a condition, with a bound.

use std::time::Duration;
use tokio::time::Instant;

/// Far more than anything here takes, so that a slow machine does not fail a test and a stuck one does.
const BOUND: Duration = Duration::from_secs(60);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until `look` answers with something and gives that back. Panics with `what` when it does not in time.
#[track_caller]
pub fn eventually<T, F>(what: &str, mut look: impl FnMut() -> F) -> impl Future<Output = T>
where
    F: Future<Output = Option<T>>,
{
    let what = what.to_owned();
    let place = std::panic::Location::caller();
    async move {
        let since = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(since.elapsed() < BOUND, "{place}: waited {BOUND:?} in vain for: {what}");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

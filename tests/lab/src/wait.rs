//! Waiting for a condition, with a bound.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(25);

/// Looks until there is an answer, and gives that back. Fails, naming `what` and the last error, when there is none
/// within the bound.
pub fn wait_for<T>(what: &str, bound: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + bound;
    loop {
        let last = match look() {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if Instant::now() >= deadline {
            let why = last.map(|error| format!("; the last look: {error:#}")).unwrap_or_default();
            bail!("waited {bound:?} in vain for: {what}{why}");
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_in_vain_names_the_condition_and_the_last_error() {
        let error = wait_for::<()>("the moon", Duration::ZERO, || bail!("too far")).unwrap_err();
        assert_eq!(error.to_string(), "waited 0ns in vain for: the moon; the last look: too far");
    }

    #[test]
    fn an_error_on_the_way_does_not_end_the_wait() {
        let mut looks = 0;
        let found = wait_for("the third look", Duration::from_secs(60), || {
            looks += 1;
            match looks {
                1 => bail!("not yet"),
                2 => Ok(None),
                _ => Ok(Some(looks)),
            }
        });
        assert_eq!(found.unwrap(), 3);
    }
}

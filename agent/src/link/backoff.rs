//! Pauses between attempts: doubled each time, with jitter over the whole of it, so that a fleet that lost its controller
//! does not come back as one.

use std::time::Duration;

/// The pauses.
#[derive(Debug, Clone)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    attempts: u32,
}

impl Backoff {
    /// Pauses from about `min` to at most `max`.
    pub fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, attempts: 0 }
    }

    /// The next pause: between half and the whole of the doubled one.
    pub fn next_pause(&mut self) -> Duration {
        let whole = self.min.saturating_mul(2_u32.saturating_pow(self.attempts.min(20))).min(self.max);
        self.attempts = self.attempts.saturating_add(1);
        whole.mul_f64(0.5 + 0.5 * rand::random::<f64>())
    }

    /// Begins anew, after something worked.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_begin_anew() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let pauses: Vec<_> = (0..40).map(|_| backoff.next_pause()).collect();
        assert!(pauses[0] <= Duration::from_millis(100));
        assert!(
            pauses
                .iter()
                .all(|pause| *pause <= Duration::from_secs(1) && *pause >= Duration::from_millis(50))
        );
        assert!(pauses[39] >= Duration::from_millis(500));
        backoff.reset();
        assert!(backoff.next_pause() <= Duration::from_millis(100));
    }
}

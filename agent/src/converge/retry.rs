//! Holds back what failed and costs much: a release that does not start is not started at every poll. What is cheap (a
//! file, a download that broke off) is tried at each run and does not come here.

use chrono::{DateTime, SecondsFormat, Utc};
use muster_domain::{Digest, resource::ResourceKey};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The shortest pause after a failure is so many times the shortest before another try because something was mended.
const SPACED: u32 = 12;

#[derive(Debug)]
pub(super) struct Retries {
    min: Duration,
    max: Duration,
    attempts: BTreeMap<ResourceKey, Attempt>,
}

#[derive(Debug)]
struct Attempt {
    /// What was tried: something else is tried at once.
    digest: Digest,
    count: u32,
    tried_at: Instant,
    next_at: Instant,
    detail: String,
    /// What it hung on when it failed: somebody may have mended that since.
    circumstances: Option<Digest>,
}

impl Retries {
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, attempts: BTreeMap::new() }
    }

    /// The detail to report while the resource is held back.
    pub(super) fn held_back(&self, key: &ResourceKey, digest: Digest, at: Instant) -> Option<String> {
        let attempt = self.attempts.get(key)?;
        (attempt.digest == digest && at < attempt.next_at).then(|| attempt.detail.clone())
    }

    /// How long a resource that is held back has to wait although what it hangs on is another than when it failed; `None`
    /// when it is the same. A while: somebody who writes without pause is not answered each time.
    pub(super) fn changed_since(
        &self,
        key: &ResourceKey,
        circumstances: Digest,
        at: Instant,
    ) -> Option<Duration> {
        let attempt = self.attempts.get(key)?;
        let changed = attempt.circumstances.is_some_and(|known| known != circumstances);
        let earliest = attempt.tried_at + self.min / SPACED;
        changed.then(|| earliest.saturating_duration_since(at))
    }

    /// Notes a failure, and says it together with the time of the next try.
    pub(super) fn failed(
        &mut self,
        key: &ResourceKey,
        digest: Digest,
        circumstances: Option<Digest>,
        reason: String,
        (at, now): (Instant, DateTime<Utc>),
    ) -> String {
        let same = |attempt: &&Attempt| {
            attempt.digest == digest
                && (attempt.circumstances == circumstances
                    || attempt.circumstances.is_none()
                    || circumstances.is_none())
        };
        let before = self.attempts.get(key).filter(same).map_or(0, |attempt| attempt.count);
        let pause = self.min.saturating_mul(2_u32.saturating_pow(before.min(16))).min(self.max);
        let next = now + chrono::TimeDelta::from_std(pause).unwrap_or(chrono::TimeDelta::MAX);
        let detail = format!(
            "{reason}\nattempt {}, next try at {}",
            before + 1,
            next.to_rfc3339_opts(SecondsFormat::Secs, true)
        );
        let next_at = at + pause;
        let (count, tried_at) = (before + 1, at);
        let attempt = Attempt { digest, count, tried_at, next_at, detail: detail.clone(), circumstances };
        self.attempts.insert(key.clone(), attempt);
        detail
    }

    pub(super) fn succeeded(&mut self, key: &ResourceKey) {
        self.attempts.remove(key);
    }

    /// As if the last tries had been made so much earlier, and the next ones were as far away as they are.
    #[cfg(test)]
    pub(super) fn tried_earlier(&mut self, by: Duration) {
        for attempt in self.attempts.values_mut() {
            attempt.tried_at = attempt.tried_at.checked_sub(by).expect("the machine runs for longer");
        }
    }

    /// A person asked: try everything now.
    pub(super) fn clear(&mut self) {
        self.attempts.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_a_new_desired_state_does_not_wait() {
        let mut retries = Retries::new(Duration::from_secs(60), Duration::from_secs(100));
        let key = ResourceKey::new("application", "web");
        let (old, new) = (Digest::from_bytes([1; 32]), Digest::from_bytes([2; 32]));
        let (at, now) = (Instant::now(), DateTime::UNIX_EPOCH);
        let later = at + Duration::from_secs(61);
        assert_eq!(retries.held_back(&key, old, at), None);
        let detail = retries.failed(&key, old, None, "no port".into(), (at, now));
        assert_eq!(detail, "no port\nattempt 1, next try at 1970-01-01T00:01:00Z");
        assert_eq!(retries.held_back(&key, old, at), Some(detail));
        assert_eq!(retries.held_back(&key, new, at), None);
        assert_eq!(retries.held_back(&key, old, later), None);
        let detail = retries.failed(&key, old, None, "no port".into(), (at, now));
        assert!(detail.ends_with("attempt 2, next try at 1970-01-01T00:01:40Z"));
        retries.clear();
        assert_eq!(retries.held_back(&key, old, at), None);
    }

    #[test]
    fn what_was_mended_is_tried_again_soon_and_not_at_every_moment() {
        let mut retries = Retries::new(Duration::from_secs(60), Duration::from_secs(900));
        let key = ResourceKey::new("service", "web");
        let digest = |n| Digest::from_bytes([n; 32]);
        let (at, now) = (Instant::now(), DateTime::UNIX_EPOCH);
        retries.failed(&key, digest(1), Some(digest(7)), "no".into(), (at, now));
        assert_eq!(retries.changed_since(&key, digest(7), at), None);
        assert_eq!(retries.changed_since(&key, digest(8), at), Some(Duration::from_secs(5)));
        let later = at + Duration::from_secs(5);
        assert_eq!(retries.changed_since(&key, digest(8), later), Some(Duration::ZERO));
        let detail = retries.failed(&key, digest(1), Some(digest(8)), "no".into(), (later, now));
        assert!(detail.contains("attempt 1, next try at 1970-01-01T00:01:00Z"), "{detail}");
        let detail = retries.failed(&key, digest(1), Some(digest(8)), "no".into(), (later, now));
        assert!(detail.contains("attempt 2, next try at 1970-01-01T00:02:00Z"), "{detail}");
    }
}

//! Holds back what failed and costs much: a release that does not start is not started at every poll. What is cheap (a
//! file, a download that broke off) is tried at each run and does not come here.

use chrono::{DateTime, SecondsFormat, Utc};
use muster_domain::{Digest, resource::ResourceKey};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

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
    next_at: Instant,
    detail: String,
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

    /// Notes a failure, and says it together with the time of the next try.
    pub(super) fn failed(
        &mut self,
        key: &ResourceKey,
        digest: Digest,
        reason: String,
        (at, now): (Instant, DateTime<Utc>),
    ) -> String {
        let before = self.attempts.get(key).filter(|attempt| attempt.digest == digest).map_or(0, |a| a.count);
        let pause = self.min.saturating_mul(2_u32.saturating_pow(before.min(16))).min(self.max);
        let next = now + chrono::TimeDelta::from_std(pause).unwrap_or(chrono::TimeDelta::MAX);
        let detail = format!(
            "{reason}\nattempt {}, next try at {}",
            before + 1,
            next.to_rfc3339_opts(SecondsFormat::Secs, true)
        );
        let next_at = at + pause;
        self.attempts
            .insert(key.clone(), Attempt { digest, count: before + 1, next_at, detail: detail.clone() });
        detail
    }

    pub(super) fn succeeded(&mut self, key: &ResourceKey) {
        self.attempts.remove(key);
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
        let detail = retries.failed(&key, old, "no port".into(), (at, now));
        assert_eq!(detail, "no port\nattempt 1, next try at 1970-01-01T00:01:00Z");
        assert_eq!(retries.held_back(&key, old, at), Some(detail));
        assert_eq!(retries.held_back(&key, new, at), None);
        assert_eq!(retries.held_back(&key, old, later), None);
        let detail = retries.failed(&key, old, "no port".into(), (at, now));
        assert!(detail.ends_with("attempt 2, next try at 1970-01-01T00:01:40Z"));
        retries.clear();
        assert_eq!(retries.held_back(&key, old, at), None);
    }
}

//! Failed sign-ins, counted by account and address, so that guessing a password takes longer than anybody lives.
//!
//! Held in memory and bounded: several controllers count apart, which gives a guesser as many more attempts as there are
//! controllers, and no more.

use chrono::{DateTime, TimeDelta, Utc};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Failures of one account from one address before it has to wait: people mistype.
const FREE_PER_ACCOUNT: u32 = 5;
/// Failures from one address, whatever the account: an office behind one address has many people.
const FREE_PER_ADDRESS: u32 = 30;
/// The wait doubles with each further failure, up to this.
const WAIT_AT_MOST_S: i64 = 900;
/// After so long without a failure, everything is forgotten.
const FORGET_AFTER: TimeDelta = TimeDelta::minutes(30);
/// So many accounts and addresses are remembered.
const REMEMBERED: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Account(String, Option<IpAddr>),
    Address(IpAddr),
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: DateTime<Utc>,
}

/// Counts failed sign-ins.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    failures: Mutex<HashMap<Key, Failures>>,
}

/// An IPv6 customer has a /64 at least: its addresses are one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn keys(account: &str, address: Option<IpAddr>) -> impl Iterator<Item = (Key, u32)> {
    let address = address.map(network);
    let account: String = account.chars().take(64).flat_map(char::to_lowercase).collect();
    [
        Some((Key::Account(account, address), FREE_PER_ACCOUNT)),
        address.map(|address| (Key::Address(address), FREE_PER_ADDRESS)),
    ]
    .into_iter()
    .flatten()
}

impl Attempts {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many seconds this account has to wait at this address before it may try; `None`: it may.
    pub(crate) fn wait_s(&self, account: &str, address: Option<IpAddr>, now: DateTime<Utc>) -> Option<u32> {
        let failures = self.lock();
        let until = keys(account, address)
            .filter_map(|(key, free)| {
                let Failures { count, last } = *failures.get(&key)?;
                let over = count.checked_sub(free)?;
                let wait_s = 1_i64.checked_shl(over.min(30)).unwrap_or(WAIT_AT_MOST_S).min(WAIT_AT_MOST_S);
                Some(last + TimeDelta::seconds(wait_s))
            })
            .max()?;
        let left_ms = (until - now).num_milliseconds();
        (left_ms > 0).then(|| u32::try_from((left_ms + 999) / 1000).unwrap_or(u32::MAX))
    }

    /// Notes a failure.
    pub(crate) fn failed(&self, account: &str, address: Option<IpAddr>, now: DateTime<Utc>) {
        let mut failures = self.lock();
        for (key, _) in keys(account, address) {
            if failures.len() >= REMEMBERED && !failures.contains_key(&key) {
                make_room(&mut failures, now);
            }
            let entry = failures.entry(key).or_insert(Failures { count: 0, last: now });
            if now - entry.last >= FORGET_AFTER {
                entry.count = 0;
            }
            entry.count = entry.count.saturating_add(1);
            entry.last = now;
        }
    }

    /// Notes that an account signed in: its failures at this address were typing errors.
    pub(crate) fn succeeded(&self, account: &str, address: Option<IpAddr>) {
        let mut failures = self.lock();
        for (key, _) in keys(account, address).filter(|(key, _)| matches!(key, Key::Account(..))) {
            failures.remove(&key);
        }
    }
}

/// Forgets what is old; under attack from very many addresses, the older half.
fn make_room(failures: &mut HashMap<Key, Failures>, now: DateTime<Utc>) {
    failures.retain(|_, entry| now - entry.last < FORGET_AFTER);
    if failures.len() < REMEMBERED {
        return;
    }
    let mut times: Vec<DateTime<Utc>> = failures.values().map(|entry| entry.last).collect();
    let (_, middle, _) = times.select_nth_unstable(REMEMBERED / 2);
    let middle = *middle;
    failures.retain(|_, entry| entry.last > middle);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_guesser_waits_longer_and_longer_and_others_do_not() {
        let attempts = Attempts::default();
        for _ in 0..FREE_PER_ACCOUNT {
            assert_eq!(attempts.wait_s("amara", address("192.0.2.1"), at(0)), None);
            attempts.failed("amara", address("192.0.2.1"), at(0));
        }
        assert_eq!(attempts.wait_s("amara", address("192.0.2.1"), at(0)), Some(1));
        assert_eq!(attempts.wait_s("AMARA", address("192.0.2.1"), at(0)), Some(1), "case is no way round");
        assert_eq!(attempts.wait_s("amara", address("192.0.2.1"), at(1)), None);
        attempts.failed("amara", address("192.0.2.1"), at(1));
        assert_eq!(attempts.wait_s("amara", address("192.0.2.1"), at(1)), Some(2));
        assert_eq!(attempts.wait_s("amara", address("192.0.2.2"), at(1)), None, "the owner elsewhere");
        assert_eq!(attempts.wait_s("bo", address("192.0.2.1"), at(1)), None);
        for _ in 0..40 {
            attempts.failed("amara", address("192.0.2.1"), at(1));
        }
        assert_eq!(attempts.wait_s("amara", address("192.0.2.1"), at(1)), Some(900));
    }

    #[test]
    fn success_and_time_forgive() {
        let attempts = Attempts::default();
        for _ in 0..FREE_PER_ACCOUNT {
            attempts.failed("amara", None, at(0));
        }
        assert!(attempts.wait_s("amara", None, at(0)).is_some());
        attempts.succeeded("amara", None);
        assert_eq!(attempts.wait_s("amara", None, at(0)), None);
        attempts.failed("amara", None, at(0));
        attempts.failed("amara", None, at(3600));
        assert_eq!(attempts.lock().values().map(|entry| entry.count).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn one_customer_of_ipv6_is_one_address_and_memory_is_bounded() {
        assert_eq!(network("2001:db8::1".parse().unwrap()), network("2001:db8::ffff:1".parse().unwrap()));
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), network("192.0.2.1".parse().unwrap()));
        let attempts = Attempts::default();
        for number in 0..u32::try_from(REMEMBERED).unwrap() + 50 {
            attempts.failed("amara", Some(IpAddr::from(number.to_be_bytes())), at(i64::from(number / 1000)));
        }
        assert!(attempts.lock().len() <= REMEMBERED);
    }
}

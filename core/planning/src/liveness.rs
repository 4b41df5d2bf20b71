//! Whether a node is heard from, and when people are told.

use chrono::{DateTime, Utc};
use muster_domain::{event::Severity, node::Liveness};

/// A beat is late after one and a half intervals: half an interval covers jitter and a slow network, and a person who
/// looks at the node sees at once that something is up.
pub const LATE_AFTER_PERCENT: i64 = 150;
/// A node is down when three beats in a row are overdue, each by that same half interval. One lost beat is a dropped
/// connection, two may be an agent that restarts after an upgrade; three in a row are worth waking somebody.
pub const DOWN_AFTER_PERCENT: i64 = 350;

/// Judges a node that is enrolled and not revoked. A beat from the future (a clock that was set back) counts as just now.
pub fn liveness(last_heartbeat: Option<DateTime<Utc>>, interval_ms: u32, now: DateTime<Utc>) -> Liveness {
    let Some(last) = last_heartbeat else { return Liveness::Pending };
    let silent_ms = (now - last).num_milliseconds();
    let interval_ms = i64::from(interval_ms.max(1));
    if silent_ms > interval_ms * DOWN_AFTER_PERCENT / 100 {
        Liveness::Down
    } else if silent_ms > interval_ms * LATE_AFTER_PERCENT / 100 {
        Liveness::Late
    } else {
        Liveness::Up
    }
}

/// Whether a node is worth waiting for: a late one is, until it is down.
pub const fn reachable(liveness: Liveness) -> bool {
    match liveness {
        Liveness::Up | Liveness::Late => true,
        Liveness::Pending | Liveness::Down | Liveness::Revoked => false,
    }
}

/// A change that people are told about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LivenessChange {
    /// Stable dotted word of the event.
    pub kind: &'static str,
    /// How much they should care.
    pub severity: Severity,
    /// What happened, to stand behind the node's name.
    pub message: &'static str,
}

/// What to tell when a node went from one liveness to another. Late is shown but not told: it is noise until it is down.
/// Revocation is told where it is decided.
pub const fn transition(before: Liveness, after: Liveness) -> Option<LivenessChange> {
    use Liveness::{Down, Late, Pending, Revoked, Up};
    match (before, after) {
        (Up | Late, Down) => Some(LivenessChange {
            kind: "node.down",
            severity: Severity::Error,
            message: "is down: its last three heartbeats are missing",
        }),
        (Down, Up | Late) => {
            Some(LivenessChange { kind: "node.up", severity: Severity::Info, message: "is back" })
        }
        (Pending, Up | Late) => Some(LivenessChange {
            kind: "node.up",
            severity: Severity::Info,
            message: "is up for the first time",
        }),
        (Up | Late, Up | Late | Pending)
        | (Down, Down | Pending)
        | (Pending, Pending | Down)
        | (Revoked, _)
        | (_, Revoked) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn one_missed_beat_is_late_and_three_are_down() {
        let last = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let at = |ms: i64| liveness(Some(last), 10_000, last + TimeDelta::milliseconds(ms));
        for (ms, expected) in [
            (-60_000, Liveness::Up),
            (0, Liveness::Up),
            (15_000, Liveness::Up),
            (15_001, Liveness::Late),
            (25_000, Liveness::Late),
            (35_000, Liveness::Late),
            (35_001, Liveness::Down),
            (i64::from(u32::MAX), Liveness::Down),
        ] {
            assert_eq!(at(ms), expected, "{ms} ms");
        }
        assert_eq!(liveness(None, 10_000, last), Liveness::Pending);
    }

    #[test]
    fn people_are_told_of_down_and_back_and_of_nothing_twice() {
        use Liveness::{Down, Late, Pending, Revoked, Up};
        let kind = |before, after| transition(before, after).map(|change| change.kind);
        assert_eq!(kind(Up, Late), None);
        assert_eq!(kind(Late, Down), Some("node.down"));
        assert_eq!(kind(Up, Down), Some("node.down"));
        assert_eq!(kind(Down, Down), None);
        assert_eq!(kind(Down, Up), Some("node.up"));
        assert_eq!(kind(Pending, Up), Some("node.up"));
        for other in [Up, Late, Down, Pending, Revoked] {
            assert_eq!(kind(Revoked, other), None);
            assert_eq!(kind(other, Revoked), None);
            assert_eq!(kind(other, other), None);
        }
    }
}

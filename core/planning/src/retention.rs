//! How long figures are kept, and what has to be done now to keep that promise: day partitions of raw samples to create
//! and drop, roll-ups to compute, old roll-ups to delete.

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};

/// Raw samples: the days that are kept besides today. Two days show yesterday's incident at full detail.
pub const RAW_KEEP_DAYS: u64 = 2;
/// Partitions are made this many days ahead, so that a controller that was down over midnight finds them.
pub const RAW_AHEAD_DAYS: u64 = 2;
/// A bucket is rolled up this long after its end, to let reports that were queued on a node arrive. What comes later than
/// this stays in the raw samples and is missing from the roll-up.
pub const SETTLE_S: i64 = 120;
/// One run computes at most so much, to keep a transaction short after a long stop; the next run goes on.
pub const RUN_AT_MOST_S: i64 = 6 * 3600;

/// A step of down-sampling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RollUp {
    /// The width of a bucket.
    pub step_s: i64,
    /// The step that it is computed from; `None`: the raw samples.
    pub from_step_s: Option<i64>,
    /// How long its rows are kept.
    pub keep_days: u64,
}

/// Every roll-up, finest first: a coarser one is computed from the one before. A node costs about 11,500 rows of one
/// minute, 8,600 of five minutes and 9,600 of one hour, whatever its age.
pub const ROLL_UPS: [RollUp; 3] = [
    RollUp { step_s: 60, from_step_s: None, keep_days: 8 },
    RollUp { step_s: 300, from_step_s: Some(60), keep_days: 30 },
    RollUp { step_s: 3600, from_step_s: Some(300), keep_days: 400 },
];

/// What to do with the day partitions of raw samples.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartitionPlan {
    /// Days without a partition that need one, in order.
    pub create: Vec<NaiveDate>,
    /// Days whose partition is too old, in order.
    pub drop: Vec<NaiveDate>,
}

/// Compares the partitions that exist with those that should. `raw_settled_to` is how far the finest roll-up has come: a
/// day that is not rolled up yet is kept, however old, so that a long stop loses nothing.
pub fn partitions(
    existing: &[NaiveDate],
    raw_settled_to: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> PartitionPlan {
    let today = now.date_naive();
    let oldest = today - Days::new(RAW_KEEP_DAYS);
    let create = (0..=RAW_KEEP_DAYS + RAW_AHEAD_DAYS)
        .map(|offset| oldest + Days::new(offset))
        .filter(|day| !existing.contains(day))
        .collect();
    let settled = |day: NaiveDate| raw_settled_to.is_some_and(|to| to.date_naive() > day);
    let mut drop: Vec<_> = existing.iter().copied().filter(|&day| day < oldest && settled(day)).collect();
    drop.sort_unstable();
    drop.dedup();
    PartitionPlan { create, drop }
}

/// Buckets to compute: those that begin at or after `from` and end at or before `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueRollUp {
    /// Which step.
    pub roll_up: RollUp,
    /// Begin of the first bucket.
    pub from: DateTime<Utc>,
    /// End of the last one; the new watermark.
    pub to: DateTime<Utc>,
}

/// What is due for one step. `done_to` is its watermark, `source_to` that of the step that it is computed from (`now` for
/// raw samples), `first_sample` the oldest thing there is to begin with.
pub fn due(
    roll_up: RollUp,
    done_to: Option<DateTime<Utc>>,
    source_to: DateTime<Utc>,
    first_sample: Option<DateTime<Utc>>,
) -> Option<DueRollUp> {
    let settle = if roll_up.from_step_s.is_none() { SETTLE_S } else { 0 };
    let from = floor(done_to.or(first_sample)?, roll_up.step_s);
    let settled = floor(source_to - TimeDelta::seconds(settle), roll_up.step_s);
    let to = settled.min(from + TimeDelta::seconds(RUN_AT_MOST_S.max(roll_up.step_s)));
    (to > from).then_some(DueRollUp { roll_up, from, to })
}

/// Rows of a roll-up from before this are deleted.
pub fn delete_before(roll_up: RollUp, now: DateTime<Utc>) -> DateTime<Utc> {
    now - TimeDelta::days(i64::try_from(roll_up.keep_days).expect("a few hundred days"))
}

fn floor(at: DateTime<Utc>, step_s: i64) -> DateTime<Utc> {
    let seconds = at.timestamp().div_euclid(step_s) * step_s;
    DateTime::from_timestamp(seconds, 0).expect("not after a time that exists")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn partitions_are_made_ahead_and_dropped_when_rolled_up() {
        let now = time("2026-03-10T12:00:00Z");
        let existing =
            [day("2026-03-05"), day("2026-03-06"), day("2026-03-08"), day("2026-03-09"), day("2026-03-10")];
        let plan = partitions(&existing, Some(time("2026-03-06T11:00:00Z")), now);
        assert_eq!(plan.create, [day("2026-03-11"), day("2026-03-12")]);
        assert_eq!(plan.drop, [day("2026-03-05")], "the sixth is not rolled up to its end");
        assert_eq!(partitions(&existing, None, now).drop, []);
    }

    #[test]
    fn a_roll_up_covers_whole_settled_buckets() {
        let minute = ROLL_UPS[0];
        let due_at = |now| due(minute, Some(time("2026-03-10T12:00:00Z")), time(now), None);
        assert_eq!(due_at("2026-03-10T12:02:59Z"), None);
        let run = due_at("2026-03-10T12:03:00Z").unwrap();
        assert_eq!((run.from, run.to), (time("2026-03-10T12:00:00Z"), time("2026-03-10T12:01:00Z")));
        assert_eq!(due(minute, None, time("2026-03-10T12:03:00Z"), None), None, "nothing was ever sampled");
    }

    proptest! {
        #[test]
        fn runs_follow_each_other_without_gap_and_come_to_the_end(
            start in 1_600_000_000i64..1_800_000_000, length_s in 0i64..3_000_000, index in 0usize..3
        ) {
            let roll_up = ROLL_UPS[index];
            let first = DateTime::from_timestamp(start, 0).unwrap();
            let source_to = DateTime::from_timestamp(start + length_s, 0).unwrap();
            let mut done_to = None;
            let mut last = floor(first, roll_up.step_s);
            let mut runs = 0;
            while let Some(run) = due(roll_up, done_to, source_to, Some(first)) {
                prop_assert_eq!(run.from, last);
                prop_assert!(run.to > run.from && run.to <= source_to);
                last = run.to;
                done_to = Some(run.to);
                runs += 1;
                prop_assert!(runs < 1_000);
            }
            prop_assert!((source_to - last).num_seconds() < roll_up.step_s + SETTLE_S);
        }

        #[test]
        fn applying_a_partition_plan_leaves_nothing_to_do(offset in 0u64..2_000, have in proptest::collection::btree_set(0u64..2_000, 0..20)) {
            let epoch = day("2024-01-01");
            let now = (epoch + Days::new(offset)).and_hms_opt(5, 0, 0).unwrap().and_utc();
            let mut existing: Vec<_> = have.into_iter().map(|d| epoch + Days::new(d)).collect();
            let plan = partitions(&existing, Some(now), now);
            existing.retain(|d| !plan.drop.contains(d));
            existing.extend(&plan.create);
            prop_assert!(existing.contains(&now.date_naive()));
            prop_assert_eq!(partitions(&existing, Some(now), now), PartitionPlan::default());
        }
    }
}

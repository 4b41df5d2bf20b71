//! Memory of a tree of processes, for where the kernel does not limit it.

use crate::process::{stats, tree};

use super::Enclosure;

/// What the tree uses if that is above the limit.
///
/// Resident memory counts what processes share once for each of them, so it is only the first look: above the limit
/// the proportional share decides.
pub(super) fn above(limit_bytes: u64, root: u32, enclosure: Option<&Enclosure>) -> Option<u64> {
    let pids = match enclosure {
        Some(enclosure) => enclosure.pids(),
        None => std::iter::once(root).chain(tree::descendants(root)).collect(),
    };
    if pids.iter().map(|pid| stats::resident_bytes(*pid)).sum::<u64>() <= limit_bytes {
        return None;
    }
    let shares: u64 =
        pids.iter().map(|pid| proportional_bytes(*pid).unwrap_or_else(|| stats::resident_bytes(*pid))).sum();
    (shares > limit_bytes).then_some(shares)
}

fn proportional_bytes(pid: u32) -> Option<u64> {
    pss(&std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?)
}

fn pss(smaps: &str) -> Option<u64> {
    let line = smaps.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.saturating_mul(1_024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proportional_share_is_read() {
        assert_eq!(
            pss("5588-7ffc [rollup]\nRss:   1000 kB\nPss:    612 kB\nPss_Dirty: 3 kB\n"),
            Some(626_688)
        );
        assert_eq!(pss(""), None);
    }

    #[test]
    fn only_a_tree_above_the_limit_is_found() {
        let used = above(1, std::process::id(), None).unwrap();
        assert!(used > 100_000, "{used}");
        assert_eq!(above(u64::MAX, std::process::id(), None), None);
    }
}

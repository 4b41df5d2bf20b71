//! Whether the kernel says that it ended a process for want of memory: the only witness when the process had no
//! control group of its own, as when the memory of the whole machine ran out.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;

/// The kernel's own number of it.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";
/// One record is never longer.
const MAX_RECORD: usize = 8 * 1024;
/// Far more records than the kernel keeps by default.
const MAX_RECORDS: usize = 100_000;

/// Looks for a process (which began at that time of the machine's clock since boot) among what the kernel ended. Only
/// root may look; for others it is never known.
pub(super) fn ended_for_memory(pid: u32, began_seconds: u64) -> bool {
    if !numbers_are_the_kernels() {
        return false;
    }
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let Ok(mut log) = OpenOptions::new().read(true).custom_flags(nonblocking).open("/dev/kmsg") else {
        return false;
    };
    let mut record = [0; MAX_RECORD];
    for _ in 0..MAX_RECORDS {
        match log.read(&mut record) {
            Ok(length) if names(&String::from_utf8_lossy(&record[..length]), pid, began_seconds) => {
                return true;
            }
            Ok(_) => {}
            // What we were about to read was overwritten meanwhile.
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) => {}
            Err(_) => return false,
        }
    }
    false
}

/// In a container the same process has another number in the kernel's log.
fn numbers_are_the_kernels() -> bool {
    std::fs::read_link("/proc/self/ns/pid")
        .is_ok_and(|namespace| namespace.as_os_str() == FIRST_PID_NAMESPACE)
}

/// `prio,sequence,microseconds,flags;text`
fn names(record: &str, pid: u32, began_seconds: u64) -> bool {
    let Some((head, text)) = record.split_once(';') else { return false };
    let late_enough = head
        .split(',')
        .nth(2)
        .and_then(|microseconds| microseconds.parse::<u64>().ok())
        .is_some_and(|microseconds| microseconds / 1_000_000 >= began_seconds);
    late_enough
        && text.to_ascii_lowercase().contains("out of memory")
        && text.contains(&format!("illed process {pid} "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_named_by_number_and_time() {
        let record = "3,1017,90000001,-;Memory cgroup out of memory: Killed process 812 (node) total-vm:1kB";
        assert!(names(record, 812, 90));
        assert!(!names(record, 812, 91), "an earlier process had the same number");
        assert!(!names(record, 81, 90));
        assert!(names("3,1,5,-;Out of memory: Killed process 7 (a) total-vm:1kB", 7, 0));
        assert!(!names("6,1,5,-;something else about 7 ", 7, 0));
    }
}

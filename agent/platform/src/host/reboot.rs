//! What the agent asks of a host about starting anew: whether it should, what time it is there, and to do it.

use super::HostError;
use chrono::{DateTime, Utc};

/// A host that can be restarted.
pub trait RebootHost {
    /// Changes with every start of the kernel.
    fn boot_id(&self) -> Result<String, HostError>;
    /// The packages whose upgrade asked for a restart; `None` when nothing asked. The list may be empty.
    fn reboot_requested(&self) -> Option<Vec<String>>;
    /// The kernel that runs, such as `6.1.0-28-amd64`.
    fn kernel_release(&self) -> String;
    /// The kernels that could be started.
    fn installed_kernels(&self) -> Vec<String>;
    /// What a clock on the wall shows: in a time zone by name, or in that of the host.
    fn local_time(&self, timezone: Option<&str>, now: DateTime<Utc>) -> Result<LocalTime, HostError>;
    /// Asks the host to restart, and returns at once.
    fn reboot(&self) -> Result<(), HostError>;
}

/// A time of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// 0 is Monday.
    pub weekday: u8,
    /// Of the day.
    pub minute: u16,
}

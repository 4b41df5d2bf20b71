//! Starts of a host in memory.

use super::FakeHost;
use crate::host::{Fault, HostError, LocalTime, RebootHost};
use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc};

/// How often a host in memory was started, and why it should be again.
#[derive(Debug, Clone)]
pub struct FakeBoot {
    /// Starts so far.
    pub boots: u64,
    /// Packages that ask for a restart.
    pub requested: Option<Vec<String>>,
    /// Restarts do not still what asked for them.
    pub request_stays: bool,
    /// Restarts are asked for and do not happen.
    pub stuck: bool,
    /// The kernel that runs.
    pub kernel: String,
    /// Those that could be started.
    pub kernels: Vec<String>,
}

impl Default for FakeBoot {
    fn default() -> Self {
        Self {
            boots: 1,
            requested: None,
            request_stays: false,
            stuck: false,
            kernel: "6.0.0-fake".into(),
            kernels: vec!["6.0.0-fake".into()],
        }
    }
}

impl FakeHost {
    /// Changes how it was started and why it should be again.
    pub fn set_boot(&self, change: impl FnOnce(&mut FakeBoot)) {
        change(&mut self.world().boot);
    }

    /// Starts so far.
    pub fn boots(&self) -> u64 {
        self.world().boot.boots
    }
}

impl RebootHost for FakeHost {
    fn boot_id(&self) -> Result<String, HostError> {
        Ok(format!("boot-{}", self.world().boot.boots))
    }

    fn reboot_requested(&self) -> Option<Vec<String>> {
        self.world().boot.requested.clone()
    }

    fn kernel_release(&self) -> String {
        self.world().boot.kernel.clone()
    }

    fn installed_kernels(&self) -> Vec<String> {
        self.world().boot.kernels.clone()
    }

    /// Berlin is an hour ahead, the host and UTC are not; nobody knows another zone.
    fn local_time(&self, timezone: Option<&str>, now: DateTime<Utc>) -> Result<LocalTime, HostError> {
        let hours = match timezone {
            None | Some("UTC" | "Etc/UTC") => 0,
            Some("Europe/Berlin") => 1,
            Some(other) => {
                let fault = Fault::Other(
                    "the host does not know this time zone; install the package tzdata, or name another"
                        .into(),
                );
                return Err(HostError { action: "tell the time of", subject: other.to_owned(), fault });
            }
        };
        let local = now.naive_utc() + TimeDelta::hours(hours);
        Ok(LocalTime {
            weekday: u8::try_from(local.weekday().num_days_from_monday()).unwrap_or(0),
            minute: u16::try_from(local.hour() * 60 + local.minute()).unwrap_or(0),
        })
    }

    fn reboot(&self) -> Result<(), HostError> {
        let mut world = self.world();
        if !world.privileged {
            let subject = "systemctl reboot".to_owned();
            return Err(HostError { action: "run", subject, fault: Fault::PermissionDenied });
        }
        let boot = &mut world.boot;
        if !boot.stuck {
            boot.boots += 1;
            if !boot.request_stays {
                boot.requested = None;
                boot.kernel = boot.kernels.last().cloned().unwrap_or_else(|| boot.kernel.clone());
            }
        }
        Ok(())
    }
}

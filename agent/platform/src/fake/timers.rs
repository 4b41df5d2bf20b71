//! Timers that ring when a test says so.

use super::FakeHost;
use crate::host::{Fault, HostError, TimerHost};

impl FakeHost {
    /// The timers that are armed: their names, and what they would start.
    pub fn timers(&self) -> Vec<(String, Vec<String>)> {
        self.world().timers.iter().map(|(name, command)| (name.clone(), command.clone())).collect()
    }
}

impl TimerHost for FakeHost {
    fn timers_unsupported(&self) -> Option<String> {
        let world = self.world();
        if !world.privileged {
            return Some("the agent does not run as root".into());
        }
        world.faults.no_systemd.then(|| "this host does not run systemd".into())
    }

    fn arm_timer(&self, name: &str, _after_s: u32, command: &[String]) -> Result<(), HostError> {
        let mut world = self.world();
        if world.timers.contains_key(name) {
            let subject = name.to_owned();
            return Err(HostError { action: "arm the timer", subject, fault: Fault::AlreadyExists });
        }
        world.timers.insert(name.to_owned(), command.to_vec());
        Ok(())
    }

    fn disarm_timer(&self, name: &str) -> Result<(), HostError> {
        self.world().timers.remove(name);
        Ok(())
    }
}

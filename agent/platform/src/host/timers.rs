//! Programs that somebody else starts later, whatever becomes of the agent.

use super::HostError;

/// A host whose init system starts programs at their time.
pub trait TimerHost {
    /// Why this host cannot do that; `None` when it can.
    fn timers_unsupported(&self) -> Option<String>;
    /// Has a program started after so many seconds, unless the timer is disarmed. It also is when the agent is gone, but not
    /// after the host was restarted.
    fn arm_timer(&self, name: &str, after_s: u32, command: &[String]) -> Result<(), HostError>;
    /// Takes a timer back; that there is none (any more) is fine. A program that it has started runs to its end.
    fn disarm_timer(&self, name: &str) -> Result<(), HostError>;
}

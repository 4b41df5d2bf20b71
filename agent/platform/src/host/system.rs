//! What a host has once: its name, its kernel's settings; and commands of people.

use super::HostError;

/// What the agent asks of a host about itself.
pub trait SystemHost {
    /// Its name now.
    fn hostname(&self) -> String;
    /// Sets it until the next boot.
    fn set_hostname(&self, name: &str) -> Result<(), HostError>;
    /// A setting of the kernel as it is now, by its name in sysctl's grammar; `None` when this kernel has none of the name.
    fn sysctl(&self, name: &str) -> Result<Option<String>, HostError>;
    /// Whether this setting can be changed from here: containers see many that they may not touch.
    fn sysctl_writable(&self, name: &str) -> bool;
    /// Sets it until the next boot.
    fn set_sysctl(&self, name: &str, value: &str) -> Result<(), HostError>;
    /// Has logrotate judge rules before they are put into place of those of this name. `Err`: what it says against them.
    fn verify_logrotate(&self, name: &str, content: &str) -> Result<(), String>;
    /// Runs a command line of a person, with nothing of the agent's own environment.
    fn shell(&self, command: &ShellCommand<'_>) -> Result<ShellOutcome, HostError>;
}

/// A command line for `/bin/sh`.
#[derive(Debug, Clone, Copy)]
pub struct ShellCommand<'a> {
    /// The command line.
    pub script: &'a str,
    /// Who runs it; the agent's own user when absent.
    pub user: Option<&'a str>,
    /// Where; `/` when absent.
    pub cwd: Option<&'a str>,
    /// When it is killed, with all that it started, in milliseconds.
    pub timeout_ms: u64,
}

/// How a command line ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShellOutcome {
    /// Exit code; absent when a signal ended it.
    pub code: Option<i32>,
    /// It was killed because its time was up.
    pub timed_out: bool,
    /// The last part of what it wrote, errors and all.
    pub output: String,
}

impl ShellOutcome {
    /// Whether it ended with 0.
    pub fn success(&self) -> bool {
        self.code == Some(0) && !self.timed_out
    }
}

/// Where a setting of the kernel is below `/proc/sys`: the first of `.` and `/` in its name is the one between folders.
pub fn sysctl_path(name: &str) -> String {
    let folders_by_slash = name.find(['.', '/']).is_some_and(|at| name[at..].starts_with('/'));
    if folders_by_slash {
        return name.to_owned();
    }
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    name.chars().map(swap).collect()
}

#[cfg(test)]
mod tests {
    use super::sysctl_path;

    #[test]
    fn both_spellings_of_a_setting_are_understood() {
        assert_eq!(sysctl_path("net.core.somaxconn"), "net/core/somaxconn");
        assert_eq!(sysctl_path("net.ipv4.conf.eth0/1.rp_filter"), "net/ipv4/conf/eth0.1/rp_filter");
        assert_eq!(sysctl_path("net/ipv4/conf/eth0.1/rp_filter"), "net/ipv4/conf/eth0.1/rp_filter");
    }
}

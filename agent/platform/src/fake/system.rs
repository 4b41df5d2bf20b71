//! Name, kernel settings and shell in memory.

use super::FakeHost;
use crate::host::{Fault, HostError, ShellCommand, ShellOutcome, SystemHost};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A command line that the shell knows.
#[derive(Debug, Clone, Default)]
pub struct FakeScript {
    /// How it ends.
    pub outcome: ShellOutcome,
    /// A file that it makes.
    pub creates: Option<String>,
    /// Command lines that end with 0 once it ran: guards.
    pub satisfies: Vec<String>,
}

/// What the system knows.
#[derive(Debug, Clone, Default)]
pub(super) struct System {
    pub(super) sysctls: BTreeMap<String, String>,
    read_only: BTreeSet<String>,
    refused: BTreeSet<String>,
    scripts: BTreeMap<String, FakeScript>,
    ran: Vec<String>,
}

impl System {
    pub(super) fn usual() -> Self {
        let settings = [
            ("net.core.somaxconn", "4096"),
            ("vm.swappiness", "60"),
            ("net.ipv4.tcp_rmem", "4096\t131072\t6291456"),
        ];
        let sysctls =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { sysctls, ..Self::default() }
    }
}

impl FakeHost {
    /// Teaches the shell a command line.
    pub fn set_script(&self, script: &str, answer: FakeScript) {
        self.world().system.scripts.insert(script.to_owned(), answer);
    }

    /// The command lines that were run, in order.
    pub fn scripts_run(&self) -> Vec<String> {
        self.world().system.ran.clone()
    }

    /// Changes a kernel setting behind the agent's back.
    pub fn set_sysctl_now(&self, name: &str, value: &str) {
        self.world().system.sysctls.insert(name.to_owned(), value.to_owned());
    }

    /// Makes a kernel setting one that is seen and may not be touched.
    pub fn set_sysctl_read_only(&self, name: &str) {
        self.world().system.read_only.insert(name.to_owned());
    }

    /// Has the kernel refuse a value for every setting.
    pub fn refuse_sysctl_value(&self, value: &str) {
        self.world().system.refused.insert(value.to_owned());
    }
}

impl SystemHost for FakeHost {
    fn hostname(&self) -> String {
        self.world().hostname.clone()
    }

    fn set_hostname(&self, name: &str) -> Result<(), HostError> {
        let mut world = self.world();
        let fail = |fault| HostError { action: "set the host name to", subject: name.to_owned(), fault };
        world.before_write(Path::new("/")).map_err(fail)?;
        world.hostname = name.to_owned();
        world.writes += 1;
        Ok(())
    }

    fn sysctl(&self, name: &str) -> Result<Option<String>, HostError> {
        Ok(self.world().system.sysctls.get(name).cloned())
    }

    fn sysctl_writable(&self, name: &str) -> bool {
        let world = self.world();
        world.privileged && !world.system.read_only.contains(name)
    }

    fn set_sysctl(&self, name: &str, value: &str) -> Result<(), HostError> {
        let mut world = self.world();
        let fail = |fault| HostError { action: "set", subject: format!("{name} = {value}"), fault };
        if world.system.read_only.contains(name) || !world.system.sysctls.contains_key(name) {
            return Err(fail(Fault::ReadOnly));
        }
        world.before_write(Path::new("/proc/sys")).map_err(fail)?;
        if world.system.refused.contains(value) {
            return Err(fail(Fault::Other("Invalid argument (os error 22)".into())));
        }
        // The kernel writes lists of numbers with tabs between them.
        world.system.sysctls.insert(name.to_owned(), value.split_whitespace().collect::<Vec<_>>().join("\t"));
        world.writes += 1;
        Ok(())
    }

    fn verify_logrotate(&self, name: &str, content: &str) -> Result<(), String> {
        if content.contains('{') {
            Ok(())
        } else {
            Err(format!("logrotate says: error: {name}:1 no section"))
        }
    }

    fn shell(&self, command: &ShellCommand<'_>) -> Result<ShellOutcome, HostError> {
        let mut world = self.world();
        let killed = |fault| HostError { action: "run", subject: "the command".into(), fault };
        world.before_write(Path::new("/proc")).map_err(killed)?;
        if let Some(user) = command.user.filter(|user| world.accounts.user(user).is_none()) {
            let fault = Fault::Other(format!("the user {user} does not exist on this node"));
            return Err(HostError { action: "run", subject: "the command".into(), fault });
        }
        world.system.ran.push(command.script.to_owned());
        let Some(script) = world.system.scripts.get(command.script).cloned() else {
            let output = format!("/bin/sh: 1: {}: not found", command.script);
            return Ok(ShellOutcome { code: Some(127), timed_out: false, output });
        };
        if script.outcome.success() {
            for guard in script.satisfies {
                let outcome = ShellOutcome { code: Some(0), ..ShellOutcome::default() };
                world.system.scripts.insert(guard, FakeScript { outcome, ..FakeScript::default() });
            }
            if let Some(path) = script.creates {
                world.put_file(Path::new(&path));
            }
        }
        Ok(script.outcome)
    }
}

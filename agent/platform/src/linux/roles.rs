//! The real host's answers about accounts, services and itself.

use super::{LinuxHost, accounts, keys, services, system};
use crate::host::{
    AccountHost, Accounts, Fault, Host, HostError, KeyFile, NewGroup, NewUser, ServiceHost, ShellCommand,
    ShellOutcome, SystemHost, UnitState, UnitVerb, UserChange, UserEntry,
};
use std::sync::Arc;

impl LinuxHost {
    /// Below a root of its own nothing of the system may be changed, whoever the agent is.
    fn of_the_system(&self, action: &'static str, subject: &str) -> Result<(), HostError> {
        if self.privileged() {
            return Ok(());
        }
        let fault = Fault::Other("that needs an agent that runs as root, and not in rootless mode".into());
        Err(HostError { action, subject: subject.to_owned(), fault })
    }
}

impl AccountHost for LinuxHost {
    fn accounts(&self) -> Result<Arc<Accounts>, HostError> {
        self.accounts.accounts()
    }

    fn processes_of(&self, uid: u32) -> Result<Vec<String>, HostError> {
        accounts::processes_of(uid)
    }

    fn make_group(&self, group: &NewGroup<'_>) -> Result<(), HostError> {
        self.of_the_system("make the group", group.name)?;
        accounts::make_group(group)
    }

    fn remove_group(&self, name: &str) -> Result<(), HostError> {
        self.of_the_system("remove the group", name)?;
        accounts::remove_group(name)
    }

    fn make_user(&self, user: &NewUser<'_>) -> Result<(), HostError> {
        self.of_the_system("make the user", user.name)?;
        accounts::make_user(user)
    }

    fn change_user(&self, name: &str, change: &UserChange<'_>) -> Result<(), HostError> {
        self.of_the_system("change the user", name)?;
        accounts::change_user(name, change)
    }

    fn remove_user(&self, name: &str) -> Result<(), HostError> {
        self.of_the_system("remove the user", name)?;
        accounts::remove_user(name)
    }

    fn key_file(&self, user: &UserEntry) -> Result<KeyFile, HostError> {
        self.of_the_system("read the keys of", &user.name)?;
        keys::read(user)
    }

    fn write_key_file(&self, user: &UserEntry, content: &str) -> Result<(), HostError> {
        self.of_the_system("write the keys of", &user.name)?;
        keys::write(user, content)
    }
}

impl ServiceHost for LinuxHost {
    fn has_systemd(&self) -> bool {
        services::has_systemd()
    }

    fn units_wanted(&self, names: &[String]) {
        self.units.wanted(names);
    }

    fn unit(&self, name: &str) -> Result<UnitState, HostError> {
        self.units.unit(name)
    }

    fn forget_units(&self) {
        self.units.forget();
    }

    fn control_unit(&self, name: &str, verb: UnitVerb) -> Result<(), HostError> {
        self.of_the_system(verb.as_str(), name)?;
        self.units.control(name, verb)
    }

    fn watch_unit(&self, name: &str, for_ms: u64) {
        if self.privileged() {
            self.units.watch(name, for_ms);
        }
    }

    fn reload_units(&self) -> Result<(), HostError> {
        self.of_the_system("reload", "systemd")?;
        self.units.reload()
    }

    fn unit_journal(&self, name: &str) -> Vec<String> {
        self.units.journal(name)
    }

    fn verify_unit(&self, name: &str, content: &str) -> Result<(), String> {
        self.of_the_system("judge the unit", name).map_err(|error| error.to_string())?;
        let extended = name.split_once('/').map(|(folder, _)| folder.strip_suffix(".d").unwrap_or(folder));
        let fragment = extended.and_then(|unit| self.units.unit(unit).ok()).map(|unit| unit.fragment);
        services::verify(name, content, fragment.as_deref())
    }
}

impl SystemHost for LinuxHost {
    fn hostname(&self) -> String {
        system::hostname()
    }

    fn set_hostname(&self, name: &str) -> Result<(), HostError> {
        self.of_the_system("set the host name to", name)?;
        system::set_hostname(name)
    }

    fn sysctl(&self, name: &str) -> Result<Option<String>, HostError> {
        system::sysctl(name)
    }

    fn sysctl_writable(&self, name: &str) -> bool {
        self.privileged() && system::sysctl_writable(name)
    }

    fn set_sysctl(&self, name: &str, value: &str) -> Result<(), HostError> {
        self.of_the_system("set", name)?;
        system::set_sysctl(name, value)
    }

    fn verify_logrotate(&self, name: &str, content: &str) -> Result<(), String> {
        self.of_the_system("judge the rules", name).map_err(|error| error.to_string())?;
        system::verify_logrotate(name, content)
    }

    fn shell(&self, command: &ShellCommand<'_>) -> Result<ShellOutcome, HostError> {
        let accounts = self.accounts.accounts()?;
        system::shell(command, &system::Runner { accounts: &accounts, own: self.own_account() })
    }
}

//! The account the server runs as: the caller's own, or an unprivileged one when the caller is root.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::error::{FileContext, PostgresError};

/// An account and whether a child has to change to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The caller is root, so children and their files must be handed over.
    pub(crate) hand_over: bool,
}

const PASSWD: &str = "/etc/passwd";
/// Made by the packages of Debian and its relatives.
const DEFAULT_ACCOUNT: &str = "postgres";

impl Account {
    /// Decides the account: root hands over to `run_as`, everybody else keeps their own.
    pub(crate) fn choose(run_as: Option<&str>) -> Result<Self, PostgresError> {
        let uid = rustix::process::geteuid().as_raw();
        let passwd = std::fs::read_to_string(PASSWD).file("read", PASSWD.as_ref())?;
        if uid == 0 {
            let wanted = run_as.unwrap_or(DEFAULT_ACCOUNT);
            return entries(&passwd)
                .find(|entry| entry.name == wanted && entry.uid != 0)
                .map(|entry| Self { hand_over: true, ..entry })
                .ok_or_else(|| PostgresError::NoAccount(wanted.to_owned()));
        }
        let gid = rustix::process::getegid().as_raw();
        // Directory services keep accounts elsewhere; peer authentication needs the name, so `id` is asked then.
        let name = match entries(&passwd).find(|entry| entry.uid == uid) {
            Some(entry) => entry.name,
            None => id_name()?,
        };
        Ok(Self { name, uid, gid, hand_over: false })
    }

    /// Makes a command run as this account.
    pub(crate) fn apply(&self, command: &mut Command) {
        if self.hand_over {
            // Setting a uid as root also drops the supplementary groups.
            command.gid(self.gid).uid(self.uid);
        }
    }

    /// The operating system's users that may become the database's role.
    pub(crate) fn admitted(&self) -> Vec<&str> {
        if self.hand_over { vec!["root", &self.name] } else { vec![&self.name] }
    }
}

fn id_name() -> Result<String, PostgresError> {
    let output = Command::new("id")
        .arg("-un")
        .output()
        .map_err(|source| PostgresError::Spawn { program: "id".into(), source })?;
    let name = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && !name.is_empty() {
        return Ok(name);
    }
    let detail = format!(
        "this process runs as a user id without a name, and PostgreSQL admits by name: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Err(PostgresError::Tool { program: "id -un".into(), detail })
}

fn entries(passwd: &str) -> impl Iterator<Item = Account> + '_ {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account { name, uid, gid, hand_over: false })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwd_lines_are_read_and_broken_ones_skipped() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\n\nbroken\npostgres:x:101:104:,,,:/var/lib/postgresql:/bin/bash\n";
        let found: Vec<_> = entries(passwd).map(|e| (e.name, e.uid, e.gid)).collect();
        assert_eq!(found, [("root".to_owned(), 0, 0), ("postgres".to_owned(), 101, 104)]);
    }

    #[test]
    fn root_needs_an_account_that_exists() {
        if rustix::process::geteuid().is_root() {
            let error = Account::choose(Some("nobody-of-that-name")).unwrap_err();
            assert!(error.to_string().contains("adduser --system"), "{error}");
        }
    }
}

//! Users and groups, as the host's own lists have them.

use super::HostError;
use std::sync::Arc;

/// What the agent asks of a host about accounts. Passwords are none of its business: a new user has none that fits.
pub trait AccountHost {
    /// The host's own lists. Read again only when they changed.
    fn accounts(&self) -> Result<Arc<Accounts>, HostError>;
    /// What runs as a user, with how many processes: `node (2)`. Never endless.
    fn processes_of(&self, uid: u32) -> Result<Vec<String>, HostError>;
    /// Makes a group.
    fn make_group(&self, group: &NewGroup<'_>) -> Result<(), HostError>;
    /// Takes a group away.
    fn remove_group(&self, name: &str) -> Result<(), HostError>;
    /// Makes a user.
    fn make_user(&self, user: &NewUser<'_>) -> Result<(), HostError>;
    /// Sets what is given about a user.
    fn change_user(&self, name: &str, change: &UserChange<'_>) -> Result<(), HostError>;
    /// Takes a user away and leaves its home. Refuses while something runs as it.
    fn remove_user(&self, name: &str) -> Result<(), HostError>;
    /// The `authorized_keys` of a user. Its owner may have put anything into its place: nothing is followed that could lead
    /// to what is not the user's own.
    fn key_file(&self, user: &UserEntry) -> Result<KeyFile, HostError>;
    /// Puts `authorized_keys` into place, in `~/.ssh` with owner and modes as sshd wants them.
    fn write_key_file(&self, user: &UserEntry, content: &str) -> Result<(), HostError>;
}

/// The host's own users and groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    /// In the order of `/etc/passwd`.
    pub users: Vec<UserEntry>,
    /// In the order of `/etc/group`.
    pub groups: Vec<GroupEntry>,
}

/// A line of `/etc/passwd`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserEntry {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
    /// Its full name or purpose.
    pub comment: String,
    /// Its home.
    pub home: String,
    /// Its shell.
    pub shell: String,
}

/// A line of `/etc/group`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupEntry {
    /// Its name.
    pub name: String,
    /// Its number.
    pub gid: u32,
    /// Users that are in it besides those whose primary group it is.
    pub members: Vec<String>,
}

impl Accounts {
    /// Reads both lists; lines that make no sense are passed over, as the system does.
    pub fn parse(passwd: &str, group: &str) -> Self {
        let user = |line: &str| {
            let mut fields = line.split(':');
            let mut field = || fields.next().map(str::to_owned);
            let (name, _password) = (field()?, field()?);
            let (uid, gid) = (field()?.parse().ok()?, field()?.parse().ok()?);
            Some(UserEntry { name, uid, gid, comment: field()?, home: field()?, shell: field()? })
        };
        let group_entry = |line: &str| {
            let mut fields = line.split(':');
            let (name, _password) = (fields.next()?.to_owned(), fields.next()?);
            let gid = fields.next()?.parse().ok()?;
            let members = fields.next().unwrap_or_default().split(',').filter(|name| !name.is_empty());
            Some(GroupEntry { name, gid, members: members.map(str::to_owned).collect() })
        };
        Self {
            users: passwd.lines().filter_map(user).collect(),
            groups: group.lines().filter_map(group_entry).collect(),
        }
    }

    /// A user by name.
    pub fn user(&self, name: &str) -> Option<&UserEntry> {
        self.users.iter().find(|user| user.name == name)
    }

    /// A user by number.
    pub fn user_numbered(&self, uid: u32) -> Option<&UserEntry> {
        self.users.iter().find(|user| user.uid == uid)
    }

    /// A group by name.
    pub fn group(&self, name: &str) -> Option<&GroupEntry> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// A group by number.
    pub fn group_numbered(&self, gid: u32) -> Option<&GroupEntry> {
        self.groups.iter().find(|group| group.gid == gid)
    }
}

/// A group to make.
#[derive(Debug, Clone, Copy, Default)]
pub struct NewGroup<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its number; whichever is free when absent.
    pub gid: Option<u32>,
    /// With a low number.
    pub system: bool,
}

/// A user to make.
#[derive(Debug, Clone, Copy, Default)]
pub struct NewUser<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its number; whichever is free when absent.
    pub uid: Option<u32>,
    /// Its primary group; a new one of its own name when absent.
    pub group: Option<&'a str>,
    /// The groups that it is in besides.
    pub groups: &'a [String],
    /// Its shell.
    pub shell: &'a str,
    /// Its home; `/home/NAME` when absent.
    pub home: Option<&'a str>,
    /// Its full name or purpose.
    pub comment: Option<&'a str>,
    /// With a low number, and without a home being made.
    pub system: bool,
}

/// What to set about a user; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct UserChange<'a> {
    /// Its primary group.
    pub group: Option<&'a str>,
    /// Groups that it joins.
    pub join: Vec<&'a str>,
    /// Its shell.
    pub shell: Option<&'a str>,
    /// Its home, which is neither moved nor made.
    pub home: Option<&'a str>,
    /// Its full name or purpose.
    pub comment: Option<&'a str>,
}

/// The keys of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyFile {
    /// What the file holds; absent when there is none.
    pub content: Option<String>,
    /// Owners and modes that are not as sshd wants them, in words.
    pub attributes: Vec<String>,
    /// It belongs to root, and the user may not read it: whoever owns a folder may have put there what is none of theirs.
    pub roots_own: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_nonsense_is_passed_over() {
        let accounts = Accounts::parse(
            "root:x:0:0:root:/root:/bin/bash\n\n+::::::\namara:x:1000:1000:Amara,,,:/home/amara:/bin/zsh\nbad:x:y:0::/:\n",
            "root:x:0:\nsudo:x:27:amara,bo\nbroken\n",
        );
        assert_eq!(accounts.users.len(), 2);
        let amara = accounts.user("amara").unwrap();
        assert_eq!((amara.uid, amara.shell.as_str(), amara.comment.as_str()), (1000, "/bin/zsh", "Amara,,,"));
        assert_eq!(accounts.user_numbered(1000), Some(amara));
        assert_eq!(accounts.group("sudo").unwrap().members, ["amara", "bo"]);
        assert_eq!(accounts.group_numbered(0).unwrap().members, Vec::<String>::new());
    }
}

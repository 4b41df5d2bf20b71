//! Users and groups in memory.

use super::{Entry, FakeHost, World};
use crate::host::{
    AccountHost, Accounts, Fault, FileKind, GroupEntry, Host, HostError, KeyFile, NewGroup, NewUser,
    Ownership, UserChange, UserEntry, WriteFile,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where numbers for people begin, and those for services.
const FIRST: [u32; 2] = [1000, 100];

/// root and www-data.
pub(super) fn usual() -> Accounts {
    Accounts::parse(
        "root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n",
        "root:x:0:\nsudo:x:27:\nwww-data:x:33:\n",
    )
}

impl FakeHost {
    /// What runs as a user: `node (2)`.
    pub fn set_processes(&self, uid: u32, processes: &[&str]) {
        let processes = processes.iter().map(|name| (*name).to_owned()).collect();
        self.world().processes.insert(uid, processes);
    }

    /// Changes users and groups behind the agent's back.
    pub fn tamper_accounts(&self, change: impl FnOnce(&mut Accounts)) {
        change(&mut self.world().accounts);
    }
}

fn fail(action: &'static str, name: &str) -> impl Fn(Fault) -> HostError + use<> {
    let subject = name.to_owned();
    move |fault| HostError { action, subject: subject.clone(), fault }
}

fn other(text: String) -> Fault {
    Fault::Other(text)
}

impl World {
    /// Changes what `/etc/passwd` and `/etc/group` stand for.
    fn before_accounts(&self) -> Result<(), Fault> {
        self.before_create(Path::new("/etc/passwd"))?;
        if self.privileged { Ok(()) } else { Err(Fault::PermissionDenied) }
    }

    fn new_group(&mut self, name: &str, gid: Option<u32>, system: bool) -> Result<u32, Fault> {
        if self.accounts.group(name).is_some() {
            return Err(other(format!("group '{name}' already exists")));
        }
        let gid = match gid {
            Some(gid) if self.accounts.group_numbered(gid).is_some() => {
                return Err(other(format!("GID '{gid}' already exists")));
            }
            Some(gid) => gid,
            None => (FIRST[usize::from(system)]..)
                .find(|gid| self.accounts.group_numbered(*gid).is_none())
                .ok_or_else(|| other("no number is free".into()))?,
        };
        self.accounts.groups.push(GroupEntry { name: name.to_owned(), gid, members: vec![] });
        self.writes += 1;
        Ok(gid)
    }

    fn known_group(&self, name: &str) -> Result<u32, Fault> {
        let known = self.accounts.group(name).map(|group| group.gid);
        known.ok_or_else(|| other(format!("group '{name}' does not exist")))
    }

    fn join(&mut self, user: &str, groups: &[&str]) -> Result<(), Fault> {
        groups.iter().try_for_each(|group| self.known_group(group).map(drop))?;
        for group in self.accounts.groups.iter_mut().filter(|known| groups.contains(&known.name.as_str())) {
            if !group.members.iter().any(|member| member == user) {
                group.members.push(user.to_owned());
            }
        }
        Ok(())
    }

    fn new_user(&mut self, user: &NewUser<'_>) -> Result<(), Fault> {
        let NewUser { name, uid, group, groups, shell, home, comment, system } = *user;
        self.before_accounts()?;
        if self.accounts.user(name).is_some() {
            return Err(other(format!("user '{name}' already exists")));
        }
        if let Some(uid) = uid.filter(|uid| self.accounts.user_numbered(*uid).is_some()) {
            return Err(other(format!("UID {uid} is not unique")));
        }
        let joins: Vec<&str> = groups.iter().map(String::as_str).collect();
        joins.iter().try_for_each(|group| self.known_group(group).map(drop))?;
        let gid = match group {
            Some(group) => self.known_group(group)?,
            None => {
                self.new_group(name, uid.filter(|uid| self.accounts.group_numbered(*uid).is_none()), system)?
            }
        };
        let free = |uid: &u32| self.accounts.user_numbered(*uid).is_none();
        let uid = uid.or_else(|| (FIRST[usize::from(system)]..).find(free));
        let uid = uid.ok_or_else(|| other("no number is free".into()))?;
        let home = home.map_or_else(|| format!("/home/{name}"), str::to_owned);
        self.accounts.users.push(UserEntry {
            name: name.to_owned(),
            uid,
            gid,
            comment: comment.unwrap_or_default().to_owned(),
            home: home.clone(),
            shell: shell.to_owned(),
        });
        self.join(name, &joins)?;
        if !system {
            self.tree.entry(PathBuf::from(home)).or_insert(Entry { uid, gid, ..Entry::directory(0o700) });
        }
        self.writes += 1;
        Ok(())
    }

    fn key_paths(&self, user: &UserEntry) -> Result<[PathBuf; 2], Fault> {
        let folder = self.resolve(&Path::new(&user.home).join(".ssh"))?;
        match self.tree.get(&folder) {
            None => {}
            Some(entry) if entry.kind == FileKind::Directory && [0, user.uid].contains(&entry.uid) => {}
            Some(_) => return Err(other("~/.ssh is no folder of the user's own".into())),
        }
        Ok([folder.clone(), folder.join("authorized_keys")])
    }
}

impl AccountHost for FakeHost {
    fn accounts(&self) -> Result<Arc<Accounts>, HostError> {
        Ok(Arc::new(self.world().accounts.clone()))
    }

    fn processes_of(&self, uid: u32) -> Result<Vec<String>, HostError> {
        Ok(self.world().processes.get(&uid).cloned().unwrap_or_default())
    }

    fn make_group(&self, group: &NewGroup<'_>) -> Result<(), HostError> {
        let mut world = self.world();
        let made =
            world.before_accounts().and_then(|()| world.new_group(group.name, group.gid, group.system));
        made.map(drop).map_err(fail("make the group", group.name))
    }

    fn remove_group(&self, name: &str) -> Result<(), HostError> {
        let mut world = self.world();
        let fail = fail("remove the group", name);
        world.before_accounts().map_err(&fail)?;
        let gid = world.known_group(name).map_err(&fail)?;
        if world.accounts.users.iter().any(|user| user.gid == gid) {
            return Err(fail(other("cannot remove the primary group of a user".into())));
        }
        world.accounts.groups.retain(|group| group.name != name);
        world.writes += 1;
        Ok(())
    }

    fn make_user(&self, user: &NewUser<'_>) -> Result<(), HostError> {
        self.world().new_user(user).map_err(fail("make the user", user.name))
    }

    fn change_user(&self, name: &str, change: &UserChange<'_>) -> Result<(), HostError> {
        let mut world = self.world();
        let fail = fail("change the user", name);
        world.before_accounts().map_err(&fail)?;
        let gid = change.group.map(|group| world.known_group(group)).transpose().map_err(&fail)?;
        let user = world.accounts.user(name).cloned();
        let user = user.ok_or_else(|| fail(other(format!("user '{name}' does not exist"))))?;
        if change.home.is_some() && world.processes.get(&user.uid).is_some_and(|list| !list.is_empty()) {
            return Err(fail(other(format!("user {name} is currently used by process 1"))));
        }
        world.join(name, &change.join).map_err(&fail)?;
        let user = world.accounts.users.iter_mut().find(|user| user.name == name);
        let user = user.ok_or_else(|| fail(Fault::NotFound))?;
        user.gid = gid.unwrap_or(user.gid);
        let fields = [
            (change.shell, &mut user.shell),
            (change.home, &mut user.home),
            (change.comment, &mut user.comment),
        ];
        for (value, field) in fields {
            if let Some(value) = value {
                *field = value.to_owned();
            }
        }
        world.writes += 1;
        Ok(())
    }

    fn remove_user(&self, name: &str) -> Result<(), HostError> {
        let mut world = self.world();
        let fail = fail("remove the user", name);
        world.before_accounts().map_err(&fail)?;
        let user = world.accounts.user(name).cloned();
        let user = user.ok_or_else(|| fail(other(format!("user '{name}' does not exist"))))?;
        if world.processes.get(&user.uid).is_some_and(|list| !list.is_empty()) {
            return Err(fail(other(format!("user {name} is currently used by process 1"))));
        }
        world.accounts.users.retain(|known| known.name != name);
        let in_use = world.accounts.users.iter().any(|known| known.gid == user.gid);
        world.accounts.groups.retain(|group| group.name != name || in_use || !group.members.is_empty());
        for group in &mut world.accounts.groups {
            group.members.retain(|member| member != name);
        }
        world.writes += 1;
        Ok(())
    }

    fn key_file(&self, user: &UserEntry) -> Result<KeyFile, HostError> {
        let world = self.world();
        let fail = fail("read", &format!("{}/.ssh/authorized_keys", user.home));
        let [folder, file] = world.key_paths(user).map_err(&fail)?;
        let mut attributes = Vec::new();
        for (path, what, mode) in [(&folder, "~/.ssh", 0o700), (&file, "authorized_keys", 0o600)] {
            let Some(entry) = world.tree.get(path) else { continue };
            if entry.mode != mode {
                attributes.push(format!("{what} has mode {:04o} instead of {mode:04o}", entry.mode));
            }
            if entry.uid != user.uid {
                attributes.push(format!("{what} belongs to root instead of {}", user.name));
            }
        }
        let content = match world.tree.get(&file) {
            None => None,
            Some(entry) if entry.kind == FileKind::File => {
                let text = String::from_utf8(entry.content.clone());
                Some(text.map_err(|_| fail(other("it holds what is no text".into())))?)
            }
            Some(_) => return Err(fail(Fault::NotAFile)),
        };
        let roots_own = user.uid != 0
            && world.tree.get(&file).is_some_and(|entry| entry.uid == 0 && entry.mode & 0o004 == 0);
        Ok(KeyFile { content, attributes, roots_own })
    }

    fn write_key_file(&self, user: &UserEntry, content: &str) -> Result<(), HostError> {
        let ownership = Ownership { uid: Some(user.uid), gid: Some(user.gid) };
        let fail = fail("write", &format!("{}/.ssh/authorized_keys", user.home));
        let [folder, file] = self.world().key_paths(user).map_err(&fail)?;
        if self.stat(&folder)?.is_none() {
            self.make_directory(&folder, 0o700, ownership)?;
        } else {
            self.set_attributes(&folder, 0o700, ownership)?;
        }
        self.write(&WriteFile { path: &file, content: content.as_bytes(), mode: 0o600, ownership })
    }
}

//! Users and groups: the local files, read once for each change of them, then whatever else the system is set up to ask
//! (`getent`). Changed by the distribution's own tools, which keep all four files together.

use super::command::{self, tool};
use crate::host::{Account, Accounts, CommandLine, Fault, HostError, NewGroup, NewUser, UserChange};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

const LOOKUP_TIMEOUT_MS: u64 = 5_000;
/// The tools wait for each other's lock for up to 15 seconds.
const TOOL_TIMEOUT_MS: u64 = 60_000;
/// More kinds of processes than this are not listed.
const MAX_LISTED: usize = 8;

/// What tells one version of a file from another.
type Version = (u64, u64, u64, i64, i64);

/// What was read, and from which version of both files.
#[derive(Debug, Default)]
pub(super) struct Cache {
    known: Mutex<Option<([Version; 2], Arc<Accounts>)>>,
}

const FILES: [&str; 2] = ["/etc/passwd", "/etc/group"];

fn version(file: &str) -> Result<Version, HostError> {
    let file = Path::new(file);
    let found = file.metadata().map_err(|error| HostError::new("read", file, error.into()))?;
    // The inode changes with each rewrite, whatever the clock says.
    Ok((
        found.dev(),
        found.ino(),
        found.size(),
        found.mtime_nsec() ^ found.mtime(),
        found.ctime_nsec() ^ found.ctime(),
    ))
}

impl Cache {
    pub(super) fn accounts(&self) -> Result<Arc<Accounts>, HostError> {
        let versions = [version(FILES[0])?, version(FILES[1])?];
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, accounts)) = known.as_ref()
            && *of == versions
        {
            return Ok(accounts.clone());
        }
        let read = |file: &str| {
            let content = std::fs::read(file);
            let content = content.map_err(|error| HostError::new("read", Path::new(file), error.into()))?;
            Ok::<_, HostError>(String::from_utf8_lossy(&content).into_owned())
        };
        let accounts = Arc::new(Accounts::parse(&read(FILES[0])?, &read(FILES[1])?));
        *known = Some((versions, accounts.clone()));
        Ok(accounts)
    }

    pub(super) fn user(&self, name: &str) -> Result<Option<Account>, HostError> {
        let accounts = self.accounts()?;
        let number = || accounts.user_numbered(name.parse().ok()?);
        if let Some(user) = accounts.user(name).or_else(number) {
            return Ok(Some(Account { uid: user.uid, gid: user.gid }));
        }
        Ok(elsewhere("passwd", name)?.and_then(|line| {
            let mut fields = line.split(':').skip(2);
            Some(Account { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
        }))
    }

    pub(super) fn group(&self, name: &str) -> Result<Option<u32>, HostError> {
        let accounts = self.accounts()?;
        let number = || accounts.group_numbered(name.parse().ok()?);
        if let Some(group) = accounts.group(name).or_else(number) {
            return Ok(Some(group.gid));
        }
        Ok(elsewhere("group", name)?.and_then(|line| line.split(':').nth(2)?.parse().ok()))
    }
}

fn elsewhere(database: &'static str, name: &str) -> Result<Option<String>, HostError> {
    // A name with a colon or a newline is in no database, and must not reach the comparison below.
    if name.is_empty() || name.starts_with('-') || name.contains([':', '\n', '\0']) {
        return Ok(None);
    }
    let Some(program) = command::find("getent") else { return Ok(None) };
    let output = command::run(&CommandLine {
        program,
        args: vec![database.to_owned(), name.to_owned()],
        timeout_ms: LOOKUP_TIMEOUT_MS,
        ..CommandLine::default()
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let named = |line: &&str| line.split(':').next() == Some(name) || line.split(':').nth(2) == Some(name);
    Ok(text.lines().find(named).map(str::to_owned))
}

/// What runs as a user, by name, with how many processes.
pub(super) fn processes_of(uid: u32) -> Result<Vec<String>, HostError> {
    let folder = Path::new("/proc");
    let entries = folder.read_dir().map_err(|error| HostError::new("list", folder, Fault::from(error)))?;
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        // One that ended meanwhile is not there any more.
        let Ok(status) = std::fs::read_to_string(entry.path().join("status")) else { continue };
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let ours = field("Uid:").is_some_and(|ids| ids.split_whitespace().any(|id| id.parse() == Ok(uid)));
        if ours && !field("State:").is_some_and(|state| state.starts_with('Z')) {
            *counts.entry(field("Name:").unwrap_or("?").to_owned()).or_default() += 1;
        }
    }
    let more = counts.len().saturating_sub(MAX_LISTED);
    let mut listed: Vec<String> =
        counts.into_iter().take(MAX_LISTED).map(|(name, count)| format!("{name} ({count})")).collect();
    if more > 0 {
        listed.push(format!("{more} more"));
    }
    Ok(listed)
}

fn account_tool(action: &'static str, name: &str, program: &str, args: &[String]) -> Result<(), HostError> {
    let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
    args.extend(["--", name]);
    tool(action, name, program, &args, TOOL_TIMEOUT_MS).map(drop)
}

fn option(name: &str, value: impl ToString) -> [String; 2] {
    [name.to_owned(), value.to_string()]
}

pub(super) fn make_group(group: &NewGroup<'_>) -> Result<(), HostError> {
    let NewGroup { name, gid, system } = *group;
    let mut args = Vec::new();
    args.extend(system.then(|| "--system".to_owned()));
    args.extend(gid.into_iter().flat_map(|gid| option("--gid", gid)));
    account_tool("make the group", name, "groupadd", &args)
}

pub(super) fn remove_group(name: &str) -> Result<(), HostError> {
    account_tool("remove the group", name, "groupdel", &[])
}

pub(super) fn make_user(user: &NewUser<'_>) -> Result<(), HostError> {
    let NewUser { name, uid, group, groups, shell, home, comment, system } = *user;
    // No password fits `*`, and unlike `!` it does not make sshd refuse keys where PAM is not used.
    let mut args: Vec<String> = option("--password", "*").to_vec();
    args.push(if system { "--system" } else { "--create-home" }.to_owned());
    if system {
        args.push("--no-create-home".to_owned());
    }
    args.extend(option("--shell", shell));
    args.extend(uid.into_iter().flat_map(|uid| option("--uid", uid)));
    match group {
        Some(group) => args.extend(option("--gid", group)),
        None => args.push("--user-group".to_owned()),
    }
    if !groups.is_empty() {
        args.extend(option("--groups", groups.join(",")));
    }
    args.extend(home.iter().flat_map(|home| option("--home-dir", home)));
    args.extend(comment.iter().flat_map(|comment| option("--comment", comment)));
    account_tool("make the user", name, "useradd", &args)
}

pub(super) fn change_user(name: &str, change: &UserChange<'_>) -> Result<(), HostError> {
    let UserChange { group, join, shell, home, comment } = change;
    let mut args = Vec::new();
    args.extend(group.iter().flat_map(|group| option("--gid", group)));
    if !join.is_empty() {
        args.push("--append".to_owned());
        args.extend(option("--groups", join.join(",")));
    }
    args.extend(shell.iter().flat_map(|shell| option("--shell", shell)));
    args.extend(home.iter().flat_map(|home| option("--home", home)));
    args.extend(comment.iter().flat_map(|comment| option("--comment", comment)));
    if args.is_empty() {
        return Ok(());
    }
    account_tool("change the user", name, "usermod", &args)
}

pub(super) fn remove_user(name: &str) -> Result<(), HostError> {
    account_tool("remove the user", name, "userdel", &[])
}

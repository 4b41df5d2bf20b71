//! Who administers this host, and with what they could sign in.

use muster_domain::fleet::declared::ADMINS_SUDOERS;
use muster_domain::resource::DesiredState;
use muster_planning::convergence::{Admin, without_managed_keys};
use muster_platform::{Fault, Host, HostError};
use std::path::{Path, PathBuf};

/// Whoever is in one of these may become root, as Debian and Ubuntu set up sudo.
const ADMIN_GROUPS: [&str; 3] = ["sudo", "admin", "wheel"];

/// What a key is called in `authorized_keys`.
const KEY_KINDS: [&str; 5] = ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"];

const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Root, and whoever may become root, once these resources are gone. `keys` is where the server looks for keys.
pub(super) fn admins(host: &dyn Host, keys: &[String], gone: &[DesiredState]) -> Result<Vec<Admin>, String> {
    let without = |holds: &dyn Fn(&DesiredState) -> bool| gone.iter().any(holds);
    let (passwd, group, shadow) =
        (read(host, "/etc/passwd")?, read(host, "/etc/group")?, read(host, "/etc/shadow")?);
    // Where the base role says who may become root without being in one of the groups.
    let sudoers =
        match without(&|gone| matches!(gone, DesiredState::File(file) if file.path == ADMINS_SUDOERS)) {
            true => String::new(),
            false => read(host, ADMINS_SUDOERS)?,
        };
    let named = |name: &str| sudoers.lines().any(|line| line.split_whitespace().next() == Some(name));
    let mut admins = Vec::new();
    for line in passwd.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, shell] = fields[..] else { continue };
        let (Ok(uid), root) = (uid.parse::<u32>(), uid == "0") else { continue };
        let groups = groups_of(&group, name, gid);
        let administers =
            root || named(name) || groups.iter().any(|group| ADMIN_GROUPS.contains(&group.as_str()));
        if !administers || shell.ends_with("/nologin") || shell.ends_with("/false") {
            continue;
        }
        if without(&|gone| matches!(gone, DesiredState::User(user) if user.name == name)) {
            continue;
        }
        let ours_too =
            !without(&|gone| matches!(gone, DesiredState::AuthorizedKey(keys) if keys.user == name));
        admins.push(Admin {
            name: name.to_owned(),
            root,
            key: has_key(host, keys, (name, uid, home), ours_too),
            password: has_password(&shadow, name),
            groups,
        });
    }
    Ok(admins)
}

fn read(host: &dyn Host, path: &str) -> Result<String, String> {
    match host.read(Path::new(path), MAX_FILE_BYTES) {
        Ok(content) => Ok(String::from_utf8_lossy(&content).into_owned()),
        Err(HostError { fault: Fault::NotFound, .. }) => Ok(String::new()),
        Err(error) => Err(error.to_string()),
    }
}

fn groups_of(group: &str, name: &str, gid: &str) -> Vec<String> {
    let of = |line: &str| {
        let mut fields = line.split(':');
        let (group, number, members) = (fields.next()?, fields.nth(1)?, fields.next()?);
        let member = number == gid || members.split(',').any(|member| member == name);
        member.then(|| group.to_owned())
    };
    group.lines().filter_map(of).collect()
}

/// A hash, and not what stands for "none" or "locked".
fn has_password(shadow: &str, name: &str) -> bool {
    let hash = shadow.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.split(':').next());
    hash.is_some_and(|hash| !hash.is_empty() && !hash.starts_with(['!', '*']))
}

/// Whether a key lies where the server looks, and nobody else could have put it there: the server does not take it then.
/// Those that the agent put there count only with `ours_too`.
fn has_key(host: &dyn Host, files: &[String], (name, uid, home): (&str, u32, &str), ours_too: bool) -> bool {
    let files = files.iter().flat_map(|line| line.split_whitespace()).filter(|file| *file != "none");
    files.map(|file| place(file, name, home)).any(|path| {
        let holds = host.read(&path, MAX_FILE_BYTES).is_ok_and(|content| {
            let content = String::from_utf8_lossy(&content);
            if ours_too { content.lines().any(key) } else { without_managed_keys(&content).lines().any(key) }
        });
        holds
            && path.ancestors().take_while(|part| part.starts_with(home)).all(|part| private(host, part, uid))
            && private(host, &path, uid)
    })
}

fn place(pattern: &str, name: &str, home: &str) -> PathBuf {
    let path = pattern.replace("%%", "\0").replace("%h", home).replace("%u", name).replace('\0', "%");
    // An absolute path stays what it is.
    Path::new(home).join(path)
}

fn private(host: &dyn Host, path: &Path, uid: u32) -> bool {
    let stat = host.stat(path).ok().flatten();
    stat.is_some_and(|stat| (stat.uid == uid || stat.uid == 0) && stat.mode & 0o022 == 0)
}

/// A line of `authorized_keys` with a key in it; options may stand before it.
fn key(line: &str) -> bool {
    let line = line.trim();
    if line.starts_with('#') {
        return false;
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    words.windows(2).any(|pair| {
        KEY_KINDS.iter().any(|kind| pair[0].starts_with(kind))
            && pair[1].len() > 60
            && pair[1].starts_with("AAAA")
    })
}

//! Users and groups an application may run as.

use std::process::Command;

use muster_supervisor_protocol::AppSpec;

/// Who a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups, when it is not our own user.
    pub(crate) groups: Vec<u32>,
    pub(crate) name: String,
    pub(crate) home: String,
}

impl Credentials {
    pub(crate) fn differs_from_ours(&self) -> bool {
        rustix::process::geteuid().as_raw() != self.uid || rustix::process::getegid().as_raw() != self.gid
    }

    /// Whether the mode bits of a folder let this user create files in it.
    pub(crate) fn may_write(&self, owner: u32, group: u32, mode: u32) -> bool {
        let class = if owner == self.uid {
            6
        } else if group == self.gid || self.groups.contains(&group) {
            3
        } else {
            0
        };
        self.uid == 0 || (mode >> class) & 0o3 == 0o3
    }
}

/// The user the spec names; `None` = as the supervisor. A user other than ours needs root.
pub(crate) fn resolve(spec: &AppSpec) -> Result<Option<Credentials>, String> {
    let Some(user) = &spec.user else {
        return match &spec.group {
            None => Ok(None),
            Some(_) => Err("a group without a user cannot be used: name the user as well".to_owned()),
        };
    };
    let entry =
        lookup("passwd", user)?.ok_or_else(|| format!("there is no user {user:?} on this machine"))?;
    let number = |field: usize| entry.get(field).and_then(|text| text.parse::<u32>().ok());
    let (Some(uid), Some(own_gid)) = (number(2), number(3)) else {
        return Err(format!("the entry of user {user:?} is not understood"));
    };
    let gid = match &spec.group {
        None => own_gid,
        Some(group) => lookup("group", group)?
            .and_then(|entry| entry.get(2)?.parse().ok())
            .ok_or_else(|| format!("there is no group {group:?} on this machine"))?,
    };
    let text = |field: usize| entry.get(field).cloned().unwrap_or_default();
    let mut credentials = Credentials { uid, gid, groups: Vec::new(), name: text(0), home: text(5) };
    if credentials.differs_from_ours() {
        if !rustix::process::geteuid().is_root() {
            return Err(format!("running as user {user:?} needs a supervisor that runs as root"));
        }
        credentials.groups = supplementary_groups(&credentials.name, gid);
    }
    Ok(Some(credentials))
}

/// The groups a user is in besides its main one, as a login gives them. Like [`lookup`]: the files first, and the name
/// service for users it alone knows.
fn supplementary_groups(name: &str, gid: u32) -> Vec<u32> {
    let read = |file| std::fs::read_to_string(file).unwrap_or_default();
    let mut groups = if find(&read("/etc/passwd"), name).is_some() {
        groups_of(&read("/etc/group"), name)
    } else {
        let listed = Command::new("id").args(["-G", "--", name]).output();
        let listed =
            listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        listed.split_ascii_whitespace().filter_map(|group| group.parse().ok()).collect()
    };
    groups.retain(|group| *group != gid);
    groups.sort_unstable();
    groups.dedup();
    groups
}

fn groups_of(text: &str, name: &str) -> Vec<u32> {
    text.lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let (gid, members) = (fields.get(2)?.parse().ok()?, fields.get(3)?);
            members.split(',').any(|member| member == name).then_some(gid)
        })
        .collect()
}

/// One entry of a name service database, by name or number. The file is looked at first; `getent` knows the rest
/// (LDAP and the like).
fn lookup(database: &str, key: &str) -> Result<Option<Vec<String>>, String> {
    if key.is_empty() || key.contains([':', '\n', '\0']) || key.starts_with('-') {
        return Err(format!("{key:?} is not the name of a user or group"));
    }
    let text = std::fs::read_to_string(format!("/etc/{database}")).unwrap_or_default();
    if let Some(entry) = find(&text, key) {
        return Ok(Some(entry));
    }
    match Command::new("getent").args([database, key]).output() {
        Ok(output) => Ok(find(&String::from_utf8_lossy(&output.stdout), key)),
        Err(_) => Ok(None),
    }
}

fn find(text: &str, key: &str) -> Option<Vec<String>> {
    text.lines()
        .map(|line| line.split(':').map(str::to_owned).collect::<Vec<_>>())
        .find(|entry| entry.len() >= 3 && (entry[0] == key || entry[2] == key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/var/www:/bin/false\n";
        assert_eq!(find(passwd, "web").unwrap()[5], "/var/www");
        assert_eq!(find(passwd, "33").unwrap()[0], "web");
        assert!(find(passwd, "34").is_none());
    }

    #[test]
    fn supplementary_groups_are_those_that_list_the_user() {
        let group = "root:x:0:\nweb:x:33:\nssl-cert:x:106:postgres,web\nadm:x:4:syslog,webmaster\n";
        assert_eq!(groups_of(group, "web"), [106]);
        assert_eq!(groups_of(group, "web,x"), [] as [u32; 0]);
    }

    #[test]
    fn a_missing_user_is_named() {
        let mut spec = AppSpec::new("a", "/", "a.js");
        spec.user = Some("nobody-of-that-name".into());
        assert!(resolve(&spec).unwrap_err().contains("nobody-of-that-name"));
    }

    #[test]
    fn write_permission_is_that_of_the_most_specific_class() {
        let user =
            Credentials { uid: 10, gid: 20, groups: vec![30], name: String::new(), home: String::new() };
        assert!(user.may_write(0, 30, 0o070), "a supplementary group counts");
        assert!(user.may_write(10, 0, 0o700));
        assert!(!user.may_write(10, 0, 0o077), "the owner's bits decide for the owner");
        assert!(user.may_write(0, 20, 0o070));
        assert!(user.may_write(0, 0, 0o1777));
        assert!(!user.may_write(0, 0, 0o755));
    }
}

//! Accounts of the machine, as far as `uid` and `gid` of an application ask for them.

use std::collections::BTreeMap;
use std::fs;

use muster_pm2::Pm2App;

use crate::Failure;

/// The account an application shall run as, and its home.
pub(crate) fn resolve(app: &Pm2App) -> Result<(Option<String>, Option<String>), Failure> {
    let Some(account) = app.uid.as_ref() else {
        if app.gid.is_some() && !rustix::process::geteuid().is_root() {
            return Err(root_needed());
        }
        return Ok((None, None));
    };
    if !rustix::process::geteuid().is_root() {
        return Err(root_needed());
    }
    let passwd = fs::read_to_string("/etc/passwd")
        .map_err(|error| Failure::new(format!("/etc/passwd cannot be read: {error}")))?;
    let home =
        home_of(&passwd, account).ok_or_else(|| Failure::new(format!("User {account} cannot be found")))?;
    Ok((Some(account.clone()), Some(home)))
}

fn root_needed() -> Failure {
    Failure::new("To use --uid and --gid please run pm2 as root")
}

/// Home of an account, by its name or number.
fn home_of(passwd: &str, account: &str) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?;
        let home = fields.nth(2)?;
        (name == account || uid == account).then(|| home.to_owned())
    })
}

/// Who calls.
pub(crate) fn current_user(env: &BTreeMap<String, String>) -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let by_number = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    by_number
        .or_else(|| ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| env.get(*name).cloned()))
        .unwrap_or(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_found_by_name_and_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33:www:/var/www:/usr/sbin/nologin\n";
        assert_eq!(home_of(passwd, "www-data").as_deref(), Some("/var/www"));
        assert_eq!(home_of(passwd, "0").as_deref(), Some("/root"));
        assert_eq!(home_of(passwd, "nobody"), None);
    }
}

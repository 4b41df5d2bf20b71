//! Files, folders and links of the nodes, as people declare them.

use super::lists::{self, Texts};
use super::{Common, Selector};
use crate::resource::{Mode, OnRemoval, Validator};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A file, a folder or a link on the nodes that `on` chooses. Exactly one of `content`, `source`, `secret`, `link_to` and
/// `directory: true` is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Absolute path on the node. Required.
    pub path: String,
    /// The content itself. Default: said by one of the following four.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// A file beside the fleet files that holds the content, relative to the folder that is applied. Default: said by
    /// another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The name of a secret that is the content; its value is set with `muster secret set`. It shows in no diff.
    /// Default: said by another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Makes it a symbolic link to this. Default: it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_to: Option<String>,
    /// Makes it a folder. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub directory: bool,
    /// Permissions in octal, in quotes: `"0644"`. Default: 0644 for a file, 0755 for a folder, 0600 for a secret, and 0440
    /// below `/etc/sudoers.d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^0?[0-7]{3,4}$"))]
    pub mode: Option<String>,
    /// Owner by name. Default: as it is, root for what is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Group by name. Default: as it is, root for what is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Who has to accept the content before it takes the place of the old: `nginx`, `sshd`, `sudoers`, `haproxy`, `stunnel`,
    /// `logrotate`, `cron`, `systemd`, or a command line in which `{}` stands for a file with it; `none` for nobody.
    /// Default: by the path, such as nginx below `/etc/nginx`; else nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<String>,
    /// Which nodes have it. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Selector>,
    /// What is done about a difference: `enforce` puts it right, `report` says it and changes nothing, `ignore` does not even
    /// look. The strictest of this, the node and its environment holds. Default: enforce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<Mode>,
    /// What becomes of it on a node when it is no longer declared there: `keep` leaves it, and that is reported; `remove`
    /// takes it away. Default: keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_removal: Option<OnRemoval>,
    /// What comes first, by resource: `package:nginx`, `file:/etc/nginx/nginx.conf`. When one of them fails, this is not
    /// tried. Default: the declared folder above it; the package of the same name for what lies below `/etc/NAME`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::texts")]
    #[schemars(with = "Texts")]
    pub depends_on: Vec<String>,
}

/// A word in `validate` that means nobody.
const NOBODY: &str = "none";

impl FileEntry {
    /// What may be written in `validate` besides a command line.
    pub const VALIDATORS: [&str; 9] =
        [NOBODY, "nginx", "sshd", "sudoers", "haproxy", "stunnel", "logrotate", "cron", "systemd"];

    /// What it has in common with other entries.
    pub fn common(&self) -> Common<'_> {
        Common {
            on: self.on.as_ref(),
            enforcement: self.enforcement,
            on_removal: self.on_removal,
            depends_on: &self.depends_on,
            ..Common::default()
        }
    }

    /// Who has to accept it at its path: `Err` when `validate` is neither a known word nor a command line with `{}`.
    pub fn validator(&self) -> Result<Option<Validator>, InvalidValidator> {
        let Some(text) = &self.validate else { return Ok(Validator::of_path(&self.path)) };
        Ok(match text.as_str() {
            NOBODY => None,
            "nginx" => Some(Validator::Nginx),
            "sshd" => Some(Validator::Sshd),
            "sudoers" => Some(Validator::Sudoers),
            "haproxy" => Some(Validator::Haproxy),
            "stunnel" => Some(Validator::Stunnel),
            "logrotate" => Some(Validator::Logrotate),
            "cron" => Some(Validator::Cron),
            "systemd" => Some(Validator::SystemdUnit),
            line if line.contains("{}") => Some(Validator::Command(line.to_owned())),
            _ => return Err(InvalidValidator),
        })
    }
}

/// A text that names no validator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "write nginx, sshd, sudoers, haproxy, stunnel, logrotate, cron, systemd or none, or a command line with {{}}"
)]
pub struct InvalidValidator;

impl Validator {
    /// Who knows what a file at this path has to look like.
    pub fn of_path(path: &str) -> Option<Self> {
        let unit = |name: &str| crate::host_names::unit_file(name);
        let below = |folder: &str| path.strip_prefix(folder).filter(|rest| !rest.is_empty());
        if below("/etc/nginx/").is_some() {
            Some(Self::Nginx)
        } else if path == "/etc/ssh/sshd_config" || below("/etc/ssh/sshd_config.d/").is_some() {
            Some(Self::Sshd)
        } else if path == "/etc/sudoers" || below("/etc/sudoers.d/").is_some() {
            Some(Self::Sudoers)
        } else if path == "/etc/logrotate.conf" || below("/etc/logrotate.d/").is_some() {
            Some(Self::Logrotate)
        } else if path == "/etc/crontab" || below("/etc/cron.d/").is_some() {
            Some(Self::Cron)
        } else if below("/etc/systemd/system/").is_some_and(unit) {
            Some(Self::SystemdUnit)
        } else if below("/etc/haproxy/").is_some_and(|name| name.ends_with(".cfg")) {
            Some(Self::Haproxy)
        } else if below("/etc/stunnel/").is_some_and(|name| name.ends_with(".conf")) {
            Some(Self::Stunnel)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_says_who_judges_a_file_and_a_word_says_otherwise() {
        let check = |path: &str, validate: Option<&str>| {
            FileEntry { path: path.to_owned(), validate: validate.map(str::to_owned), ..FileEntry::default() }
                .validator()
        };
        for (path, expected) in [
            ("/etc/nginx/sites-enabled/shop", Some(Validator::Nginx)),
            ("/etc/nginx", None),
            ("/etc/nginx-extra/a", None),
            ("/etc/ssh/sshd_config", Some(Validator::Sshd)),
            ("/etc/ssh/sshd_config.d/10-shop.conf", Some(Validator::Sshd)),
            ("/etc/ssh/ssh_config", None),
            ("/etc/sudoers.d/deploy", Some(Validator::Sudoers)),
            ("/etc/logrotate.d/shop", Some(Validator::Logrotate)),
            ("/etc/cron.d/shop", Some(Validator::Cron)),
            ("/etc/systemd/system/a.service", Some(Validator::SystemdUnit)),
            ("/etc/systemd/system/a.service.d/b.conf", Some(Validator::SystemdUnit)),
            ("/etc/systemd/system/README", None),
            ("/etc/haproxy/haproxy.cfg", Some(Validator::Haproxy)),
            ("/etc/haproxy/errors/503.http", None),
            ("/etc/stunnel/redis.conf", Some(Validator::Stunnel)),
            ("/etc/motd", None),
        ] {
            assert_eq!(check(path, None), Ok(expected), "{path}");
        }
        assert_eq!(check("/etc/nginx/a", Some("none")), Ok(None));
        assert_eq!(check("/srv/a", Some("jq . {}")), Ok(Some(Validator::Command("jq . {}".to_owned()))));
        assert_eq!(check("/srv/a", Some("ngnix")), Err(InvalidValidator));
        for word in FileEntry::VALIDATORS {
            assert!(check("/srv/a", Some(word)).is_ok(), "{word}");
        }
    }
}

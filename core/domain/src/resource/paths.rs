//! Folders, files and links.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// Absolute path.
    pub path: String,
    /// Permission bits, `0o0000` to `0o7777`.
    pub mode: u32,
    /// Owner by name; absent means "leave as it is".
    pub owner: Option<String>,
    /// Group by name; absent means "leave as it is".
    pub group: Option<String>,
}

/// A regular file. The parent folder must exist or be declared.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Absolute path.
    pub path: String,
    /// The whole content.
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Owner by name; absent means "leave as it is".
    pub owner: Option<String>,
    /// Group by name; absent means "leave as it is".
    pub group: Option<String>,
    /// The content is a secret: never shown in a diff, a report or a log.
    pub sensitive: bool,
    /// Who has to accept the new content before it takes the place of the old.
    pub validate: Option<Validator>,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("path", &self.path)
            .field("content_bytes", &self.content.len())
            .field("mode", &format_args!("{:#o}", self.mode))
            .field("owner", &self.owner)
            .field("group", &self.group)
            .field("sensitive", &self.sensitive)
            .field("validate", &self.validate)
            .finish()
    }
}

/// Who judges a file before it is put into place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Validator {
    /// `nginx -t`, over the whole configuration with this file in it.
    Nginx,
    /// `sshd -t`, over the whole configuration with this file in it.
    Sshd,
    /// `visudo -c`.
    Sudoers,
    /// `haproxy -c`.
    Haproxy,
    /// stunnel's own reading of the file.
    Stunnel,
    /// `logrotate --debug`.
    Logrotate,
    /// The grammar of cron.
    Cron,
    /// `systemd-analyze verify`.
    SystemdUnit,
    /// A command line for `/bin/sh`; `{}` stands for a file with the new content. It ends with 0 when the file is good.
    Command(String),
}

/// A symbolic link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symlink {
    /// Absolute path of the link itself.
    pub path: String,
    /// What it points to, verbatim.
    pub target: String,
}

//! Where the output of an application goes.

use serde::{Deserialize, Serialize};

/// Where output goes, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSettings {
    /// Folder under which `<app>/<instance>-out.log` and `-err.log` are written unless a file is named below; none = such
    /// output is kept in memory only.
    #[serde(default)]
    pub dir: Option<String>,
    /// Standard output.
    #[serde(default)]
    pub out_file: LogFile,
    /// Standard error. May be the same path as `out_file`.
    #[serde(default)]
    pub error_file: LogFile,
    /// Both, in addition. [`LogFile::Default`] = none.
    #[serde(default)]
    pub log_file: LogFile,
    /// All instances write to the named files; else the instance's number (`pm_id` for applications of the pm2-compatible
    /// command) is put before the extension: `out-3.log`.
    #[serde(default)]
    pub merge: bool,
    /// Nothing is stored and nothing is shown; the last lines of stderr are still told when a start fails.
    #[serde(default)]
    pub disabled: bool,
    /// Lines as they come, or JSON.
    #[serde(default)]
    pub format: LogFormat,
    /// Format of the time put before each line, in the language of dayjs: `YYYY-MM-DD HH:mm:ss Z`.
    #[serde(default)]
    pub date_format: Option<String>,
    /// When files are rotated.
    #[serde(default)]
    pub rotation: LogRotation,
}

/// One destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFile {
    /// Where it goes when nobody says otherwise.
    #[default]
    Default,
    /// Nowhere (`/dev/null`).
    None,
    /// To this file, which is appended to; its folder is made.
    Path(String),
}

impl LogFile {
    /// The path, when one is named.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Path(path) => Some(path),
            Self::Default | Self::None => None,
        }
    }
}

/// How lines are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// As they come, byte by byte.
    #[default]
    Raw,
    /// `{"message":…,"timestamp":…,"type":"out","process_id":0,"app_name":"web"}` per line, the keys of pm2. A message is
    /// one line without its end (pm2: what one write brought), and at most 16 KiB of it; a longer line is several.
    Json,
}

/// When log files are rotated, and what is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogRotation {
    /// A file that would grow beyond this size is renamed: `out.log.1`, the next one `out.log.2`, and so on; a name is
    /// never used twice. A line is never parted: one of more than 16 KiB may make its file larger. 0 = whatever its size.
    pub max_bytes: u64,
    /// How many renamed files are kept besides the current one.
    pub keep: u32,
    /// Also at these times (cron pattern of 5 or 6 fields, the machine's time zone), unless the file is empty.
    pub schedule: Option<String>,
    /// Renamed files are compressed (`.gz`).
    pub compress: bool,
    /// When less than this is free where the logs are, renamed files are deleted, oldest first, and if that does not help,
    /// lines are dropped and counted instead of filling the disk. At most a tenth of the file system; 0 = no floor.
    pub min_free_bytes: u64,
}

impl Default for LogRotation {
    fn default() -> Self {
        Self {
            max_bytes: 10 * 1024 * 1024,
            keep: 5,
            schedule: None,
            compress: false,
            min_free_bytes: 256 * 1024 * 1024,
        }
    }
}

//! Where pm2 puts what applications write.

use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::app::LogFile;
use crate::surroundings::Surroundings;

/// The name as it stands in names of files: everything but letters, digits, `.`, `-` and `\` becomes `-`.
pub(crate) fn file_name(app: &str) -> String {
    app.chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '\\') { c } else { '-' })
        .collect()
}

/// A stream's file: as given, or pm2's own.
pub(crate) fn stream(
    given: Option<&Value>,
    default: &str,
    cwd: &Path,
    surroundings: &Surroundings,
) -> LogFile {
    match given {
        Some(Value::String(path)) if matches!(path.as_str(), "NULL" | "/dev/null") => LogFile::None,
        Some(Value::String(path)) if !path.is_empty() => LogFile::Path(absolute(path, cwd, surroundings)),
        _ => LogFile::Path(surroundings.pm2_home.join("logs").join(default)),
    }
}

/// The combined log: there is none unless it is asked for.
pub(crate) fn combined(
    given: Option<&Value>,
    name: &str,
    cwd: &Path,
    surroundings: &Surroundings,
) -> LogFile {
    match given {
        Some(Value::Bool(true)) => {
            LogFile::Path(surroundings.pm2_home.join("logs").join(format!("{name}.log")))
        }
        Some(Value::String(_)) => stream(given, &format!("{name}.log"), cwd, surroundings),
        _ => LogFile::None,
    }
}

/// A path of pm2's: `~` is the home, everything else relative to the working directory.
pub(crate) fn absolute(path: &str, cwd: &Path, surroundings: &Surroundings) -> PathBuf {
    match path.strip_prefix('~') {
        Some(rest) => normal(&surroundings.home.join(rest.trim_start_matches('/'))),
        None => normal(&cwd.join(path)),
    }
}

/// Without `.` and `..`, as `path.resolve` does it: links are not looked at.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                result.pop();
            }
            other => result.push(other),
        }
    }
    result
}

impl LogFile {
    /// The file of the instance with this `pm_id`, as pm2 names it.
    pub fn of_instance(&self, pm_id: u32, merge_logs: bool) -> Self {
        match self {
            Self::Path(path) if !merge_logs => {
                let text = path.to_string_lossy();
                match text.strip_suffix(".log") {
                    Some(stem) => Self::Path(PathBuf::from(format!("{}-{pm_id}.log", without_id(stem)))),
                    None => self.clone(),
                }
            }
            _ => self.clone(),
        }
    }
}

/// Without the number that a former start appended.
pub(crate) fn without_id(stem: &str) -> &str {
    match stem.rsplit_once('-') {
        Some((before, id)) if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) => before,
        _ => stem,
    }
}

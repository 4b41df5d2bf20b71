//! What may be the path of an entry: relative, clean, and safe to join to any directory.

use crate::limits::{MAX_COMPONENT_BYTES, MAX_PATH_BYTES};

/// Why a path cannot be part of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// There is no path.
    #[error("it is empty")]
    Empty,
    /// It begins with a slash.
    #[error("it is absolute; paths are relative to the root of the artifact")]
    Absolute,
    /// A component is `..`.
    #[error("it contains \"..\"")]
    Parent,
    /// A component is empty or `.`.
    #[error("it contains an empty component or \".\"")]
    NotClean,
    /// It contains NUL or another control character.
    #[error("it contains a control character")]
    Control,
    /// It is longer than [`MAX_PATH_BYTES`].
    #[error("it is longer than {MAX_PATH_BYTES} bytes")]
    TooLong,
    /// One name in it is longer than [`MAX_COMPONENT_BYTES`].
    #[error("a name in it is longer than {MAX_COMPONENT_BYTES} bytes")]
    ComponentTooLong,
}

/// Checks the path of an entry.
pub fn check_path(path: &str) -> Result<(), PathFault> {
    if path.is_empty() {
        return Err(PathFault::Empty);
    }
    if path.len() > MAX_PATH_BYTES {
        return Err(PathFault::TooLong);
    }
    if path.chars().any(char::is_control) {
        return Err(PathFault::Control);
    }
    if path.starts_with('/') {
        return Err(PathFault::Absolute);
    }
    for component in path.split('/') {
        match component {
            "" | "." => return Err(PathFault::NotClean),
            ".." => return Err(PathFault::Parent),
            name if name.len() > MAX_COMPONENT_BYTES => return Err(PathFault::ComponentTooLong),
            _ => {}
        }
    }
    Ok(())
}

/// The directory that holds this path; empty for a path at the root.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clean_relative_paths_pass() {
        for good in ["a", "a/b", ".env", "..a/b", "node_modules/.bin/x", "ü/é", "a b", "a\\b", "..."] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
        let long = "a".repeat(256);
        let deep = "a/".repeat(600) + "a";
        for (bad, fault) in [
            ("", PathFault::Empty),
            ("/etc/passwd", PathFault::Absolute),
            ("../a", PathFault::Parent),
            ("a/../../b", PathFault::Parent),
            ("..", PathFault::Parent),
            ("a//b", PathFault::NotClean),
            ("a/", PathFault::NotClean),
            ("./a", PathFault::NotClean),
            ("a\0b", PathFault::Control),
            ("a\nb", PathFault::Control),
            (long.as_str(), PathFault::ComponentTooLong),
            (deep.as_str(), PathFault::TooLong),
        ] {
            assert_eq!(check_path(bad), Err(fault), "{bad}");
        }
    }
}

//! Paths on a node: one spelling per place, so that two declarations of one file are seen to be the same.

/// The longest path that Linux takes.
const MAX_BYTES: usize = 4095;
/// The longest name of a file that Linux takes.
const MAX_NAME_BYTES: usize = 255;

/// The path without a slash at its end; `None` unless it is absolute and has no empty, `.` or `..` part, no control
/// characters and no part that is too long. The root itself is not a path that can be declared.
pub fn normal(path: &str) -> Option<&str> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let plain = path.len() <= MAX_BYTES
        && !path.chars().any(char::is_control)
        && path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(plain_name));
    plain.then_some(path)
}

/// Whether a relative path stays where it is resolved: no empty, `.` or `..` part, no control characters.
pub fn stays_inside(path: &str) -> bool {
    path.len() <= MAX_BYTES && !path.chars().any(char::is_control) && path.split('/').all(plain_name)
}

fn plain_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && name.len() <= MAX_NAME_BYTES
}

/// The folders above a path, nearest first, without the root.
pub fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(above, _)| above))
        .skip(1)
        .filter(|above| !above.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_absolute_paths_are_normal() {
        assert_eq!(normal("/etc/motd"), Some("/etc/motd"));
        assert_eq!(normal("/etc/"), Some("/etc"));
        for bad in ["", "/", "//", "etc", "./a", "/a//b", "/a/./b", "/a/../b", "/..", "/a\nb\n", "/a\u{7f}"] {
            assert_eq!(normal(bad), None, "{bad:?}");
        }
        assert_eq!(normal(&format!("/{}", "x".repeat(256))), None);
        assert_eq!(normal(&"/xxxxxxxxx".repeat(410)), None);
    }

    #[test]
    fn relative_paths_may_not_leave() {
        assert!(stays_inside("server.js") && stays_inside("dist/server.js"));
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/", "a\0b"] {
            assert!(!stays_inside(bad), "{bad:?}");
        }
    }

    #[test]
    fn ancestors_end_below_the_root() {
        assert_eq!(ancestors("/a/b/c").collect::<Vec<_>>(), ["/a/b", "/a"]);
        assert_eq!(ancestors("/a").count(), 0);
    }
}

//! Where the files of a release come from, as git tells it.

use std::path::Path;
use std::process::Stdio;

use muster_api_types::GitOrigin;
use muster_artifact::Digest;
use muster_domain::ReleaseVersion;
use tokio::process::Command;

/// The state of a git work tree.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) git: GitOrigin,
    /// `git describe --tags --always`: the newest tag and the distance from it, or the short commit.
    described: String,
}

impl Origin {
    /// The version that follows from it. With uncommitted changes the commit does not name the content, so the
    /// beginning of the digest goes with it.
    pub(super) fn version(&self, digest: Digest) -> Option<String> {
        let suffix =
            if self.git.dirty { format!("-dirty.{}", &digest.to_string()[..8]) } else { String::new() };
        let room = 64 - suffix.len();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
        let name: String =
            self.described.chars().map(|c| if allowed(c) { c } else { '-' }).take(room).collect();
        let version = format!("{}{suffix}", name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()));
        ReleaseVersion::parse(version.as_str()).ok().map(|_| version)
    }
}

/// What git says about a folder; `None` without git, outside of a work tree, before the first commit, and for a
/// folder that the work tree ignores: its content has nothing to do with the commit.
pub(super) async fn read(folder: &Path) -> Option<Origin> {
    let commit = git(folder, &["rev-parse", "--verify", "HEAD"]).await?;
    if git(folder, &["check-ignore", "--quiet", "."]).await.is_some() {
        return None;
    }
    let described = git(folder, &["describe", "--tags", "--always"]).await?;
    let branch = git(folder, &["symbolic-ref", "--quiet", "--short", "HEAD"]).await;
    let dirty = git(folder, &["status", "--porcelain", "--", "."]).await.is_none_or(|text| !text.is_empty());
    Some(Origin { git: GitOrigin { commit, branch, dirty }, described })
}

async fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .await
        .ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(described: &str, dirty: bool) -> Origin {
        Origin {
            git: GitOrigin { commit: "c".repeat(40), branch: None, dirty },
            described: described.to_owned(),
        }
    }

    #[test]
    fn versions_follow_from_git() {
        let digest = Digest::from_bytes([0xab; 32]);
        let version = |described: &str, dirty| origin(described, dirty).version(digest);
        assert_eq!(version("v1.2.3", false).as_deref(), Some("v1.2.3"));
        assert_eq!(version("v1.2.3-4-gabcdef0", false).as_deref(), Some("v1.2.3-4-gabcdef0"));
        assert_eq!(version("v1.2.3", true).as_deref(), Some("v1.2.3-dirty.abababab"));
        assert_eq!(version("release/1.0", false).as_deref(), Some("release-1.0"));
        assert_eq!(version("-ü", false), None);
        let long = version(&"x".repeat(100), true).unwrap();
        assert!(long.len() == 64 && long.ends_with("-dirty.abababab"), "{long}");
    }

    fn run_git(folder: &Path, arguments: &[&str]) {
        let identity =
            ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"];
        let status = std::process::Command::new("git")
            .arg("-C")
            .arg(folder)
            .args(identity)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "git {arguments:?}");
    }

    #[tokio::test]
    async fn a_work_tree_is_read_and_an_ignored_folder_is_not_part_of_it() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).await.is_none());
        run_git(folder.path(), &["init"]);
        assert!(read(folder.path()).await.is_none(), "before the first commit");
        std::fs::write(folder.path().join(".gitignore"), "dist\n").unwrap();
        run_git(folder.path(), &["add", "."]);
        run_git(folder.path(), &["commit", "-m", "first"]);
        let clean = read(folder.path()).await.unwrap();
        assert_eq!(
            (clean.git.branch.as_deref(), clean.git.dirty, clean.git.commit.len()),
            (Some("main"), false, 40)
        );
        std::fs::create_dir(folder.path().join("dist")).unwrap();
        assert!(read(&folder.path().join("dist")).await.is_none());
        std::fs::write(folder.path().join("new"), "").unwrap();
        assert!(read(folder.path()).await.unwrap().git.dirty);
    }
}

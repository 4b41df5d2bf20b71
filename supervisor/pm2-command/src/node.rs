//! Which program really runs a script, and which Node.js that is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use muster_pm2::{Files, Interpreter, LocalFiles, Pm2App};

use crate::{Context, Failure};

/// From these versions on Node.js runs TypeScript: by itself, or when it is told to.
const STRIPS_TYPES: [(u32, u32); 2] = [(22, 18), (23, 6)];
const STRIPS_TYPES_WHEN_TOLD: (u32, u32) = (22, 6);

/// What runs a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// Absolute path; `None` executes the script itself.
    pub(crate) path: Option<String>,
    /// As pm2 calls it.
    pub(crate) shown: String,
    /// Arguments it needs besides those that were given.
    pub(crate) extra_args: Vec<String>,
    /// Its version when it is Node.js.
    pub(crate) node_version: Option<String>,
}

/// Finds the interpreter of an application by pm2's rules.
pub(crate) fn interpreter(context: &Context, app: &Pm2App) -> Result<Chosen, Failure> {
    let files = LocalFiles::new(&context.env);
    let missing = |name: &str| {
        Failure::new(format!(
            "Interpreter {name} is NOT AVAILABLE in PATH. (type 'which {name}' to double check.)"
        ))
    };
    let chosen = |path: PathBuf, shown: &str| Chosen {
        node_version: is_node(&path).then(|| version(&path)).flatten(),
        path: Some(path.to_string_lossy().into_owned()),
        shown: shown.to_owned(),
        extra_args: Vec::new(),
    };
    match &app.interpreter {
        Interpreter::None => {
            Ok(Chosen { path: None, shown: "none".to_owned(), extra_args: Vec::new(), node_version: None })
        }
        Interpreter::Node => {
            let path = files.which("node").ok_or_else(|| missing("node"))?;
            Ok(chosen(absolute(context, path), "node"))
        }
        Interpreter::NodeVersion(version) => {
            let path = by_nvm(context, version)?;
            let shown = path.to_string_lossy().into_owned();
            Ok(chosen(path, &shown))
        }
        Interpreter::Program(program) => {
            if let Some(path) = files.which(program) {
                return Ok(chosen(absolute(context, path), program));
            }
            let typescript = app.script_path.extension().is_some_and(|extension| extension == "ts");
            if program == "bun" && typescript && !app.gives("exec_interpreter") {
                let path = files.which("node").ok_or_else(|| missing("bun"))?;
                return with_types_stripped(chosen(absolute(context, path), "node"));
            }
            Err(missing(program))
        }
    }
}

fn with_types_stripped(node: Chosen) -> Result<Chosen, Failure> {
    let parts = |version: &str| -> Option<(u32, u32)> {
        let mut parts = version.split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    };
    let version = node.node_version.as_deref().and_then(parts).unwrap_or((0, 0));
    let [(old, since), newer] = STRIPS_TYPES;
    if (version.0 == old && version.1 >= since) || version >= newer {
        Ok(node)
    } else if version >= STRIPS_TYPES_WHEN_TOLD {
        Ok(Chosen { extra_args: vec!["--experimental-strip-types".to_owned()], ..node })
    } else {
        Err(Failure::new(
            "TypeScript apps require bun, Node.js >= 22.18 (native type stripping) or a custom interpreter (e.g. --interpreter ts-node)",
        ))
    }
}

/// `node@20.1.0`: the version that nvm has, or installs.
fn by_nvm(context: &Context, version: &str) -> Result<PathBuf, Failure> {
    let plain =
        !version.is_empty() && version.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    if !plain {
        return Err(Failure::new(format!("node@{version} names no version of Node.js")));
    }
    let Some(nvm) = context.switch("NVM_DIR").map(PathBuf::from) else {
        return Err(Failure::new(format!("NVM is not available: node@{version} cannot be found"))
            .hint("install nvm and set NVM_DIR, or give the path of the interpreter"));
    };
    let path = nvm.join("versions/node").join(format!("v{version}")).join("bin/node");
    if path.exists() {
        return Ok(path);
    }
    context.output.message(format!("Installing Node v{version}"));
    let status = Command::new("bash")
        .args(["-c", ". \"$NVM_DIR/nvm.sh\" && nvm install \"$1\"", "bash", version])
        .env("NVM_DIR", &nvm)
        .stdin(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() && path.exists() => Ok(path),
        Ok(status) => Err(Failure::new(format!("nvm did not install Node v{version} ({status})"))),
        Err(error) => Err(Failure::new(format!("nvm cannot be run: {error}"))),
    }
}

fn absolute(context: &Context, path: PathBuf) -> PathBuf {
    if path.is_absolute() { path } else { context.cwd.join(path) }
}

fn is_node(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "node")
}

/// What `node --version` says, without the `v`. Asked once for each program, however many applications it runs.
fn version(node: &Path) -> Option<String> {
    static KNOWN: Mutex<BTreeMap<PathBuf, Option<String>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.entry(node.to_owned()).or_insert_with(|| ask_version(node)).clone()
}

fn ask_version(node: &Path) -> Option<String> {
    let output =
        Command::new(node).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.trim().strip_prefix('v').map(str::to_owned)
}

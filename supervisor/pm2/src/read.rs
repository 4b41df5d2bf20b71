//! From a file to applications: the format by the name, then the document, then each application.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::app::Pm2App;
use crate::document::{self, Document};
use crate::dump;
use crate::evaluate;
use crate::problem::{ImportError, Problem, Warning};
use crate::resolve::{Context, resolve};
use crate::surroundings::{Files, LocalFiles, Surroundings};
use crate::validate::validate;

/// The names that `muster pm2 import` looks for in a folder, in this order.
pub const CANDIDATES: [&str; 6] = [
    "ecosystem.config.js",
    "ecosystem.config.cjs",
    "ecosystem.config.mjs",
    "ecosystem.config.json",
    "ecosystem.config.yaml",
    "ecosystem.config.yml",
];

/// A dump of hundreds of processes has a few megabytes; a larger file is something else.
const FILE_BYTES_AT_MOST: u64 = 32 * 1024 * 1024;
/// Brackets in brackets: nobody writes a tenth of it.
const DEPTH_AT_MOST: usize = 128;

/// What a file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JavaScript, evaluated by Node.js.
    JavaScript,
    /// JSON with comments, trailing commas, names without quotes.
    Json,
    /// YAML.
    Yaml,
    /// pm2's list of processes: JSON.
    Dump,
}

/// What was read.
#[derive(Debug)]
pub struct Loaded {
    /// The file.
    pub file: PathBuf,
    /// What it is written in; [`Format::Dump`] whenever it holds records of processes.
    pub format: Format,
    /// The applications, in the order of the file.
    pub apps: Vec<Pm2App>,
    /// What pm2 would have taken without a word.
    pub warnings: Vec<Warning>,
    /// What stands under `static` beside the applications: folders to serve. Null without.
    pub statics: Value,
}

/// The format by the name of a file, as pm2 tells it: the ending may stand anywhere in the name.
pub fn format_of(file: &Path) -> Option<Format> {
    let name = file.file_name()?.to_str()?;
    let has = |part: &str| name.contains(part);
    if name.ends_with(".pm2") || name.ends_with(".pm2.bak") {
        Some(Format::Dump)
    } else if has(".json") {
        Some(Format::Json)
    } else if has(".yml") || has(".yaml") {
        Some(Format::Yaml)
    } else if [".config.js", ".config.cjs", ".config.mjs"].into_iter().any(has) || name.ends_with(".cjs") {
        Some(Format::JavaScript)
    } else {
        None
    }
}

/// Where pm2 keeps its list of processes.
pub fn dump_file(surroundings: &Surroundings) -> PathBuf {
    surroundings.pm2_home.join("dump.pm2")
}

/// Reads a file of pm2's.
pub fn load(file: &Path, surroundings: &Surroundings) -> Result<Loaded, ImportError> {
    let (root, format, folder) = read(file, surroundings)?;
    let cwd = surroundings.cwd.clone().unwrap_or(folder);
    parse(root, file, format, &cwd, surroundings, &LocalFiles::new(&surroundings.env))
}

/// The whole document of a file of pm2's, whatever stands in it.
pub fn document(file: &Path, surroundings: &Surroundings) -> Result<Value, ImportError> {
    read(file, surroundings).map(|(root, _, _)| root)
}

/// The document, what it is written in, and the folder of the file.
fn read(file: &Path, surroundings: &Surroundings) -> Result<(Value, Format, PathBuf), ImportError> {
    let shown = file.display().to_string();
    let format = format_of(file).ok_or_else(|| ImportError::UnknownFormat { file: shown.clone() })?;
    let unreadable =
        |error: std::io::Error| ImportError::Unreadable { file: shown.clone(), reason: error.to_string() };
    let absolute = std::path::absolute(file).map_err(unreadable)?;
    let mut bytes = Vec::new();
    File::open(&absolute)
        .and_then(|file| file.take(FILE_BYTES_AT_MOST + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_AT_MOST {
        let reason = format!("it is larger than {} MiB", FILE_BYTES_AT_MOST >> 20);
        return Err(ImportError::Unreadable { file: shown, reason });
    }
    let root = match format {
        Format::JavaScript => evaluate::evaluate(&absolute, &shown, surroundings)?,
        Format::Json | Format::Yaml | Format::Dump => {
            let text = String::from_utf8(bytes).map_err(|_| ImportError::Syntax {
                file: shown.clone(),
                line: 0,
                column: 0,
                reason: "this is not text in UTF-8".to_owned(),
                hint: None,
            })?;
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            if format == Format::Yaml { yaml(text, &shown)? } else { json(text, &shown)? }
        }
    };
    let folder = absolute.parent().unwrap_or(Path::new("/")).to_owned();
    Ok((root, format, folder))
}

/// Reads a document that is at hand already.
pub fn parse(
    root: Value,
    file: &Path,
    format: Format,
    cwd: &Path,
    surroundings: &Surroundings,
    files: &dyn Files,
) -> Result<Loaded, ImportError> {
    let shown = file.display().to_string();
    let invalid = |problems: Vec<Problem>| ImportError::Invalid { file: shown.clone(), problems };
    let mut warnings = Vec::new();
    if format == Format::Dump || dump::is_dump(&root) {
        if !dump::is_dump(&root) {
            let reason = "it holds no records of processes".to_owned();
            return Err(ImportError::NoApplications { file: shown, reason });
        }
        let records = root.as_array().map(Vec::as_slice).unwrap_or_default();
        if surroundings.env_name.is_some() {
            let message =
                "has no effect on a list of processes: each has the environment that it was started with";
            warnings.push(Warning::of_file("--env", message));
        }
        let surroundings = &Surroundings { env_name: None, ..surroundings.clone() };
        let context = Context { surroundings, files, cwd, deploy: None };
        let apps = dump::apps(records, &context, &mut warnings).map_err(invalid)?;
        return Ok(Loaded {
            file: file.to_owned(),
            format: Format::Dump,
            apps,
            warnings,
            statics: Value::Null,
        });
    }
    let document = document::parts(root);
    let Document { apps: written, deploy, statics, warnings: of_file } =
        document.map_err(|reason| ImportError::NoApplications { file: shown.clone(), reason })?;
    warnings.extend(of_file);
    let context = Context { surroundings, files, cwd, deploy: deploy.as_ref() };
    let mut apps = Vec::new();
    let mut problems = Vec::new();
    for (index, written) in written.iter().enumerate() {
        let Some(written) = written.as_object() else { continue };
        let name = written.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
        let label = name.map_or_else(|| format!("application {}", index + 1), str::to_owned);
        let mut checked = validate(&label, written);
        match resolve(&label, &mut checked, &context) {
            Ok(app) => apps.push(app),
            Err(found) => problems.extend(found),
        }
        warnings.append(&mut checked.warnings);
    }
    if problems.is_empty() {
        Ok(Loaded { file: file.to_owned(), format, apps, warnings, statics })
    } else {
        Err(invalid(problems))
    }
}

/// Reads JSON as pm2's files may have it: with comments, trailing commas, names without quotes.
pub fn read_json(text: &str, file: &Path) -> Result<Value, ImportError> {
    json(text, &file.display().to_string())
}

fn json(text: &str, file: &str) -> Result<Value, ImportError> {
    let syntax = |line, column, reason: String| ImportError::Syntax {
        file: file.to_owned(),
        line,
        column,
        reason: format!("this is not JSON: {reason}"),
        hint: Some(
            "comments, trailing commas and names without quotes are fine; what computes something belongs into a *.config.js",
        ),
    };
    // What pm2 itself writes is plain JSON, and this reader is the quicker one.
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    if deep(text) {
        return Err(syntax(0, 0, format!("more than {DEPTH_AT_MOST} levels deep")));
    }
    json5::from_str(text).map_err(|error| {
        let (line, column) = error.position().map_or((0, 0), |at| (at.line + 1, at.column + 1));
        syntax(line, column, error.to_string())
    })
}

/// Whether brackets stand in brackets so often that reading them is asking for trouble. Counts those in texts as well.
fn deep(text: &str) -> bool {
    let mut depth = 0usize;
    text.bytes().any(|byte| {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > DEPTH_AT_MOST
    })
}

fn yaml(text: &str, file: &str) -> Result<Value, ImportError> {
    // pm2's reader follows YAML 1.2, where `no` is a text.
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let (line, column) = error.location().map_or((0, 0), |at| {
            (usize::try_from(at.line()).unwrap_or(0), usize::try_from(at.column()).unwrap_or(0))
        });
        let reason = error.to_string();
        let reason = reason.lines().next().unwrap_or_default();
        ImportError::Syntax {
            file: file.to_owned(),
            line,
            column,
            reason: format!("this is not YAML: {reason}"),
            hint: Some("check the indentation, the colons and the quotes of this line and the one before it"),
        }
    })
}

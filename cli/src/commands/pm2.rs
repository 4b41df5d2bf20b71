//! Coming from pm2: what its files say, how Muster differs, and the part of a fleet file. Needs no controller.

use std::path::{Path, PathBuf};

use muster_pm2::{
    CANDIDATES, Difference, ImportError, Loaded, Severity, Surroundings, differences, dump_file,
    fleet_fragment, load,
};
use serde_json::json;

use crate::arguments::Pm2;
use crate::failure::{Failure, Result};
use crate::format::safe;
use crate::output::{Output, Tone};
use crate::table::{Cell, Table};

pub(super) fn run(output: &Output, command: Pm2) -> Result<()> {
    match command {
        Pm2::Import { file, env } => import(output, file.as_deref(), env),
    }
}

fn import(output: &Output, file: Option<&Path>, env: Option<String>) -> Result<()> {
    let surroundings = Surroundings { env_name: env, ..Surroundings::of_this_process() };
    let file = chosen(file, &surroundings)?;
    let loaded = load(&file, &surroundings).map_err(|error| failure(&error))?;
    let differences = differences(&loaded.apps);
    let fragment = fleet_fragment(&loaded.apps);
    if output.json() {
        return output.object(&json!({
            "file": loaded.file,
            "applications": loaded.apps.iter().map(|app| &app.name).collect::<Vec<_>>(),
            "warnings": loaded.warnings,
            "differences": differences,
            "secrets": fragment.secrets,
            "fragment": fragment.text,
        }));
    }
    tell(output, &loaded, &differences);
    if !fragment.secrets.is_empty() {
        output.note(&format!("\nsecrets to set before `muster apply`: {}", fragment.secrets.join(", ")));
    }
    output.note("");
    output.raw(fragment.text.as_bytes())
}

/// The file that is meant.
fn chosen(given: Option<&Path>, surroundings: &Surroundings) -> Result<PathBuf> {
    let folder = match given {
        Some(path) if path.is_dir() => path,
        Some(path) => return Ok(path.to_owned()),
        None => Path::new(""),
    };
    let candidates = CANDIDATES.iter().map(|name| folder.join(name));
    let dump = given.is_none().then(|| dump_file(surroundings));
    // A PM2_HOME may be given, too.
    let dump = dump.or_else(|| Some(folder.join("dump.pm2")));
    candidates.chain(dump).find(|path| path.exists()).ok_or_else(|| {
        let place = given.map_or_else(|| "here".to_owned(), |folder| format!("in {}", folder.display()));
        Failure::usage(format!("there is no ecosystem file {place}, and no list of processes that pm2 saved"))
            .hint("name the file: muster pm2 import FILE; or save the list with `pm2 save`")
    })
}

fn failure(error: &ImportError) -> Failure {
    let text = error.to_string();
    let lines: Vec<String> = text.lines().map(|line| safe(line, false)).collect();
    let message = lines.join("\n");
    let failure = match error {
        ImportError::UnknownFormat { .. } => Failure::usage(message),
        _ => Failure::failed(message),
    };
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Warnings and differences, for people.
fn tell(output: &Output, loaded: &Loaded, differences: &[Difference]) {
    output.note(&format!("read {}: {}", loaded.file.display(), count(loaded.apps.len(), "application")));
    for warning in &loaded.warnings {
        output.warning(&safe(&warning.to_string(), false));
    }
    for (severity, tone, heading) in [
        (Severity::Lost, Tone::Bad, "lost: a fleet file cannot say it, somebody has to decide"),
        (Severity::Changed, Tone::Warning, "changed: look whether the application minds"),
        (Severity::Improved, Tone::Good, "improved: nothing to do"),
    ] {
        let of_this: Vec<_> =
            differences.iter().filter(|difference| difference.severity == severity).collect();
        if !of_this.is_empty() {
            output.note("");
            output.step(tone, "●", &format!("{heading} ({})", of_this.len()));
            output.note_table(&table(&of_this));
        }
    }
}

fn table(differences: &[&Difference]) -> Table {
    let mut table = Table::new(&["APPLICATION", "WHAT", "PM2", "MUSTER"]);
    for difference in differences {
        let mut muster = safe(&difference.muster, false);
        if let Some(todo) = &difference.todo {
            muster.push_str(&format!("\n-> {}", safe(todo, false)));
        }
        table.row([
            difference
                .app
                .as_deref()
                .map_or_else(|| Cell::tone("all", Tone::Quiet), |app| safe(app, false).into()),
            safe(&difference.field, false).into(),
            safe(&difference.pm2, false).into(),
            muster.into(),
        ]);
    }
    table
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

//! `dump.pm2`: the list that `resurrect` brings back, in pm2's shape. Values that look like secrets are sealed; a list
//! that pm2 itself wrote is read as well.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use muster_pm2::looks_secret;
use muster_supervisor_protocol::{AppSpec, DesiredRun};
use serde_json::{Map, Value, json};

use crate::bring_up::new_ones;
use crate::operate::show;
use crate::origin::Record;
use crate::record::{Secrets, pm2_env};
use crate::seal::SealKey;
use crate::snapshot::Snapshot;
use crate::{Context, Failure, Home, pm2_dump, spec};

/// Where a record keeps what only we read.
const OURS: &str = "muster";

/// `pm2 save [--force]`.
pub(crate) async fn save(context: &Context) -> Result<(), Failure> {
    context.output.message("Saving current process list...");
    let mut client = context.connect().await?;
    let snapshot = Snapshot::take(&mut client).await?;
    let dump = context.home.dump();
    if snapshot.processes.is_empty() && !context.flags.force && context.switch("FORCE").is_none() {
        if !dump.exists() {
            write(&dump, b"[]").map_err(|error| unusable(&dump, &error))?;
        }
        context.output.warn("PM2 is not managing any process, skipping save...");
        context.output.warn("To force saving use: pm2 save --force");
        return Ok(());
    }
    let records = records(&context.home, &snapshot)?;
    let text = serde_json::to_string_pretty(&records).expect("maps have texts as keys");
    keep_backup(&dump)?;
    write(&dump, text.as_bytes()).map_err(|error| unusable(&dump, &error))?;
    context.output.message(format!("Successfully saved in {}", dump.display()));
    Ok(())
}

/// `pm2 cleardump`.
pub(crate) fn clear(context: &Context) -> Result<(), Failure> {
    let dump = context.home.dump();
    fs::create_dir_all(context.home.dir()).map_err(|error| unusable(context.home.dir(), &error))?;
    write(&dump, b"[]").map_err(|error| unusable(&dump, &error))?;
    context.output.message(format!("Successfully created {}", dump.display()));
    Ok(())
}

/// `pm2 resurrect`.
pub(crate) async fn resurrect(context: &Context) -> Result<(), Failure> {
    context.output.message("Resurrecting");
    let mut client = context.connect().await?;
    let Some(specs) = read(context)? else {
        return show(context, &mut client).await;
    };
    let snapshot = Snapshot::take(&mut client).await?;
    let missing: Vec<AppSpec> = specs.into_iter().filter(|spec| snapshot.app(&spec.name).is_none()).collect();
    let failed = new_ones(context, &mut client, &missing).await?;
    for spec in missing.iter().filter(|spec| !failed.contains(&spec.name)) {
        for _ in 0..spec.instances {
            context.output.message(format!("Process {} restored", Record::of(spec).typed_script));
        }
    }
    show(context, &mut client).await?;
    if failed.is_empty() { Ok(()) } else { Err(Failure::new("")) }
}

/// The records of a list. Each holds the spec it came from, without the values that look like secrets.
fn records(home: &Home, snapshot: &Snapshot) -> Result<Vec<Value>, Failure> {
    let path = key_path(home);
    let key = SealKey::load_or_create(&path).map_err(|error| unusable(&path, &error))?;
    let mut records = Vec::new();
    for process in &snapshot.processes {
        let Some(spec) = snapshot.specs.get(&process.name) else { continue };
        let Value::Object(mut record) = json_of(&pm2_env(spec, process, Secrets::Hidden)) else { continue };
        for key in ["instances", "pm_id"] {
            record.remove(key);
        }
        // What was given up is tried again, as with pm2: the machine that comes back may have what it lacked.
        let stopped = snapshot.app(&process.name).is_some_and(|app| app.desired == DesiredRun::Stopped)
            || process.status() == "stopped";
        if !stopped {
            record.insert("status".to_owned(), json!("online"));
        }
        record.insert(OURS.to_owned(), ours(spec, &key));
        records.push(Value::Object(record));
    }
    Ok(records)
}

fn json_of(value: &crate::js::Js) -> Value {
    serde_json::to_value(value).expect("texts and finite numbers can be written")
}

/// The spec with its secret values apart, sealed.
fn ours(spec: &AppSpec, key: &SealKey) -> Value {
    let mut open = spec.clone();
    let mut secret = BTreeMap::new();
    open.env.retain(|name, value| {
        let hide = looks_secret(name, value);
        if hide {
            secret.insert(name.clone(), value.clone());
        }
        !hide
    });
    let mut kept = Map::new();
    kept.insert("spec".to_owned(), serde_json::to_value(&open).expect("maps have texts as keys"));
    if !secret.is_empty() {
        let content = serde_json::to_vec(&secret).expect("maps have texts as keys");
        kept.insert("sealed".to_owned(), json!(BASE64.encode(key.seal(&spec.name, &content))));
    }
    Value::Object(kept)
}

/// The saved applications, from the list or, when that is not to be read, from the one before. `None`: nothing is saved,
/// which was said.
fn read(context: &Context) -> Result<Option<Vec<AppSpec>>, Failure> {
    let dump = context.home.dump();
    let backup = backup_path(&dump);
    let mut broken = false;
    for path in [&dump, &backup] {
        context.output.message(format!("Restoring processes located in {}", path.display()));
        match specs(context, path) {
            Ok(specs) => return Ok(Some(specs)),
            Err(Unread::Missing) => {
                context.output.error(format!("Failed to read dump file in {}", path.display()));
            }
            Err(Unread::Unreadable(failure)) => return Err(failure),
            Err(Unread::Broken(reason)) => {
                broken = true;
                context.output.error(format!("Failed to parse dump file in {}: {reason}", path.display()));
                let aside = aside(path);
                fs::rename(path, &aside).map_err(|error| unusable(path, &error))?;
                context.output.error(format!("it is kept as {}", aside.display()));
            }
        }
    }
    context.output.error("No processes saved; DUMP file doesn't exist");
    if broken { Err(Failure::new("")) } else { Ok(None) }
}

/// Why a list was not read.
enum Unread {
    Missing,
    /// By us, now.
    Unreadable(Failure),
    /// By anybody.
    Broken(String),
}

fn specs(context: &Context, path: &Path) -> Result<Vec<AppSpec>, Unread> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unread::Missing),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(Unread::Broken("this is not text".to_owned()));
        }
        Err(error) => return Err(Unread::Unreadable(unusable(path, &error))),
    };
    let records: Vec<Value> =
        serde_json::from_str(&text).map_err(|error| Unread::Broken(error.to_string()))?;
    if records.is_empty() {
        return Ok(Vec::new());
    }
    if !records.iter().any(|record| record.get(OURS).is_some()) {
        return pm2_dump::specs(context, path, &records).map_err(Unread::Unreadable);
    }
    let key = SealKey::load(&key_path(&context.home));
    let key = key.map_err(|error| Unread::Unreadable(unusable(&key_path(&context.home), &error)))?;
    let mut specs: Vec<AppSpec> = Vec::new();
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for record in &records {
        let Some(ours) = record.get(OURS) else { continue };
        let mut spec: AppSpec = serde_json::from_value(ours.get("spec").cloned().unwrap_or_default())
            .map_err(|error| Unread::Broken(error.to_string()))?;
        let count = counts.entry(spec.name.clone()).or_insert(0);
        *count += 1;
        let runs = record.get("status").and_then(Value::as_str) == Some("online");
        if *count > 1 {
            if runs {
                set_autostart(specs.iter_mut().find(|known| known.name == spec.name));
            }
            continue;
        }
        unseal(context, &mut spec, ours, key.as_ref());
        let mut kept = Record::of(&spec);
        kept.autostart = runs;
        if let Some(origin) = &mut spec.pm2 {
            origin.record = kept.value();
        }
        specs.push(spec);
    }
    for spec in &mut specs {
        spec.instances = counts.get(&spec.name).copied().unwrap_or(1);
        // A release that is gone is for the start to tell.
        if spec::pin(spec).is_err() {
            spec::seal_digest(spec);
        }
    }
    Ok(specs)
}

fn set_autostart(spec: Option<&mut AppSpec>) {
    let Some(spec) = spec else { return };
    let mut record = Record::of(spec);
    record.autostart = true;
    if let Some(origin) = &mut spec.pm2 {
        origin.record = record.value();
    }
}

/// Puts the secret values back.
fn unseal(context: &Context, spec: &mut AppSpec, ours: &Value, key: Option<&SealKey>) {
    let Some(sealed) = ours.get("sealed").and_then(Value::as_str) else { return };
    let opened = BASE64
        .decode(sealed)
        .ok()
        .and_then(|sealed| key?.open(&spec.name, &sealed))
        .and_then(|content| serde_json::from_slice::<BTreeMap<String, String>>(&content).ok());
    match opened {
        Some(secret) => spec.env.extend(secret),
        None => context.output.error(format!(
            "{}: the variables that look like secrets cannot be opened with {}: start it again from its configuration file",
            spec.name,
            key_path(&context.home).display()
        )),
    }
}

fn key_path(home: &Home) -> PathBuf {
    home.state_dir().join("dump.key")
}

fn backup_path(dump: &Path) -> PathBuf {
    dump.with_extension("pm2.bak")
}

/// A free name beside a broken file.
fn aside(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    (0_u32..)
        .map(|number| match number {
            0 => path.with_file_name(format!("{name}.corrupt")),
            number => path.with_file_name(format!("{name}.corrupt.{number}")),
        })
        .find(|candidate| !candidate.exists())
        .expect("there are more numbers than files")
}

fn keep_backup(dump: &Path) -> Result<(), Failure> {
    let content = match fs::read(dump) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unusable(dump, &error)),
    };
    let backup = backup_path(dump);
    write(&backup, &content).map_err(|error| unusable(&backup, &error))
}

/// Whole or not at all, and only for its owner.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let hidden = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&hidden)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&hidden, path)
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("{} cannot be used: {error}", path.display()))
}

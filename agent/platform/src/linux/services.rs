//! systemd, through its own tools: one question for all units, one job at a time, its own judge for unit files.
//!
//! Of units that were looked at before, a glance tells whether they are as they were; only of the others everything is
//! asked.

use super::bus::{self, Glance};
use super::command::{tool, tool_output};
use super::verify::Candidate;
use crate::host::{Fault, HostError, UnitState, UnitVerb};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

const QUESTION_TIMEOUT_MS: u64 = 15_000;
/// A little more than systemd itself gives a service to start or stop where its file does not say otherwise (90 s), so
/// that it is systemd that says what went wrong.
const JOB_TIMEOUT_MS: u64 = 100_000;
/// More lines of a journal than this are not read.
const JOURNAL_LINES: &str = "20";

const PROPERTIES: &str = "--property=LoadState,LoadError,ActiveState,SubState,UnitFileState,CanReload,\
NeedDaemonReload,Type,RemainAfterExit,NRestarts,Result,ExecMainStatus,ConditionResult,TriggeredBy,FragmentPath";

/// What was asked for and what was answered, until something changes.
#[derive(Debug, Default)]
pub(super) struct Units {
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    wanted: BTreeSet<String>,
    /// What holds until something is changed.
    known: BTreeMap<String, UnitState>,
    /// What held before, and does as long as the unit looks the same at a glance.
    former: BTreeMap<String, UnitState>,
    looks: u32,
    /// When units were last told to do something.
    told_s: BTreeMap<String, u64>,
}

/// A glance does not show everything: after so many looks all is asked anew.
const LOOKS_PER_QUESTION: u32 = 20;

pub(super) fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

impl Units {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wanted(&self, names: &[String]) {
        let mut memory = self.memory();
        memory.known.clear();
        memory.wanted = names.iter().filter(|name| !template(name)).cloned().collect();
        memory.looks += 1;
        if memory.looks >= LOOKS_PER_QUESTION {
            memory.looks = 0;
            memory.former.clear();
        }
    }

    pub(super) fn control(&self, name: &str, verb: UnitVerb) -> Result<(), HostError> {
        self.doubt(name);
        self.memory().told_s.insert(name.to_owned(), now_s());
        let done = control(name, verb);
        self.doubt(name);
        done
    }

    pub(super) fn watch(&self, name: &str, for_ms: u64) {
        watch(name, for_ms);
        self.doubt(name);
    }

    pub(super) fn reload(&self) -> Result<(), HostError> {
        let done = reload();
        let mut memory = self.memory();
        memory.known.clear();
        memory.former.clear();
        done
    }

    pub(super) fn journal(&self, name: &str) -> Vec<String> {
        let told_s = self.memory().told_s.get(name).copied();
        journal(name, told_s)
    }

    pub(super) fn forget(&self) {
        self.memory().known.clear();
    }

    /// Of this unit everything has to be asked again, of the others a glance will do.
    fn doubt(&self, name: &str) {
        let mut memory = self.memory();
        memory.known.clear();
        memory.former.remove(name);
    }

    pub(super) fn unit(&self, name: &str) -> Result<UnitState, HostError> {
        if template(name) {
            let fault =
                Fault::Other("it is a template; name an instance of it, with something behind the @".into());
            return Err(HostError { action: "look at the unit", subject: name.to_owned(), fault });
        }
        let mut memory = self.memory();
        if let Some(known) = memory.known.get(name) {
            return Ok(known.clone());
        }
        memory.wanted.insert(name.to_owned());
        // Most of them will be asked for, and one question costs as much as twenty.
        let known = memory.look()?;
        memory.former.clone_from(&known);
        memory.known = known;
        let fault = || Fault::Other("systemd did not answer for it".into());
        let missing = || HostError { action: "look at the unit", subject: name.to_owned(), fault: fault() };
        memory.known.get(name).cloned().ok_or_else(missing)
    }
}

impl Memory {
    fn look(&self) -> Result<BTreeMap<String, UnitState>, HostError> {
        let names: Vec<String> = self.wanted.iter().cloned().collect();
        let glances = if self.former.is_empty() { None } else { bus::glance(&names) };
        let Some(glances) = glances else { return ask(&names) };
        let as_before = |name: &String, glance: &Glance| {
            self.former.get(name).filter(|former| at_a_glance(former) == *glance).cloned()
        };
        let same = names.iter().zip(&glances);
        let same = same.filter_map(|(name, glance)| Some((name.clone(), as_before(name, glance)?)));
        let mut known: BTreeMap<String, UnitState> = same.collect();
        let others: Vec<String> = names.into_iter().filter(|name| !known.contains_key(name)).collect();
        if !others.is_empty() {
            known.extend(ask(&others)?);
        }
        Ok(known)
    }
}

fn at_a_glance(unit: &UnitState) -> Glance {
    Glance {
        load: unit.load.clone(),
        active: unit.active.clone(),
        sub: unit.sub.clone(),
        file: unit.file.clone(),
        needs_reload: unit.needs_reload,
    }
}

/// A unit that only exists as its instances.
fn template(name: &str) -> bool {
    name.contains("@.")
}

fn ask(names: &[String]) -> Result<BTreeMap<String, UnitState>, HostError> {
    let mut args = vec!["show", "--no-pager", PROPERTIES, "--"];
    args.extend(names.iter().map(String::as_str));
    let answer = tool("look at the units", &names.join(" "), "systemctl", &args, QUESTION_TIMEOUT_MS)?;
    let answer = String::from_utf8_lossy(&answer);
    Ok(names.iter().cloned().zip(blocks(&answer)).collect())
}

/// One block of `Property=value` for each unit, in the order of the question, an empty line between them.
fn blocks(answer: &str) -> Vec<UnitState> {
    answer.split("\n\n").filter(|block| !block.trim().is_empty()).map(state).collect()
}

fn state(block: &str) -> UnitState {
    let mut state = UnitState::default();
    for (name, value) in block.lines().filter_map(|line| line.split_once('=')) {
        let text = || value.to_owned();
        match name {
            "LoadState" => state.load = text(),
            // The name of the error on the bus, then a sentence in quotes.
            "LoadError" => {
                let sentence = value.split_once('"').map_or("", |(_, sentence)| sentence);
                state.load_error = sentence.trim_end_matches('"').to_owned();
            }
            "ActiveState" => state.active = text(),
            "SubState" => state.sub = text(),
            "UnitFileState" => state.file = text(),
            "CanReload" => state.can_reload = value == "yes",
            "NeedDaemonReload" => state.needs_reload = value == "yes",
            "Type" => state.kind = text(),
            "RemainAfterExit" => state.remains = value == "yes",
            "NRestarts" => state.restarts = value.parse().unwrap_or(0),
            "Result" => state.result = text(),
            "ExecMainStatus" => state.exit_status = value.parse().unwrap_or(0),
            "ConditionResult" => state.conditions_met = value == "yes",
            "TriggeredBy" => state.triggered_by = value.split_whitespace().map(str::to_owned).collect(),
            "FragmentPath" => state.fragment = text(),
            _ => {}
        }
    }
    state
}

fn control(name: &str, verb: UnitVerb) -> Result<(), HostError> {
    let ask = |args: &[&str]| tool(verb.as_str(), name, "systemctl", args, JOB_TIMEOUT_MS).map(drop);
    if verb == UnitVerb::Unmask {
        // A mask may hold for good, or until the next boot; each is taken off by its own.
        ask(&["--no-ask-password", "--runtime", "unmask", "--", name])?;
    }
    ask(&["--no-ask-password", verb.as_str(), "--", name]).map_err(|mut error| {
        if let Fault::Other(words) = &mut error.fault {
            let worth = words.split("; ").filter(|line| !line.starts_with("See \"systemctl status"));
            *words = worth.collect::<Vec<_>>().join("; ").trim_end_matches('.').to_owned();
        }
        error
    })
}

/// `systemctl start --wait` of what runs already does nothing but wait for its end.
fn watch(name: &str, for_ms: u64) {
    // That time is up before it ends is what one hopes for; whoever asked looks at the unit again in any case.
    tool_output("systemctl", &["--no-ask-password", "start", "--wait", "--", name], for_ms).ok();
}

fn reload() -> Result<(), HostError> {
    let args = ["--no-ask-password", "daemon-reload"];
    tool("have systemd read its files again:", "systemctl", "systemctl", &args, JOB_TIMEOUT_MS).map(drop)
}

/// Seconds since 1970. Only ever compared with those of the journal of the same machine.
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The last lines of a unit, since it was last told to do something if that was by us.
fn journal(name: &str, since_s: Option<u64>) -> Vec<String> {
    // What was written a moment ago may still be on its way. Without the last word of the journal, what is there is shown.
    tool_output("journalctl", &["--sync"], QUESTION_TIMEOUT_MS).ok();
    let (unit, since) = (format!("--unit={name}"), since_s.map(|since| format!("--since=@{since}")));
    let mut args = vec!["--quiet", "--no-pager", "--boot", "--output=cat", "--lines", JOURNAL_LINES, &unit];
    args.extend(since.as_deref());
    let output = tool_output("journalctl", &args, QUESTION_TIMEOUT_MS).unwrap_or_default();
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Judges a file in a folder of its own: a drop-in together with the unit that it extends.
pub(super) fn verify(name: &str, content: &str, fragment: Option<&str>) -> Result<(), String> {
    let cannot = |error: std::io::Error| format!("it cannot be tried out: {error}");
    let candidate = Candidate::begin().map_err(cannot)?;
    let unit = match name.split_once('/') {
        None => candidate.file(name, content).map_err(cannot)?,
        Some((folder, _)) => {
            candidate.file(name, content).map_err(cannot)?;
            let unit = folder.strip_suffix(".d").unwrap_or(folder);
            let extended = fragment.filter(|path| !path.is_empty()).map(std::fs::read_to_string);
            let extended = match (extended, unit.ends_with(".service")) {
                (Some(read), _) => read.map_err(cannot)?,
                (None, true) => "[Service]\nExecStart=/bin/true\n".to_owned(),
                // Nothing that it could be tried out with; systemd passes over it until there is.
                (None, false) => return Ok(()),
            };
            candidate.file(unit, &extended).map_err(cannot)?
        }
    };
    let unit = unit.to_string_lossy();
    // `--recursive-errors=no`: an unknown word or a missing program is a failure, in this unit alone.
    let strict = ["verify", "--man=no", "--recursive-errors=no", "--", &unit];
    let lenient = ["verify", "--man=no", "--", &unit];
    let ask = |args: &[&str]| {
        tool_output("systemd-analyze", args, QUESTION_TIMEOUT_MS).map_err(|fault| fault.to_string())
    };
    let mut output = ask(&strict)?;
    if output.stderr.contains("unrecognized option") {
        output = ask(&lenient)?;
    }
    if output.success() {
        return Ok(());
    }
    let said = candidate.without_place(&output.stderr);
    // A template is judged as an instance of it.
    let stem = unit.rsplit('/').next().unwrap_or_default();
    let about: Vec<&str> =
        said.lines().filter(|line| line.contains(stem) || line.contains(name)).take(8).collect();
    let said = if about.is_empty() { said.trim().to_owned() } else { about.join("; ") };
    Err(format!("systemd-analyze verify says: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_systemd_is_read_whatever_the_order_of_properties() {
        let answer = "Type=notify\nRemainAfterExit=no\nResult=success\nNRestarts=2\nExecMainStatus=0\nTriggeredBy=a.socket b.socket\nLoadState=loaded\nActiveState=active\nSubState=running\nFragmentPath=/lib/systemd/system/ssh.service\nUnitFileState=enabled\nCanReload=yes\nNeedDaemonReload=no\nLoadError=\nConditionResult=yes\n\nLoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\nLoadError=org.freedesktop.systemd1.NoSuchUnit \"Unit nope.service not found.\"\n";
        let found = blocks(answer);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].restarts, found[0].can_reload, found[0].needs_reload), (2, true, false));
        assert_eq!(found[0].triggered_by, ["a.socket", "b.socket"]);
        assert_eq!(
            (found[1].load.as_str(), found[1].load_error.as_str()),
            ("not-found", "Unit nope.service not found.")
        );
    }

    #[test]
    fn a_template_is_not_asked_for() {
        let units = Units::default();
        let error = units.unit("worker@.service").unwrap_err();
        assert!(error.to_string().contains("name an instance"), "{error}");
    }

    /// Only looks, so that it may run wherever there is a systemd.
    #[test]
    #[ignore = "for hosts with systemd: `cargo xtask test --only lab`"]
    fn a_glance_at_the_real_systemd_shows_what_the_whole_answer_does() {
        assert!(has_systemd() && rustix::process::geteuid().is_root(), "this needs systemd, and root");
        let names: Vec<String> = [
            "cron.service",
            "no-such.service",
            "sshd.service",
            "systemd-journald.service",
            "systemd-journald.socket",
            "logrotate.timer",
            "-.mount",
            "multi-user.target",
        ]
        .map(str::to_owned)
        .into();
        let whole = ask(&names).unwrap();
        let glances = bus::glance(&names).expect("systemd answers on its own socket");
        for (name, glance) in names.iter().zip(glances) {
            assert_eq!(glance, at_a_glance(&whole[name]), "{name}");
        }
        assert_eq!(bus::glance(&["no name".to_owned()]), None);
    }
}

//! What the dashboard shows, and what keys do to it. No terminal, no clock, no connection.

use std::collections::{BTreeMap, VecDeque};

use muster_supervisor_protocol::{
    AppSpec, AppStatus, ExecMode, InstanceState, InstanceStatus, LogLine, LogStreamName,
};
use serde_json::Value;

/// Lines kept of each instance.
const LINES_KEPT: usize = 500;

/// The four boards, in the order in which the right arrow goes through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Board {
    Processes,
    Logs,
    Metrics,
    Metadata,
}

const BOARDS: [Board; 4] = [Board::Processes, Board::Logs, Board::Metrics, Board::Metadata];

/// What a key means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Left,
    Right,
    /// Lines, negative = up.
    Move(isize),
    First,
    Last,
    Quit,
}

/// One instance of the list.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) id: u32,
    pub(super) app: String,
    pub(super) instance: InstanceStatus,
    /// Name and value, as the metadata board shows them.
    pub(super) metadata: Vec<(&'static str, String)>,
}

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) rows: Vec<Row>,
    pub(super) board: Board,
    /// Why there is nothing newer to show.
    pub(super) trouble: Option<String>,
    selected: usize,
    /// Of the boards that are not the list: lines above the end (logs) or below the beginning.
    scroll: usize,
    logs: BTreeMap<(String, u32), VecDeque<(LogStreamName, String)>>,
    loaded: bool,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            rows: Vec::new(),
            board: Board::Processes,
            trouble: None,
            selected: 0,
            scroll: 0,
            logs: BTreeMap::new(),
            loaded: false,
        }
    }

    /// A new look at the processes. The chosen one stays chosen wherever it is by now.
    pub(super) fn update(&mut self, apps: &[AppStatus], specs: &[AppSpec]) {
        let chosen = self.chosen().map(|row| row.id);
        self.rows = apps
            .iter()
            .flat_map(|app| {
                let spec = specs.iter().find(|spec| spec.name == app.name);
                app.instances.iter().map(move |instance| Row {
                    id: instance.id,
                    app: app.name.clone(),
                    instance: instance.clone(),
                    metadata: metadata(app, instance, spec),
                })
            })
            .collect();
        self.rows.sort_by(|a, b| a.app.cmp(&b.app).then(a.id.cmp(&b.id)));
        let again = chosen.and_then(|id| self.rows.iter().position(|row| row.id == id));
        self.selected = again.unwrap_or(self.selected).min(self.rows.len().saturating_sub(1));
        self.logs.retain(|(app, _), _| apps.iter().any(|known| known.name == *app));
        self.loaded = true;
        self.trouble = None;
    }

    pub(super) fn log(&mut self, line: &LogLine) {
        let lines = self.logs.entry((line.app.clone(), line.instance)).or_default();
        if lines.len() == LINES_KEPT {
            lines.pop_front();
        }
        lines.push_back((line.stream, plain(&line.line)));
        let shown =
            self.chosen().is_some_and(|row| row.app == line.app && row.instance.index == line.instance);
        // Who reads further up shall not lose the place.
        if shown && self.board == Board::Logs && self.scroll > 0 {
            self.scroll = (self.scroll + 1).min(LINES_KEPT);
        }
    }

    /// False: leave.
    pub(super) fn key(&mut self, key: Key) -> bool {
        let at = BOARDS.iter().position(|board| *board == self.board).unwrap_or(0);
        match key {
            Key::Quit => return false,
            Key::Left | Key::Right => {
                let step = if key == Key::Right { 1 } else { BOARDS.len() - 1 };
                self.board = BOARDS[(at + step) % BOARDS.len()];
                self.scroll = 0;
            }
            Key::Move(lines) => self.shift(lines),
            Key::First => self.shift(isize::MIN / 2),
            Key::Last => self.shift(isize::MAX / 2),
        }
        true
    }

    fn shift(&mut self, lines: isize) {
        let last = |count: usize| count.saturating_sub(1);
        match self.board {
            Board::Processes => {
                self.selected = self.selected.saturating_add_signed(lines).min(last(self.rows.len()));
            }
            Board::Logs => {
                let count = self.lines().map_or(0, VecDeque::len);
                self.scroll = self.scroll.saturating_add_signed(-lines).min(last(count));
            }
            Board::Metrics => {
                let count = self.chosen().map_or(0, |row| row.instance.metrics.len());
                self.scroll = self.scroll.saturating_add_signed(lines).min(last(count));
            }
            Board::Metadata => {
                let count = self.chosen().map_or(0, |row| row.metadata.len());
                self.scroll = self.scroll.saturating_add_signed(lines).min(last(count));
            }
        }
    }

    pub(super) fn chosen(&self) -> Option<&Row> {
        self.rows.get(self.selected)
    }

    pub(super) const fn selected(&self) -> usize {
        self.selected
    }

    /// What the list says when there is nothing in it.
    pub(super) const fn empty_text(&self) -> &'static str {
        if self.loaded { "No process available" } else { "Loading..." }
    }

    /// How far the board is scrolled, if it is the one in focus.
    pub(super) fn scrolled(&self, board: Board) -> usize {
        if self.board == board { self.scroll } else { 0 }
    }

    /// Log lines of the chosen instance.
    pub(super) fn lines(&self) -> Option<&VecDeque<(LogStreamName, String)>> {
        let row = self.chosen()?;
        self.logs.get(&(row.app.clone(), row.instance.index))
    }
}

/// pm2's word for a state.
pub(super) const fn status(state: InstanceState) -> &'static str {
    match state {
        InstanceState::Ready => "online",
        InstanceState::Starting => "launching",
        InstanceState::Stopping => "stopping",
        InstanceState::Stopped => "stopped",
        InstanceState::BackingOff => "waiting restart",
        InstanceState::CrashLooping => "errored",
    }
}

/// A metric as `axm:monitor` tells it: a value, or an object with `value` and `unit`.
pub(super) fn metric(value: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        Value::Object(fields) => {
            let unit = fields.get("unit").and_then(Value::as_str).filter(|unit| !unit.is_empty());
            let shown = fields.get("value").map(text).unwrap_or_default();
            plain(&unit.map_or_else(|| shown.clone(), |unit| format!("{shown} {unit}")))
        }
        other => plain(&text(other)),
    }
}

fn metadata(
    app: &AppStatus,
    instance: &InstanceStatus,
    spec: Option<&AppSpec>,
) -> Vec<(&'static str, String)> {
    let record = spec.and_then(|spec| spec.pm2.as_ref()).map(|origin| &origin.record);
    let recorded = |key: &str| record.and_then(|record| record.get(key)).and_then(Value::as_str);
    let or_na = |text: String| if text.is_empty() { "N/A".to_owned() } else { text };
    let version = if app.release.is_empty() { recorded("version").unwrap_or("N/A") } else { &app.release };
    let mut rows = vec![
        ("App Name", app.name.clone()),
        ("Namespace", app.namespace.clone()),
        ("Version", version.to_owned()),
        ("Restarts", instance.restarts.to_string()),
        ("Uptime", if instance.pid.is_some() { uptime(instance.uptime_ms) } else { "0".to_owned() }),
    ];
    if let Some(spec) = spec {
        let interpreter = spec.interpreter.as_deref().unwrap_or("none");
        rows.extend([
            ("Script path", spec.script.clone()),
            ("Script args", or_na(spec.args.join(" "))),
            ("Interpreter", interpreter.to_owned()),
            ("Interpreter args", or_na(spec.interpreter_args.join(" "))),
        ]);
    }
    let mode = match app.exec_mode {
        ExecMode::Cluster => "cluster",
        ExecMode::Fork => "fork",
    };
    rows.extend([
        ("Exec mode", mode.to_owned()),
        ("Node.js version", recorded("node_version").unwrap_or("N/A").to_owned()),
        ("watch & reload", if app.watching { "✔" } else { "✘" }.to_owned()),
        ("Unstable restarts", instance.unstable_restarts.to_string()),
    ]);
    if let Some(exit) = &instance.last_exit {
        rows.push(("Last exit", plain(&exit.reason)));
    }
    rows
}

fn uptime(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}D", seconds / 86_400),
    }
}

/// Without escape sequences and other control characters, which would draw where they want.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                // CSI: parameters, then one letter.
                Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                // OSC: until BEL or ESC \.
                Some(']') => {
                    while let Some(c) = chars.next() {
                        if c == '\u{7}' || (c == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                _ => {}
            },
            '\t' => out.push_str("    "),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
pub(super) mod tests {
    use chrono::Utc;
    use serde_json::json;

    use super::*;

    pub(in crate::monit) fn app(name: &str, instances: &[(u32, InstanceState)]) -> AppStatus {
        let instances: Vec<Value> = instances
            .iter()
            .enumerate()
            .map(|(index, (id, state))| {
                json!({"id": id, "index": index, "slot": index, "release": "1.2.0", "pid": 100 + id, "state": state,
                    "ready": true, "restarts": 3, "unstable_restarts": 0, "started_at": null, "uptime_ms": 90_000,
                    "cpu_percent": 12.4, "memory_bytes": 52_428_800, "last_exit": null,
                    "metrics": {"Heap Size": {"value": "12.5", "unit": "MiB"}, "plain": 7}})
            })
            .collect();
        serde_json::from_value(
            json!({"name": name, "namespace": "default", "release": "1.2.0", "release_id": "r",
            "spec_digest": "d", "exec_mode": "cluster", "desired": "running", "replacing": false,
            "instances": instances}),
        )
        .unwrap()
    }

    pub(in crate::monit) fn line(app: &str, instance: u32, text: &str) -> LogLine {
        LogLine { at: Utc::now(), app: app.into(), instance, stream: LogStreamName::Out, line: text.into() }
    }

    #[test]
    fn the_chosen_instance_stays_chosen_when_others_come_and_go() {
        let mut model = Model::new();
        let ready = InstanceState::Ready;
        model.update(&[app("b", &[(1, ready), (2, ready)])], &[]);
        assert!(model.key(Key::Move(1)));
        model.update(&[app("b", &[(1, ready), (2, ready)]), app("a", &[(0, ready)])], &[]);
        assert_eq!((model.selected(), model.chosen().unwrap().id), (2, 2));
        model.update(&[app("b", &[(1, ready)])], &[]);
        assert_eq!(model.chosen().unwrap().id, 1);
        model.update(&[], &[]);
        assert!(model.chosen().is_none());
        assert!(model.key(Key::Move(-1)) && model.key(Key::Last));
        assert!(!model.key(Key::Quit));
    }

    #[test]
    fn logs_are_bounded_cleaned_and_forgotten_with_their_application() {
        let mut model = Model::new();
        model.update(&[app("a", &[(0, InstanceState::Ready)])], &[]);
        for n in 0..LINES_KEPT + 10 {
            model.log(&line("a", 0, &format!("\u{1b}[2J\u{1b}[31mline {n}\u{1b}[0m\u{7}\r")));
        }
        let lines = model.lines().unwrap();
        assert_eq!((lines.len(), lines[0].1.as_str()), (LINES_KEPT, "line 10"));
        model.update(&[app("b", &[(0, InstanceState::Ready)])], &[]);
        assert!(model.logs.is_empty());
    }

    #[test]
    fn whoever_reads_further_up_keeps_the_place() {
        let mut model = Model::new();
        model.update(&[app("a", &[(0, InstanceState::Ready)])], &[]);
        (0..10).for_each(|n| model.log(&line("a", 0, &n.to_string())));
        model.key(Key::Right);
        model.key(Key::Move(-3));
        model.log(&line("a", 0, "new"));
        assert_eq!(model.scrolled(Board::Logs), 4);
        model.key(Key::Last);
        model.log(&line("a", 0, "newer"));
        assert_eq!(model.scrolled(Board::Logs), 0);
    }

    #[test]
    fn escape_sequences_do_not_survive() {
        assert_eq!(plain("a\u{1b}]0;title\u{7}b\u{1b}[1;31mc\u{1b}(d\te"), "abcd    e");
        assert_eq!(plain("\u{1b}[unfinished"), "nfinished");
        assert_eq!(metric(&json!({"value": 3, "unit": "req/min"})), "3 req/min");
        assert_eq!(metric(&json!("12%")), "12%");
    }
}

//! `pm2 list`: the table, and the compact list of `-m`.

use std::cmp::Ordering;

use muster_supervisor_protocol::ExecMode;
use rustix::fd::AsFd;

use crate::origin::Record;
use crate::output::print;
use crate::process::Process;
use crate::record::{log_path, pid_path};
use crate::snapshot::Snapshot;
use crate::style::Code;
use crate::table::{Cell, with_head};
use crate::{Context, words};

/// A long name must not push the table out of the terminal.
const NAME_AT_MOST: usize = 40;
/// pm2's assumption where there is no terminal.
const WIDE: usize = 300;

/// Which columns fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Full,
    Condensed,
    Mini,
}

/// Prints the list as the flags say. `marked` processes are told apart by nothing: pm2 does not either.
pub(crate) fn show(context: &Context, snapshot: &Snapshot) {
    if context.output.silent {
        return;
    }
    if context.flags.mini_list {
        print(&compact(snapshot));
        return;
    }
    let columns = rustix::termios::tcgetwinsize(std::io::stdout().as_fd())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0);
    let columns = columns.unwrap_or(WIDE);
    print(&table(context, snapshot, columns));
}

fn table(context: &Context, snapshot: &Snapshot, columns: usize) -> String {
    let mut processes: Vec<&Process> = snapshot.processes.iter().collect();
    sort(&mut processes, context.flags.sort.as_deref());
    let longest = processes.iter().map(|process| process.name.encode_utf16().count()).max();
    let name = longest.map_or(11, |longest| (longest + 5).min(NAME_AT_MOST));
    let id = processes.iter().map(|process| process.id().to_string().len() + 2).max().unwrap_or(2).max(4);
    let full = [
        ("id", id),
        ("name", name),
        ("namespace", 13),
        ("version", 9),
        ("mode", 9),
        ("pid", 10),
        ("uptime", 8),
        ("↺", 6),
        ("status", 11),
        ("cpu", 10),
        ("mem", 10),
        ("user", 10),
        ("watching", 10),
    ];
    let condensed = [
        ("id", id),
        ("name", name.min(20)),
        ("mode", 10),
        ("↺", 6),
        ("status", 11),
        ("cpu", 10),
        ("memory", 10),
    ];
    let mini = [("id", id), ("name", name.min(16)), ("status", 11), ("cpu", 8), ("mem", 10)];
    let width = |head: &[(&str, usize)]| head.iter().map(|(_, width)| width + 1).sum::<usize>() + 1;
    let (layout, head): (Layout, &[(&str, usize)]) = match () {
        () if columns >= width(&full) => (Layout::Full, &full),
        () if columns >= width(&condensed) => (Layout::Condensed, &condensed),
        () => (Layout::Mini, &mini),
    };
    let rows: Vec<Vec<Cell>> = processes.iter().map(|process| row(snapshot, process, layout)).collect();
    with_head(head, &rows, context.output.style)
}

fn row(snapshot: &Snapshot, process: &Process, layout: Layout) -> Vec<Cell> {
    let instance = &process.instance;
    let status = process.status();
    let record = snapshot.specs.get(&process.name).map(Record::of).unwrap_or_default();
    let mode = match process.mode {
        ExecMode::Fork => Cell::coloured("fork", &[Code::Inverse, Code::Bold]),
        ExecMode::Cluster => Cell::coloured("cluster", &[Code::Blue, Code::Bold]),
    };
    let uptime = if status == "online" { words::since(instance.uptime_ms) } else { "0".to_owned() };
    let user =
        snapshot.specs.get(&process.name).and_then(|spec| spec.user.clone()).unwrap_or(record.username);
    let watching = match process.watching {
        true => Cell::coloured("enabled", &[Code::Green, Code::Bold]),
        false => Cell::coloured("disabled", &[Code::Grey]),
    };
    let id = Cell::coloured(process.id().to_string(), &[Code::Bold, Code::Cyan]);
    let name = Cell::plain(&process.name);
    let restarts = Cell::plain(instance.restarts.to_string());
    let state = Cell::coloured(status, words::status_codes(status));
    let cpu = Cell::plain(words::percent(instance.cpu_percent));
    let memory = Cell::plain(words::size(instance.memory_bytes));
    match layout {
        Layout::Full => vec![
            id,
            name,
            Cell::plain(&process.namespace),
            Cell::plain(if record.version.is_empty() { "N/A" } else { &record.version }),
            mode,
            Cell::plain(instance.pid.unwrap_or(0).to_string()),
            Cell::plain(uptime),
            restarts,
            state,
            cpu,
            memory,
            Cell::coloured(user, &[Code::Bold]),
            watching,
        ],
        Layout::Condensed => vec![id, name, mode, restarts, state, cpu, memory],
        Layout::Mini => vec![id, name, state, cpu, memory],
    }
}

/// By name unless told otherwise: `field` or `field:desc`.
fn sort(processes: &mut [&Process], by: Option<&str>) {
    let (field, descending) = match by.and_then(|by| by.split_once(':')) {
        Some((field, order)) => (field, order == "desc"),
        None => (by.unwrap_or("name"), false),
    };
    let field = field.to_lowercase();
    processes.sort_by(|a, b| {
        let order = match field.as_str() {
            "namespace" => a.namespace.cmp(&b.namespace),
            "pid" => a.instance.pid.cmp(&b.instance.pid),
            "id" => a.id().cmp(&b.id()),
            "cpu" => a.instance.cpu_percent.partial_cmp(&b.instance.cpu_percent).unwrap_or(Ordering::Equal),
            "memory" => a.instance.memory_bytes.cmp(&b.instance.memory_bytes),
            "uptime" => a.instance.started_at.cmp(&b.instance.started_at),
            "status" => a.status().cmp(b.status()),
            _ => a.name.cmp(&b.name),
        };
        if descending { order.reverse() } else { order }
    });
}

fn compact(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for process in &snapshot.processes {
        let instance = &process.instance;
        let spec = snapshot.specs.get(&process.name);
        let record = spec.map(Record::of).unwrap_or_default();
        let status = process.status();
        let mode = match process.mode {
            ExecMode::Fork => "fork",
            ExecMode::Cluster => "cluster",
        };
        let errors = spec.and_then(|spec| log_path(&spec.logs.error_file, process.id(), spec.logs.merge));
        let pid_file = spec.and_then(|spec| pid_path(spec, process.id()));
        let uptime = if status == "online" { words::since(instance.uptime_ms) } else { "0".to_owned() };
        text.push_str(&format!("+--- {}\n", process.name));
        let lines = [
            ("namespace", process.namespace.clone()),
            ("version", record.version),
            ("pid", instance.pid.unwrap_or(0).to_string()),
            ("pm2 id", process.id().to_string()),
            ("status", status.to_owned()),
            ("mode", mode.to_owned()),
            ("restarted", instance.restarts.to_string()),
            ("uptime", uptime),
            ("memory usage", format!("{} ", words::size(instance.memory_bytes))),
            ("error log", errors.unwrap_or_default()),
            ("watching", if process.watching { "yes" } else { "no" }.to_owned()),
            ("PID file", pid_file.unwrap_or_default()),
        ];
        for (name, value) in lines {
            text.push_str(&format!("{name} : {value}\n"));
        }
        text.push('\n');
    }
    text
}

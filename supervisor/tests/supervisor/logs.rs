//! What applications write.

mod disk;
mod past;

use std::process::{Command, Output};

use muster_supervisor_protocol::{
    AppSpec, Client, ClientError, ErrorCode, ExecMode, LogFile, LogFormat, LogLine, LogRotation,
    LogStreamName, LogsRequest, Readiness, Request,
};

use crate::harness::{Supervisor, until};

fn request(follow: bool) -> LogsRequest {
    LogsRequest { apps: vec!["talker".into()], lines: 1_000, follow, ..LogsRequest::default() }
}

fn talker(supervisor: &Supervisor, source: &str) -> AppSpec {
    AppSpec {
        exec_mode: ExecMode::Fork,
        readiness: Readiness::Started,
        min_uptime_ms: 10,
        autorestart: false,
        ..supervisor.app("talker", "1", source)
    }
}

#[tokio::test]
async fn lines_are_kept_per_stream_in_memory_and_in_files() {
    let supervisor = Supervisor::start().await;
    let source = "console.log('hello'); console.error('oh'); setInterval(() => console.log('tick'), 20);";
    supervisor.run(&talker(&supervisor, source)).await;
    let mut stream = supervisor.client().await.logs(request(true)).await.unwrap();
    let mut seen = vec![];
    while seen.iter().filter(|(_, line)| line == "tick").count() < 3 {
        let line = stream.next().await.unwrap().unwrap();
        seen.push((line.stream, line.line));
    }
    assert!(seen.contains(&(LogStreamName::Out, "hello".into())), "{seen:?}");
    assert!(seen.contains(&(LogStreamName::Err, "oh".into())), "{seen:?}");
    let file = supervisor.dir.path().join("logs/talker/0-err.log");
    until("the file is written", async || std::fs::read_to_string(&file).ok().filter(|text| text == "oh\n"))
        .await;
}

#[tokio::test]
async fn files_are_rotated_without_losing_a_line() {
    let supervisor = Supervisor::start().await;
    let source = "for (let i = 0; i < 20000; i += 1) console.log(`line ${i}`); setInterval(() => {}, 1000);";
    let mut spec = talker(&supervisor, source);
    spec.logs.rotation = LogRotation { max_bytes: 64 * 1024, keep: 10, ..LogRotation::default() };
    supervisor.run(&spec).await;
    let dir = supervisor.dir.path().join("logs/talker");
    let all = until("the last line is written", async || {
        let mut text = String::new();
        for number in 1..=10 {
            text += &std::fs::read_to_string(dir.join(format!("0-out.log.{number}"))).unwrap_or_default();
        }
        text += &std::fs::read_to_string(dir.join("0-out.log")).unwrap_or_default();
        text.ends_with("line 19999\n").then_some(text)
    })
    .await;
    let expected: Vec<String> = (0..20_000).map(|number| format!("line {number}")).collect();
    assert!(all.lines().eq(expected.iter().map(String::as_str)), "no line lost, none twice, in order");
    assert!(dir.join("0-out.log.2").exists());
}

#[tokio::test]
async fn a_huge_line_is_split_and_the_application_goes_on() {
    let supervisor = Supervisor::start().await;
    let source = "process.stdout.write('x'.repeat(100e6) + '\\n', () => console.log('after')); setInterval(() => {}, 1000);";
    supervisor.run(&talker(&supervisor, source)).await;
    let lines = until("the line after", async || {
        let mut stream = supervisor.client().await.logs(request(false)).await.unwrap();
        let mut lines = vec![];
        while let Some(line) = stream.next().await.unwrap() {
            lines.push(line.line);
        }
        (lines.last()? == "after").then_some(lines)
    })
    .await;
    assert!(lines[0].ends_with("[muster: the line continues]"), "{}", &lines[0][lines[0].len() - 60..]);
    // The file holds it as it came.
    let file = supervisor.dir.path().join("logs/talker/0-out.log");
    until("the file is written", async || {
        (std::fs::metadata(file.with_extension("log.1")).ok()?.len() == 100_000_001).then_some(())
    })
    .await;
    let text = std::fs::read(file.with_extension("log.1")).unwrap();
    assert!(text.ends_with(b"x\n") && text[..text.len() - 1].iter().all(|byte| *byte == b'x'));
    until("the next one is", async || (std::fs::read(&file).ok()? == b"after\n").then_some(())).await;
    // Every look at the past reads the last 16 MiB of the file; the line itself would be far above.
    memory_is_bounded(&supervisor, 96);
}

/// Whatever was written.
fn memory_is_bounded(supervisor: &Supervisor, most_mb: u64) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", supervisor.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < most_mb * 1024, "{peak} kB at most: that is bounded");
}

async fn read(client: Client, request: LogsRequest) -> Vec<LogLine> {
    let mut stream = client.logs(request).await.unwrap();
    let mut lines = vec![];
    while let Some(line) = stream.next().await.unwrap() {
        lines.push(line);
    }
    lines
}

fn texts(lines: &[LogLine]) -> Vec<&str> {
    lines.iter().map(|line| line.line.as_str()).collect()
}

#[tokio::test]
async fn files_look_as_users_of_pm2_know_them() {
    let supervisor = Supervisor::start().await;
    let source =
        "console.log('out'); setTimeout(() => console.error('err'), 50); setInterval(() => {}, 1000);";
    let path = |name: &str| supervisor.dir.path().join("own").join(name);
    let named = |name: &str| LogFile::Path(path(name).to_str().unwrap().to_owned());
    let mut spec = AppSpec { instances: 2, ..talker(&supervisor, source) };
    spec.logs.out_file = named("out.log");
    spec.logs.error_file = LogFile::None;
    spec.logs.log_file = named("all.log");
    spec.logs.format = LogFormat::Json;
    supervisor.run(&spec).await;
    for instance in 0..2 {
        let text = until("both lines are written", async || {
            let text = std::fs::read_to_string(path(&format!("all-{instance}.log"))).ok()?;
            (text.lines().count() == 2).then_some(text)
        })
        .await;
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for (line, stream) in lines.iter().zip(["out", "err"]) {
            assert_eq!((&line["message"], &line["type"]), (&stream.into(), &stream.into()));
            assert_eq!((&line["app_name"], &line["process_id"]), (&"talker".into(), &instance.into()));
            line["timestamp"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
        }
        assert_eq!(std::fs::read_to_string(path(&format!("out-{instance}.log"))).unwrap().lines().count(), 1);
    }
    let mut spec = AppSpec { spec_digest: "2".into(), ..spec };
    spec.logs.merge = true;
    spec.logs.error_file = named("out.log");
    spec.logs.log_file = LogFile::Default;
    spec.logs.format = LogFormat::Raw;
    spec.logs.date_format = Some("[at] YYYY".into());
    supervisor.run(&spec).await;
    let text = until("everything is in one file", async || {
        std::fs::read_to_string(path("out.log")).ok().filter(|text| text.lines().count() == 4)
    })
    .await;
    assert!(text.lines().all(|line| line.starts_with("at 2") && line[7..].starts_with(": ")), "{text}");
    let mut spec = AppSpec { spec_digest: "3".into(), ..spec };
    spec.logs.disabled = true;
    supervisor.client().await.carry_out(&Request::FlushLogs { app: None }).await.unwrap();
    supervisor.run(&spec).await;
    supervisor.client().await.delete("talker").await.unwrap();
    assert_eq!(std::fs::read_to_string(path("out.log")).unwrap(), "", "emptied, and nothing came after");
}

#[tokio::test]
async fn whoever_renames_files_gets_every_line() {
    let supervisor = Supervisor::start().await;
    let source = "let n = 0; setInterval(() => { for (let i = 0; i < 50; i += 1) console.log(`line ${n += 1}`); }, 1);";
    supervisor.run(&talker(&supervisor, source)).await;
    let file = supervisor.dir.path().join("logs/talker/0-out.log");
    let mut taken = vec![];
    for number in 0..3 {
        until("something is written", async || (std::fs::metadata(&file).ok()?.len() > 10_000).then_some(()))
            .await;
        let to = file.with_extension(format!("old-{number}"));
        std::fs::rename(&file, &to).unwrap();
        supervisor.client().await.carry_out(&Request::ReopenLogs).await.unwrap();
        assert!(file.exists(), "it is made at once");
        taken.push(to);
    }
    supervisor.client().await.delete("talker").await.unwrap();
    let text: String =
        taken.iter().chain([&file]).map(|file| std::fs::read_to_string(file).unwrap()).collect();
    for (line, number) in text.lines().zip(1..) {
        assert_eq!(line, format!("line {number}"));
    }
}

#[tokio::test]
async fn a_flood_stops_neither_the_supervisor_nor_its_readers() {
    let supervisor = Supervisor::start().await;
    let source = "const text = ('y'.repeat(99) + '\\n').repeat(10000);
        const more = () => process.stdout.write(text, () => setImmediate(more)); more();";
    let mut spec = talker(&supervisor, source);
    spec.logs.rotation = LogRotation { max_bytes: 4 << 20, keep: 1, ..LogRotation::default() };
    supervisor.run(&spec).await;
    let mut slow = supervisor.client().await.logs(request(true)).await.unwrap();
    for _ in 0..100 {
        supervisor.client().await.list().await.unwrap();
    }
    // Nothing was read meanwhile but what fits into the socket; what is missing is said.
    loop {
        let line = slow.next().await.unwrap().unwrap().line;
        if line.contains("lines were skipped") {
            break;
        }
        assert_eq!(line.len(), 99, "{line}");
    }
    supervisor.client().await.delete("talker").await.unwrap();
    memory_is_bounded(&supervisor, 64);
}

fn command(supervisor: &Supervisor, arguments: &[&str]) -> Output {
    tokio::task::block_in_place(|| {
        Command::new(env!("CARGO_BIN_EXE_muster-supervisor"))
            .arg("logs")
            .args(arguments)
            .arg("--state-dir")
            .arg(supervisor.dir.path().join("state"))
            .output()
            .unwrap()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_shows_what_is_asked_for() {
    let supervisor = Supervisor::start().await;
    let source =
        "console.log('hello 1'); console.log('bye'); console.error('hello 2'); setInterval(() => {}, 1000);";
    supervisor.run(&talker(&supervisor, source)).await;
    until("everything is there", async || {
        (read(supervisor.client().await, request(false)).await.len() == 3).then_some(())
    })
    .await;
    let shown = |arguments: &[&str]| {
        let output = command(&supervisor, arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let found = shown(&["talker", "--grep", "hello [0-9]$", "--since", "1h"]);
    assert_eq!(found.lines().count(), 2, "{found}");
    assert!(!found.contains('\x1b'), "no colours where no terminal is");
    assert!(shown(&["--out", "--lines", "1"]).ends_with(" talker/0 out: bye\n"));
    let json = shown(&["--err", "--json"]);
    let line: LogLine = serde_json::from_str(json.trim()).unwrap();
    assert_eq!((line.line.as_str(), line.stream), ("hello 2", LogStreamName::Err));
    assert_eq!(shown(&["--since", "2000-01-01T00:00:00Z", "--instance", "7"]), "");
    for (arguments, said) in [
        (["nobody", "--no-color"], "there is no application \"nobody\""),
        (["--grep", "("], "not a regular expression"),
        (["--since", "soon"], "neither a time ago"),
    ] {
        let output = command(&supervisor, &arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(said), "{output:?}");
    }
    let request = LogsRequest { matching: Some("(".into()), ..LogsRequest::default() };
    let refused = supervisor.client().await.logs(request).await.unwrap().next().await.unwrap_err();
    assert!(matches!(refused, ClientError::Refused { code: ErrorCode::BadRequest, .. }), "{refused}");
}

#[tokio::test]
async fn the_supervisor_rotates_its_own_log_also_after_an_upgrade() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("own.log");
    let mut command = Supervisor::command(dir.path());
    command.arg("--log-file").arg(&log);
    let supervisor = Supervisor::start_by(dir, command).await;
    std::fs::write(&log, vec![b'-'; 6 << 20]).unwrap();
    supervisor.upgrade().await;
    supervisor.client().await.carry_out(&Request::ReopenLogs).await.unwrap();
    until("it was renamed", async || log.with_extension("log.1").exists().then_some(())).await;
    assert!(std::fs::read_to_string(&log).unwrap().contains("supervisor serves"));
    assert_eq!(supervisor.stderr(), "");
}

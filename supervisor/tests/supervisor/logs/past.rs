//! Lines that memory does not reach.

use chrono::{DateTime, TimeDelta, Utc};
use muster_supervisor_protocol::{AppSpec, LogFormat, LogRotation, LogsRequest, Request};

use super::{read, talker, texts};
use crate::harness::{Supervisor, until};

const LINES: usize = 8_000;

fn writer(supervisor: &Supervisor) -> AppSpec {
    let source = format!(
        "for (let i = 0; i < {LINES}; i += 1) console.log(`line ${{i}} ${{'x'.repeat(80)}}`); setInterval(() => {{}}, 1000);"
    );
    talker(supervisor, &source)
}

fn all() -> LogsRequest {
    LogsRequest { apps: vec!["talker".into()], lines: 100_000, ..LogsRequest::default() }
}

fn line(number: usize) -> String {
    format!("line {number} {}", "x".repeat(80))
}

async fn written(supervisor: &Supervisor) {
    until("the last line is there", async || {
        let lines = read(supervisor.client().await, LogsRequest { lines: 1, ..all() }).await;
        (lines.first()?.line == line(LINES - 1)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn memory_and_files_make_one_history() {
    let supervisor = Supervisor::start().await;
    let mut spec = writer(&supervisor);
    spec.logs.rotation =
        LogRotation { max_bytes: 100_000, keep: 100, compress: true, ..LogRotation::default() };
    supervisor.run(&spec).await;
    written(&supervisor).await;
    let expected: Vec<String> = (0..LINES).map(line).collect();
    // Also while files are being compressed.
    let lines = read(supervisor.client().await, all()).await;
    assert!(texts(&lines).iter().eq(&expected), "every line once: {} of {LINES}", lines.len());
    assert!(lines.is_sorted_by_key(|line| line.at));
    let few = read(supervisor.client().await, LogsRequest { lines: 5_000, ..all() }).await;
    assert!(texts(&few).iter().eq(&expected[LINES - 5_000..]));
    let one = LogsRequest { matching: Some("line 17 ".into()), lines: 10, ..all() };
    assert_eq!(texts(&read(supervisor.client().await, one).await), [line(17)]);
    until("old files are compressed", async || {
        let dir = std::fs::read_dir(supervisor.dir.path().join("logs/talker")).unwrap();
        let names: Vec<String> = dir.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let plain = names.iter().filter(|name| name.starts_with("0-out.log.") && !name.ends_with(".gz"));
        (plain.count() == 0 && names.len() > 5).then_some(())
    })
    .await;
    let lines = read(supervisor.client().await, all()).await;
    assert!(texts(&lines).iter().eq(&expected), "every line once: {} of {LINES}", lines.len());
    // Nobody knows when raw lines of before were written, only that all of them are younger than this.
    let since = Some(Utc::now() - TimeDelta::hours(1));
    let lines = read(supervisor.client().await, LogsRequest { since, ..all() }).await;
    assert!(texts(&lines).iter().eq(&expected[LINES - lines.len()..]) && !lines.is_empty());
    supervisor.client().await.carry_out(&Request::FlushLogs { app: Some("talker".into()) }).await.unwrap();
    assert!(read(supervisor.client().await, LogsRequest { lines: 0, ..all() }).await.is_empty());
}

#[tokio::test]
async fn another_supervisor_reads_what_an_earlier_one_wrote_with_its_times() {
    let supervisor = Supervisor::start().await;
    let mut spec = writer(&supervisor);
    spec.logs.format = LogFormat::Json;
    let before = Utc::now();
    supervisor.run(&spec).await;
    written(&supervisor).await;
    let supervisor = Supervisor::start_in(supervisor.terminate()).await;
    spec.script = supervisor.script("quiet.js", "setInterval(() => {}, 1000);");
    supervisor.run(&spec).await;
    let since = |at: DateTime<Utc>| LogsRequest { since: Some(at), ..all() };
    let lines = read(supervisor.client().await, since(before)).await;
    assert!(texts(&lines).iter().eq(&(0..LINES).map(line).collect::<Vec<_>>()), "{}", lines.len());
    assert!(lines.iter().all(|line| line.at >= before - TimeDelta::milliseconds(1) && line.at <= Utc::now()));
    assert!(read(supervisor.client().await, since(Utc::now())).await.is_empty());
}

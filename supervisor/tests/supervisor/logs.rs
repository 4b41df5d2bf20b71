//! What applications write.

use muster_supervisor_protocol::{AppSpec, ExecMode, LogRotation, LogStreamName, LogsRequest, Readiness};

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
        for number in (1..=10).rev() {
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
    let source = "process.stdout.write('x'.repeat(20e6) + '\\n', () => console.log('after')); setInterval(() => {}, 1000);";
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
    assert!(lines.iter().map(String::len).sum::<usize>() < 300_000, "memory stays bounded");
}

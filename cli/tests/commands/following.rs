//! Logs and events, read and followed.

use super::fake::*;

use axum::response::IntoResponse;
use serde_json::{Value, json};

fn log_line(at: u32, text: &str) -> String {
    let line = json!({
        "type": "line", "at": format!("2026-01-01T00:00:{at:02}Z"), "node": "app-1", "instance": 0, "stream": "out",
        "line": text
    });
    format!("{line}\n")
}

#[test]
fn logs_are_prefixed_and_cannot_drive_the_terminal() {
    let controller = FakeController::start();
    controller.on("GET /applications/web/logs", |_| {
        let mut body = log_line(1, "listening\u{1b}[2J on \u{1b}[32m3000\u{1b}[0m");
        body.push_str("{\"type\":\"dropped\",\"node\":\"app-1\",\"count\":5}\n{\"type\":\"caught_up\"}\n");
        body.push_str("{\"type\":\"problem\",\"node\":\"app-2\",\"message\":\"not connected\"}\n");
        body.into_response()
    });
    let person = Person::of(&controller);
    let ran = person.run(&["logs", "web", "--lines", "5", "--instance", "0"]).exits(0);
    assert_eq!(ran.stdout, "app-1/0 | listening[2J on 3000\n");
    assert!(
        ran.stderr.contains("5 lines of app-1 were left out") && ran.stderr.contains("app-2: not connected")
    );
    assert_eq!(controller.seen("GET /applications/web/logs")[0].query, "instance=0&lines=5");
    let ran = person.run(&["logs", "web", "-o", "json"]).exits(0);
    assert_eq!(ran.stdout.lines().count(), 3, "{}", ran.stdout);

    controller.on("GET /applications/web/logs", |_| {
        "{\"type\":\"problem\",\"node\":\"app-1\",\"message\":\"not connected\"}\n".into_response()
    });
    person.run(&["logs", "web"]).exits(1);
}

#[test]
fn following_logs_survives_a_restart_without_repeating_lines() {
    let controller = FakeController::start();
    let mut calls = 0;
    controller.on("GET /applications/web/logs", move |_| {
        calls += 1;
        match calls {
            1 => log_line(1, "one").into_response(),
            2 => problem(503, "unavailable", "the controller restarts"),
            3 => (log_line(1, "one") + &log_line(2, "two")).into_response(),
            _ => problem(404, "not_found", "the application is gone"),
        }
    });
    let ran = Person::of(&controller).run(&["logs", "web", "--follow"]).exits(1);
    assert_eq!(ran.stdout, "app-1/0 | one\napp-1/0 | two\n");
    assert!(
        ran.stderr.contains("trying again") && ran.stderr.contains("the application is gone"),
        "{}",
        ran.stderr
    );
}

#[test]
fn following_logs_goes_on_when_the_clock_of_a_node_was_set_back() {
    let controller = FakeController::start();
    let mut calls = 0;
    controller.on("GET /applications/web/logs", move |_| {
        calls += 1;
        match calls {
            1 => log_line(5, "one").into_response(),
            2 => (log_line(5, "one") + "{\"type\":\"caught_up\"}\n" + &log_line(2, "two")).into_response(),
            _ => problem(404, "not_found", "the application is gone"),
        }
    });
    let ran = Person::of(&controller).run(&["logs", "web", "--follow"]).exits(1);
    assert_eq!(ran.stdout, "app-1/0 | one\napp-1/0 | two\n");
}

fn event(sequence: i64, age_s: i64) -> Value {
    let at = chrono::Utc::now() - chrono::Duration::seconds(age_s);
    json!({
        "sequence": sequence, "at": at, "kind": "node.up", "severity": "info", "message": format!("event {sequence}"),
        "actor": "controller", "node": null, "environment": null, "application": null, "rollout": null
    })
}

#[test]
fn events_are_told_oldest_first_and_followed_by_number() {
    let controller = FakeController::start();
    let mut polls = 0;
    controller.on("GET /events", move |request| {
        if !request.query.contains("after=") {
            return axum::Json(page(json!([event(7, 1), event(6, 60), event(5, 7200)]))).into_response();
        }
        polls += 1;
        match polls {
            1 => axum::Json(page(json!([event(8, 0)]))).into_response(),
            _ => problem(403, "forbidden", "enough"),
        }
    });
    let person = Person::of(&controller);
    let numbers = |ran: &Ran| {
        let words = ran.stdout.lines().filter_map(|line| line.split("event ").nth(1)?.split(' ').next());
        words.map(|word| word.parse::<i64>().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&person.run(&["events"]).exits(0)), [5, 6, 7]);
    assert_eq!(numbers(&person.run(&["events", "--since", "1h"]).exits(0)), [6, 7]);
    let ran = person.run(&["events", "--follow", "--since", "1h"]).exits(3);
    assert_eq!(numbers(&ran), [6, 7, 8]);
    let polled =
        controller.seen("GET /events").into_iter().filter(|request| request.query.contains("after="));
    let queries: Vec<String> = polled.map(|request| request.query).collect();
    assert!(queries[0].contains("after=7") && queries[1].contains("after=8"), "{queries:?}");
}

#[test]
fn following_events_that_never_happened_does_not_begin_in_the_past() {
    let controller = FakeController::start();
    controller.on("GET /events", |request| match request.query.as_str() {
        "limit=1" => axum::Json(page(json!([event(42, 5)]))).into_response(),
        query if query.contains("after=") => problem(403, "forbidden", "enough"),
        _ => axum::Json(page(json!([]))).into_response(),
    });
    Person::of(&controller).run(&["events", "--follow", "--node", "quiet-1"]).exits(3);
    let last = controller.seen("GET /events").pop().unwrap().query;
    assert!(last.contains("after=42") && last.contains("node=quiet-1"), "{last}");
}

#[test]
fn the_history_of_an_application_is_one_line_for_each_restart_the_newest_last() {
    let controller = FakeController::start();
    let exited = |sequence: i64, reason: &str| {
        json!({
            "sequence": sequence, "at": "2026-01-01T03:12:07Z", "reported_at": "2026-01-01T03:12:08Z",
            "kind": "process.exited", "severity": "warning", "node": "app-1", "environment": "production",
            "application": "web", "instance": 3, "release": "1.4.0", "reason": reason, "restarts": 7,
            "exit": {"code": 1, "signal": null, "out_of_memory": false, "uptime_ms": 50, "last_stderr": ["    at main.js:1"]}
        })
    };
    let mut calls = 0;
    controller.on("GET /process-events", move |_| {
        calls += 1;
        if calls % 2 == 1 {
            axum::Json(json!({ "items": [exited(9, "second")], "next_cursor": "9" })).into_response()
        } else {
            axum::Json(page(json!([exited(8, "first")]))).into_response()
        }
    });
    let person = Person::of(&controller);
    let ran =
        person.run(&["app", "history", "web", "--node", "app-1", "--instance", "3", "--stderr"]).exits(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(
        lines[0],
        "2026-01-01 03:12:07Z  ! app-1/3  first  release 1.4.0, exit code 1, up 50 ms, 7 restarts"
    );
    assert_eq!(lines[1], "        at main.js:1");
    assert!(lines[2].contains("second"), "{}", ran.stdout);
    let asked = controller.seen("GET /process-events");
    assert_eq!(asked[0].query, "application=web&node=app-1&instance=3&limit=50");
    assert_eq!(asked[1].query, "application=web&node=app-1&instance=3&limit=49&cursor=9");
    let ran = person.run(&["app", "history", "web", "-o", "json"]).exits(0);
    let listed: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2);
}

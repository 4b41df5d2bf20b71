//! The binary as a person or a CI job runs it, against a controller that exists only here.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

mod apply;
mod convergence;
mod fake;
mod following;
mod releases;

use fake::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};

#[test]
fn wrong_usage_exits_with_2() {
    let person = Person::new();
    for arguments in [
        &["frobnicate"][..],
        &["deploy", "web"],
        &["node", "list", "--output", "xml"],
        &["login", "http://muster.example.com"],
        &["login", "https://127.0.0.1:1", "--ca-sha256", "short"],
        &["rollout", "show", "not-an-id"],
        &["logs"],
        &["schema"],
    ] {
        person.run(arguments).exits(2);
    }
    assert!(person.run(&["--help"]).exits(0).stdout.contains("deploy"));
}

#[test]
fn what_needs_no_controller_works_without_one() {
    let person = Person::new();
    assert!(person.run(&["completions", "bash"]).exits(0).stdout.contains("_muster"));
    assert!(person.run(&["man"]).exits(0).stdout.contains(".TH muster"));
    assert!(person.run(&["version"]).exits(0).stdout.starts_with("muster "));
    for arguments in [&["help", "exit-codes"][..], &["exit-codes"]] {
        let help = person.run(arguments).exits(0).stdout;
        assert!(help.contains("4    timed out"), "{help}");
    }
}

#[test]
fn without_a_sign_in_the_answer_says_how_to_get_one() {
    let ran = Person::new().run(&["node", "list"]).exits(3);
    assert!(
        ran.stderr.contains("error: not signed in") && ran.stderr.contains("muster login URL"),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.stdout, "");
}

fn accept_sign_in(controller: &FakeController) {
    controller
        .on("POST /session", |request| {
            if request.json()["password"] != "correct horse" {
                return problem(401, "unauthenticated", "the user name or the password is wrong");
            }
            let body = json!({
                "username": "amara", "role": "admin", "expires_at": null, "controller_version": "0.1.0"
            });
            ([("set-cookie", "muster_session=abc; HttpOnly; Path=/")], axum::Json(body)).into_response()
        })
        .on("POST /tokens", |request| {
            assert!(request.json()["ttl_s"].as_u64().unwrap() > 0, "a kept token ends some day");
            let token = json!({
                "id": "00000000-0000-0000-0000-000000000009", "name": "x", "username": "amara",
                "created_at": "2026-01-01T00:00:00Z", "expires_at": null, "last_used_at": null, "revoked_at": null
            });
            axum::Json(json!({ "token": token, "secret": "muster_api_kept" })).into_response()
        })
        .on("DELETE /session", |_| StatusCode::NO_CONTENT.into_response())
        .on("DELETE /tokens/00000000-0000-0000-0000-000000000009", |_| StatusCode::NO_CONTENT.into_response())
        .on_json("GET /nodes", page(json!([node("app-1", true)])));
}

#[test]
fn a_sign_in_is_kept_privately_and_used_for_that_controller_only() {
    let (controller, other) = (FakeController::start(), FakeController::start());
    accept_sign_in(&controller);
    accept_sign_in(&other);
    let person = Person::new();
    let login = ["login", controller.url.as_str(), "--username", "amara", "--password-stdin"];
    let ran = person.run_with_input(&login, "wrong\n").exits(3);
    assert!(ran.stderr.contains("password is wrong"), "{}", ran.stderr);
    assert!(!person.config().exists());

    person.run_with_input(&login, "correct horse\n").exits(0);
    assert_eq!(fs::metadata(person.config()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(controller.seen("DELETE /session").len(), 1, "the session is not left open");

    let ran = person.run(&["node", "list"]).exits(0);
    assert!(ran.stdout.contains("app-1"), "{}", ran.stdout);
    assert_eq!(controller.seen("GET /nodes")[0].authorization.as_deref(), Some("Bearer muster_api_kept"));

    person.run(&["--url", &other.url, "node", "list"]).exits(3);
    assert!(other.seen("GET /nodes").is_empty(), "the token of one controller is not shown to another");

    person.run(&["logout"]).exits(0);
    assert_eq!(controller.seen("DELETE /tokens/00000000-0000-0000-0000-000000000009").len(), 1);
    assert!(!fs::read_to_string(person.config()).unwrap().contains("muster_api_kept"));
    person.run(&["node", "list"]).exits(3);
}

#[test]
fn json_is_the_objects_of_the_api_and_every_page_of_them() {
    let controller = FakeController::start();
    controller.on("GET /nodes", |request| {
        let second = request.query.contains("cursor=more");
        let (name, next) = if second { ("app-2", Value::Null) } else { ("app-1", json!("more")) };
        axum::Json(json!({ "items": [node(name, true)], "next_cursor": next })).into_response()
    });
    let ran =
        Person::of(&controller).run(&["node", "list", "--environment", "production", "-o", "json"]).exits(0);
    assert_eq!(ran.json(), json!([node("app-1", true), node("app-2", true)]));
    assert_eq!(ran.stderr, "");
    assert!(
        controller.seen("GET /nodes").iter().all(|request| request.query.contains("environment=production"))
    );
}

#[test]
fn exit_codes_tell_refused_failed_and_unreachable_apart() {
    let controller = FakeController::start();
    let person = Person::of(&controller);
    for (status, code) in [(401, 3), (403, 3), (409, 3), (422, 3), (404, 1), (500, 1), (503, 1)] {
        controller.on("GET /nodes", move |_| problem(status, "some_code", "what happened"));
        let ran = person.run(&["node", "list"]).exits(code);
        assert!(ran.stderr.contains("error: what happened"), "{}", ran.stderr);
        let ran = person.run(&["node", "list", "-o", "json"]).exits(code);
        let error: Value = serde_json::from_str(&ran.stderr).unwrap();
        assert_eq!((&error["code"], &error["exit_code"]), (&json!("some_code"), &json!(code)));
    }
    controller.on("GET /nodes", |_| (StatusCode::BAD_GATEWAY, "<html>").into_response());
    assert!(person.run(&["node", "list"]).exits(1).stderr.contains("502 Bad Gateway"));
    controller.on("GET /nodes", |_| "surprise".into_response());
    assert!(person.run(&["node", "list"]).exits(1).stderr.contains("cannot be understood"));

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let away = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let ran = person.run(&["--url", &away, "node", "list"]).exits(1);
    assert!(
        ran.stderr.contains("cannot reach the controller") && ran.stderr.contains("refused"),
        "{}",
        ran.stderr
    );
}

#[test]
fn destructive_verbs_need_yes_where_nobody_can_answer() {
    let controller = FakeController::start();
    controller.on("DELETE /nodes/app-1", |_| StatusCode::NO_CONTENT.into_response());
    let person = Person::of(&controller);
    let ran = person.run(&["node", "remove", "app-1"]).exits(2);
    assert!(ran.stderr.contains("--yes"), "{}", ran.stderr);
    assert!(controller.seen("DELETE /nodes/app-1").is_empty());
    person.run(&["node", "remove", "app-1", "--yes"]).exits(0);
    // Names cannot reach other parts of the API.
    person.run(&["node", "remove", "../tokens", "--yes"]).exits(1);
    assert_eq!(controller.seen("DELETE /nodes/..%2Ftokens").len(), 1);
}
#[test]
fn a_deploy_that_waits_tells_the_truth() {
    let look = format!("GET /rollouts/{ROLLOUT}");
    let arguments =
        ["deploy", "web", "--release", "v2", "--environment", "production", "--wait", "--timeout", "30s"];
    let run = |statuses: &'static [&'static str], arguments: &[&str]| {
        let controller = FakeController::start();
        controller
            .on("POST /rollouts", |_| (StatusCode::CREATED, axum::Json(rollout("planned"))).into_response());
        let mut looks = 0;
        controller.on(&look, move |_| {
            let status = statuses[looks.min(statuses.len() - 1)];
            looks += 1;
            if status == "away" {
                return problem(503, "unavailable", "the controller restarts");
            }
            axum::Json(rollout(status)).into_response()
        });
        Person::of(&controller).run(arguments)
    };
    let ran = run(&["running", "away", "away", "running", "completed"], &arguments).exits(0);
    assert!(ran.stderr.contains("app-1 is moving") && ran.stderr.contains("app-1 moved"), "{}", ran.stderr);
    assert!(ran.stderr.contains("trying again") && ran.stderr.contains("completed"), "{}", ran.stderr);

    let ran = run(&["running", "rolled_back"], &arguments).exits(1);
    assert!(ran.stderr.contains("production runs v1 again"), "{}", ran.stderr);
    assert!(ran.stderr.contains("app-1 was not ready"), "{}", ran.stderr);

    let mut short = arguments;
    short[8] = "1s";
    let ran = run(&["running"], &short).exits(4);
    assert!(ran.stderr.contains(&format!("muster rollout show {ROLLOUT}")), "{}", ran.stderr);
    run(&["away"], &short).exits(4);

    // Without --wait, the id is the result.
    let ran = run(&[], &arguments[..6]).exits(0);
    assert_eq!(ran.stdout.trim(), ROLLOUT);
}
#[test]
fn secrets_come_from_standard_input_and_are_not_shown() {
    let controller = FakeController::start();
    controller.on("PUT /secrets/STRIPE_KEY", |_| StatusCode::NO_CONTENT.into_response());
    let person = Person::of(&controller);
    let set = ["secret", "set", "STRIPE_KEY", "--environment", "production"];
    let ran = person.run_with_input(&set, "s3cret\n").exits(0);
    assert!(!ran.stdout.contains("s3cret") && !ran.stderr.contains("s3cret"));
    let body = controller.seen("PUT /secrets/STRIPE_KEY")[0].json();
    assert_eq!(body, json!({ "value": "s3cret", "environment": "production" }));
    person.run_with_input(&[&set[..], &["--raw"]].concat(), "line\n").exits(0);
    assert_eq!(controller.seen("PUT /secrets/STRIPE_KEY")[1].json()["value"], "line\n");
    person.run_with_input(&set, "\n").exits(2);
    person.run_with_input(&set, &"x".repeat(65_537)).exits(2);
    assert_eq!(controller.seen("PUT /secrets/STRIPE_KEY").len(), 2);
}
const INSTALL: &str = "echo muster_join_x | sh -c 'true'";
const JOIN: &str = "echo muster_join_x | muster-agent join --controller https://c:8444";

#[test]
fn an_invitation_prints_the_line_to_paste() {
    let controller = FakeController::start();
    controller.on("POST /enrolments", |request| {
        let body = request.json();
        let enrolment = json!({
            "id": "00000000-0000-0000-0000-000000000004", "node": body["node"], "environment": "production",
            "roles": body["roles"], "status": "invited", "created_by": "amara", "created_at": "2026-01-01T00:00:00Z",
            "expires_at": "2026-01-01T01:00:00Z", "enrolled_at": null
        });
        // The controller of one name has no programs for hosts.
        let installs = body["node"] != "app-2";
        axum::Json(json!({
            "enrolment": enrolment, "token": "muster_join_x", "controller_url": "https://c:8444",
            "command": if installs { INSTALL } else { JOIN },
            "cloud_init": installs.then_some("#cloud-config\nruncmd: []\n"),
            "install_problem": (!installs).then_some("the agent cannot be installed from here: no programs; see --agent-dir"),
        }))
        .into_response()
    });
    let person = Person::of(&controller);
    let arguments =
        ["node", "invite", "app-1", "--environment", "production", "--role", "app-server", "--ttl", "1h"];
    let ran = person.run(&arguments).exits(0);
    assert_eq!(ran.stdout, format!("{INSTALL}\n"));
    assert!(ran.stderr.contains("as root on the host that becomes app-1"), "{}", ran.stderr);
    let body = controller.seen("POST /enrolments")[0].json();
    assert_eq!(
        body,
        json!({ "node": "app-1", "environment": "production", "roles": ["app_server"], "ttl_s": 3600, "replace": false })
    );

    let ran = person.run(&["node", "invite", "app-1", "--cloud-init"]).exits(0);
    assert_eq!(ran.stdout, "#cloud-config\nruncmd: []\n");
    assert!(ran.stderr.contains("user data") && ran.stderr.contains("within 1 h"), "{}", ran.stderr);
    let ttl = |number: usize| controller.seen("POST /enrolments")[number].json()["ttl_s"].clone();
    assert_eq!(ttl(1), 3600, "a host is not made in a moment");

    let ran = person.run(&["node", "invite", "app-2"]).exits(0);
    assert_eq!(ran.stdout, format!("{JOIN}\n"));
    assert_eq!(ttl(2), 900);
    assert!(
        ran.stderr.contains("cannot be installed from here") && ran.stderr.contains("has the agent already")
    );
    let ran = person.run(&["node", "invite", "app-2", "--cloud-init"]).exits(3);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains("there is no user data"), "{}", ran.stderr);
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let controller = FakeController::start();
    let nodes: Vec<Value> = (0..5000).map(|number| node(&format!("app-{number}"), true)).collect();
    controller.on_json("GET /nodes", page(json!(nodes)));
    let person = Person::of(&controller);
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command
        .args(["node", "list"])
        .env("HOME", person.home.path())
        .envs(person.env.iter().map(|(k, v)| (k, v)));
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ran = Ran::from(child.wait_with_output().unwrap()).exits(0);
    assert_eq!(ran.stderr, "");
}

//! What nodes would change, what differs on them, and who waits for whom.

use super::fake::*;
use axum::response::IntoResponse;
use serde_json::{Value, json};

const PLAN: &str = "00000000-0000-0000-0000-000000000009";

fn node_plan(node: &str, state: &str, resources: Value) -> Value {
    let changes = resources.as_array().unwrap().len();
    json!({
        "node": node, "environment": "production", "state": state,
        "problem": (state == "problem").then_some("it is not connected to this controller"),
        "change_count": changes, "generation": 4, "reboot_required": null, "resources": resources,
        "unchanged_count": 7
    })
}

fn change(key: &str) -> Value {
    json!({
        "key": key, "change": "change", "mode": "enforce", "cause": "intentional", "disruptive": false,
        "detail": "another content", "diff": "-old\n+new\n"
    })
}

fn plan(finished: bool, nodes: Value) -> Value {
    json!({
        "id": PLAN, "created_by": "amara", "created_at": "2026-01-01T00:00:00Z", "candidate": true,
        "finished": finished, "nodes": nodes
    })
}

#[test]
fn plan_shows_what_would_change_and_ends_with_the_truth() {
    let controller = FakeController::start();
    let waiting = node_plan("app-1", "waiting", json!([]));
    controller.on_json("POST /plans", plan(false, json!([waiting])));
    let answered = json!([
        node_plan("app-1", "planned", json!([change("file:/etc/motd")])),
        node_plan("app-2", "missing", json!([])),
    ]);
    let mut looks = 0;
    let finished = plan(true, answered.clone());
    controller.on(&format!("GET /plans/{PLAN}"), move |_| {
        looks += 1;
        if looks == 1 {
            return axum::Json(plan(false, json!([waiting]))).into_response();
        }
        axum::Json(finished.clone()).into_response()
    });
    let person = Person::of(&controller);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("fleet.yaml"), "environments: {}\n").unwrap();
    let path = folder.path().to_str().unwrap();

    let ran = person.run(&["plan", "-f", path, "--environment", "production"]).exits(0);
    assert!(
        ran.stdout.contains("app-1 (production): 1 change, 7 resources as they should be"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("  ~ file:/etc/motd: another content\n    -old\n    +new"), "{}", ran.stdout);
    assert!(ran.stderr.contains("no host has joined as it yet: app-2"), "{}", ran.stderr);
    assert!(ran.stderr.contains("1 change; on 1 of 1 node; nothing was changed"), "{}", ran.stderr);
    let body = controller.seen("POST /plans")[0].json();
    assert_eq!((&body["environment"], &body["node"]), (&json!("production"), &json!(null)));
    assert_eq!(body["files"][0]["path"], "fleet.yaml");

    controller.on_json("POST /plans", plan(true, answered));
    let ran = person.run(&["plan", "--brief", "--exit-code"]).exits(5);
    assert!(!ran.stdout.contains("+new"), "{}", ran.stdout);
    assert_eq!(controller.seen("POST /plans").last().unwrap().json()["files"], json!(null));
    let ran = person.run(&["plan", "--output", "json"]).exits(0);
    assert_eq!(ran.json()["nodes"][0]["resources"][0]["key"], "file:/etc/motd");

    let silent = json!([node_plan("app-1", "planned", json!([])), node_plan("app-2", "problem", json!([])),]);
    controller.on_json("POST /plans", plan(true, silent));
    let ran = person.run(&["plan", "--exit-code"]).exits(1);
    assert!(
        ran.stderr.contains("app-2 cannot say what it would change: it is not connected"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("the plan is not whole: 1 node could not say"), "{}", ran.stderr);
}

fn resource(key: &str, status: &str, changed_at: Option<&str>) -> Value {
    json!({
        "key": key, "kind": "file", "status": status, "mode": "enforce", "detail": "why", "differs": true,
        "reported_at": "2026-01-01T00:00:00Z", "changed_at": changed_at,
        "change": changed_at.map(|_| "corrective"), "change_detail": changed_at.map(|_| "put back")
    })
}

#[test]
fn resources_are_chosen_by_how_they_stand() {
    let controller = FakeController::start();
    let mut detail = node("app-1", true);
    let more = json!({
        "enrolled_at": "2026-01-01T00:00:00Z", "revoked_at": null, "certificate_expires_at": null,
        "facts": {
            "hostname": "vps-1", "os": "Debian", "kernel": "6.1", "architecture": "x86_64", "cpus": 2,
            "memory_bytes": 4, "agent_version": "0.1.0", "rootless": false
        },
        "converged_at": null, "compile_error": null, "processes": [],
        "mode_overrides": [{
            "resource": null, "mode": "report", "reason": "looking into it", "set_by": "amara",
            "set_at": "2026-01-01T00:00:00Z", "expires_at": null
        }],
        "turn": {
            "node": "app-1", "environment": "production", "roles": [], "kind": "change", "cause": "intentional",
            "state": "failed", "reason": "restart service:nginx.service", "detail": "nginx refused it",
            "since": "2026-01-01T00:00:00Z", "expires_at": null, "rollout": null
        },
        "reboot_request": {
            "id": PLAN, "requested_by": "amara", "requested_at": "2026-01-01T00:00:00Z", "reason": "a new kernel",
            "now": false
        },
        "resources": [
            resource("file:/a", "converged", None),
            resource("file:/b", "drifted", Some("2026-01-01T00:00:00Z")),
            resource("file:/c", "failed", Some("2026-01-02T00:00:00Z")),
            resource("file:/d", "skipped", None),
            resource("file:/e", "waiting", None),
        ]
    });
    detail.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    controller.on_json("GET /nodes/app-1", detail);
    let person = Person::of(&controller);
    for (options, expected) in [
        (&[][..], &["file:/a", "file:/b", "file:/c", "file:/d", "file:/e"][..]),
        (&["--drifted"], &["file:/b"]),
        (&["--failed", "--waiting"], &["file:/c", "file:/d", "file:/e"]),
        (&["--changed"], &["file:/c", "file:/b"]),
        (&["--changed", "--drifted"], &["file:/b"]),
    ] {
        let mut line = vec!["node", "resources", "app-1", "--output", "json"];
        line.extend(options);
        let ran = person.run(&line).exits(0);
        let found = ran.json();
        let keys: Vec<&str> = found.as_array().unwrap().iter().map(|r| r["key"].as_str().unwrap()).collect();
        assert_eq!(keys, expected, "{options:?}");
    }
    let shown = person.run(&["node", "show", "app-1"]).exits(0).stdout;
    for line in [
        "report for all of it, by amara: looking into it",
        "failed: nginx refused it (restart service:nginx.service)",
        "in its turn, by amara: a new kernel",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
}

#[test]
fn a_difference_is_read_now_and_in_the_past() {
    let controller = FakeController::start();
    let change = json!({
        "id": 3, "key": "file:/b", "at": "2026-01-01T00:00:00Z", "generation": 4, "cause": "corrective",
        "detail": "put back", "diff": "-hand\n+declared\n"
    });
    let mut detail = resource("file:/b", "drifted", None);
    let more = json!({ "node": "app-1", "diff": "-now\n", "change_diff": null, "changes": [change] });
    detail.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    controller.on_json("GET /nodes/app-1/resource", detail.clone());
    controller.on_json("GET /nodes/app-1/changes", page(json!([change])));
    let person = Person::of(&controller);
    let ran = person.run(&["node", "diff", "app-1", "file:/b"]).exits(0);
    assert_eq!(ran.stdout, "    -now\n");
    assert!(ran.stderr.contains("file:/b on app-1 is drifted: why"), "{}", ran.stderr);
    assert_eq!(controller.seen("GET /nodes/app-1/resource")[0].query, "key=file%3A%2Fb");
    detail["diff"] = json!(null);
    controller.on_json("GET /nodes/app-1/resource", detail);
    for line in
        [&["node", "diff", "app-1", "file:/b"][..], &["node", "diff", "app-1", "file:/b", "--history"]]
    {
        let ran = person.run(line).exits(0);
        assert!(
            ran.stdout.contains("generation 4, drift put right\n    put back\n    -hand\n    +declared"),
            "{}",
            ran.stdout
        );
    }
}

#[test]
fn modes_turns_restarts_and_inspections_are_asked_for() {
    let controller = FakeController::start();
    controller.on_json("PUT /nodes/app-1/mode", page(json!([])));
    controller.on("POST /nodes/app-1/turn/release", |_| axum::http::StatusCode::NO_CONTENT.into_response());
    controller.on("DELETE /nodes/app-1/reboot", |_| axum::http::StatusCode::NO_CONTENT.into_response());
    controller.on_json(
        "POST /nodes/app-1/reboot",
        json!({
            "id": PLAN, "requested_by": "amara", "requested_at": "2026-01-01T00:00:00Z", "reason": "a new kernel",
            "now": true
        }),
    );
    controller.on_json(
        "POST /nodes/app-1/inspect",
        json!({
            "node": "app-1", "fragment": "packages:\n  nginx: {}\n", "notes": ["the time zone is Europe/Berlin"],
            "inventory": {}
        }),
    );
    controller.on_json("GET /turns", page(json!([])));
    let person = Person::of(&controller);

    let refused = person.run(&["node", "mode", "app-1", "report"]).exits(2);
    assert!(refused.stderr.contains("--reason"), "{}", refused.stderr);
    let line =
        ["node", "mode", "app-1", "report", "--resource", "file:/b", "--reason", "looking", "--for", "2h"];
    person.run(&line).exits(0);
    person.run(&["node", "mode", "app-1", "enforce"]).exits(0);
    let seen = controller.seen("PUT /nodes/app-1/mode");
    let expected =
        json!({ "mode": "report", "resource": "file:/b", "reason": "looking", "expires_in_s": 7200 });
    assert_eq!(seen[0].json(), expected);
    assert_eq!(seen[1].json()["mode"], "enforce");

    let ran = person.run(&["node", "turns", "-e", "production"]).exits(0);
    assert!(ran.stderr.contains("no node is changing disruptively"), "{}", ran.stderr);
    assert!(controller.seen("GET /turns")[0].query.contains("environment=production"));
    person.run(&["node", "release-turn", "app-1"]).exits(2);
    person.run(&["node", "release-turn", "app-1", "--yes"]).exits(0);

    person.run(&["node", "reboot", "app-1", "--yes"]).exits(2);
    person.run(&["node", "reboot", "app-1", "--reason", "a new kernel", "--now", "--yes"]).exits(0);
    assert_eq!(
        controller.seen("POST /nodes/app-1/reboot")[0].json(),
        json!({ "reason": "a new kernel", "now": true })
    );
    person.run(&["node", "reboot", "app-1", "--cancel"]).exits(0);

    let ran = person.run(&["node", "inspect", "app-1"]).exits(0);
    assert_eq!(ran.stdout, "packages:\n  nginx: {}\n");
    assert!(ran.stderr.contains("the time zone is Europe/Berlin"), "{}", ran.stderr);
}

//! Applying fleet files.

use super::fake::*;
use std::fs;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::json;

fn fleet_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("fleet.yaml"), "files: {motd: {path: /etc/motd, source: motd}}\n").unwrap();
    fs::write(folder.path().join("motd"), "hello").unwrap();
    folder
}

fn accept_fleet(controller: &FakeController) {
    let diff = "@@ -1 +1 @@\n-a\n+b";
    let change = json!({ "kind": "changed", "path": "files.motd", "diff": diff });
    controller
        .on_json(
            "POST /fleet-configuration/diff",
            json!({ "current_version": 3, "changes": [change], "affected_nodes": ["app-1", "app-2"], "warnings": [] }),
        )
        .on_json(
            "PUT /fleet-configuration",
            json!({ "version": 4, "changed": true, "affected_nodes": ["app-1", "app-2"], "not_compiled": [] }),
        );
}

#[test]
fn apply_says_which_nodes_could_not_follow_and_fails_for_whoever_waits() {
    let controller = FakeController::start();
    accept_fleet(&controller);
    let reason = "secret \"STRIPE_KEY\" has no value";
    controller.on_json(
        "PUT /fleet-configuration",
        json!({
            "version": 4, "changed": true, "affected_nodes": [],
            "not_compiled": [{ "node": "app-1", "reason": reason }]
        }),
    );
    let (person, folder) = (Person::of(&controller), fleet_folder());
    let path = folder.path().to_str().unwrap();
    let ran = person.run(&["apply", "-f", path, "--yes"]).exits(0);
    assert!(ran.stderr.contains("app-1") && ran.stderr.contains("STRIPE_KEY"), "{}", ran.stderr);
    let ran = person.run(&["apply", "-f", path, "--yes", "--wait"]).exits(1);
    assert!(ran.stderr.contains("1 node could not follow version 4"), "{}", ran.stderr);
}

#[test]
fn apply_shows_the_difference_and_applies_what_was_shown() {
    let controller = FakeController::start();
    accept_fleet(&controller);
    let (person, folder) = (Person::of(&controller), fleet_folder());
    let path = folder.path().to_str().unwrap();

    let ran = person.run(&["apply", "-f", path, "--dry-run"]).exits(0);
    assert!(ran.stdout.contains("~ files.motd") && ran.stdout.contains("    +b"), "{}", ran.stdout);
    assert!(ran.stderr.contains("2 nodes are affected: app-1, app-2"), "{}", ran.stderr);
    let ran = person.run(&["apply", "-f", path]).exits(2);
    assert!(ran.stderr.contains("--yes"), "{}", ran.stderr);
    assert!(controller.seen("PUT /fleet-configuration").is_empty());

    person.run(&["apply", "-f", path, "--yes"]).exits(0);
    let body = controller.seen("PUT /fleet-configuration")[0].json();
    assert_eq!(body["expected_version"], 3);
    let files: Vec<&str> =
        body["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(files, ["fleet.yaml", "motd"]);
}

#[test]
fn apply_waits_for_the_nodes_that_are_there() {
    let controller = FakeController::start();
    accept_fleet(&controller);
    let mut looks = 0;
    controller.on("GET /nodes", move |_| {
        looks += 1;
        if looks == 2 {
            return problem(503, "unavailable", "the controller restarts");
        }
        axum::Json(page(json!([node("app-1", looks > 3)]))).into_response()
    });
    let folder = fleet_folder();
    let ran = Person::of(&controller)
        .run(&["apply", "-f", folder.path().to_str().unwrap(), "--yes", "--wait", "--timeout", "30s"])
        .exits(0);
    assert!(ran.stderr.contains("app-2 has not joined yet"), "{}", ran.stderr);
    assert!(ran.stderr.contains("the controller restarts; trying again"), "{}", ran.stderr);
    assert!(ran.stderr.contains("app-1 converged"), "{}", ran.stderr);
}

#[test]
fn every_error_of_a_fleet_file_is_shown_with_its_place() {
    let controller = FakeController::start();
    controller.on("POST /fleet-configuration/diff", |_| {
        let error = |line: u32, message: &str| json!({
            "file": "fleet.yaml", "line": line, "column": 5, "path": "applications.web", "message": message,
            "hint": "did you mean script?"
        });
        let body = json!({
            "type": "/problems/invalid_input", "title": "Invalid input", "status": 422, "code": "invalid_input",
            "detail": "the fleet configuration has 2 errors", "errors": [error(3, "unknown key"), error(9, "no such node")]
        });
        (StatusCode::UNPROCESSABLE_ENTITY, axum::Json(body)).into_response()
    });
    let folder = fleet_folder();
    let ran =
        Person::of(&controller).run(&["apply", "-f", folder.path().to_str().unwrap(), "--yes"]).exits(3);
    assert!(ran.stderr.contains("fleet.yaml:3:5: applications.web: unknown key"), "{}", ran.stderr);
    assert!(ran.stderr.contains("fleet.yaml:9:5: applications.web: no such node"), "{}", ran.stderr);
    assert!(ran.stderr.contains("did you mean script?"), "{}", ran.stderr);
}

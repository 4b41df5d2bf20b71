//! The binary as a person or a CI job runs it, against a controller that exists only here.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use muster_artifact::{Digest, ObjectSink, Wanted, read_bundle};
use serde_json::{Value, json};

type Answer = Box<dyn FnMut(&Request) -> Response + Send>;

/// What the binary asked for.
#[derive(Debug, Clone)]
struct Request {
    method: String,
    /// Below /api/v1.
    path: String,
    query: String,
    authorization: Option<String>,
    body: Bytes,
}

impl Request {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

#[derive(Default)]
struct Shared {
    answers: BTreeMap<String, Answer>,
    seen: Vec<Request>,
}

/// Answers what it was told to and notes what it was asked; ends with the test.
struct FakeController {
    url: String,
    shared: Arc<Mutex<Shared>>,
    _runtime: tokio::runtime::Runtime,
}

impl FakeController {
    fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Mutex::new(Shared::default()));
        let app = axum::Router::new()
            .fallback(answer)
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(shared.clone());
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { url, shared, _runtime: runtime }
    }

    fn on(&self, line: &str, answer: impl FnMut(&Request) -> Response + Send + 'static) -> &Self {
        self.shared.lock().unwrap().answers.insert(line.to_owned(), Box::new(answer));
        self
    }

    fn on_json(&self, line: &str, value: Value) -> &Self {
        self.on(line, move |_| axum::Json(value.clone()).into_response())
    }

    fn seen(&self, line: &str) -> Vec<Request> {
        self.shared.lock().unwrap().seen.iter().filter(|request| request.line() == line).cloned().collect()
    }
}

async fn answer(
    State(shared): State<Arc<Mutex<Shared>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let request = Request {
        method: method.to_string(),
        path: uri.path().trim_start_matches("/api/v1").to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        authorization: text("authorization"),
        body,
    };
    let mut shared = shared.lock().unwrap();
    shared.seen.push(request.clone());
    let line = request.line();
    // A line that ends with `*` stands for everything below it.
    let parent = line.rsplit_once('/').map(|(parent, _)| format!("{parent}/*")).unwrap_or_default();
    let key = if shared.answers.contains_key(&line) { line } else { parent };
    match shared.answers.get_mut(&key) {
        Some(answer) => answer(&request),
        None => problem(404, "not_found", &format!("there is nothing at {}", request.line())),
    }
}

fn problem(status: u16, code: &str, detail: &str) -> Response {
    let body = json!({
        "type": format!("/problems/{code}"), "title": "Title", "status": status, "code": code, "detail": detail
    });
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

/// Someone's shell, with a home of its own.
struct Person {
    home: tempfile::TempDir,
    env: Vec<(&'static str, String)>,
}

impl Person {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), env: Vec::new() }
    }

    /// With the right to speak to this controller.
    fn of(controller: &FakeController) -> Self {
        let mut person = Self::new();
        person.env.push(("MUSTER_URL", controller.url.clone()));
        person.env.push(("MUSTER_TOKEN", "muster_api_test".to_owned()));
        person
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with_input(arguments, "")
    }

    fn run_with_input(&self, arguments: &[&str], input: &str) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home.path()).envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // The program may end without reading its input.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        Ran::from(child.wait_with_output().unwrap())
    }

    fn config(&self) -> std::path::PathBuf {
        self.home.path().join(".config/muster/config.json")
    }
}

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

fn page(items: Value) -> Value {
    json!({ "items": items, "next_cursor": null })
}

fn node(name: &str, converged: bool) -> Value {
    json!({
        "id": "00000000-0000-0000-0000-000000000001", "name": name, "environment": "production", "roles": [],
        "liveness": "up", "liveness_changed_at": "2026-01-01T00:00:00Z", "last_heartbeat_at": null,
        "converged": converged, "generation": 2, "reported_generation": 2, "problem_count": 0, "process_count": 0,
        "process_ready_count": 0, "cpu_percent": null, "memory_used_bytes": null, "memory_total_bytes": null,
        "disk_used_bytes": null, "disk_total_bytes": null, "load_1": null
    })
}

const ROLLOUT: &str = "00000000-0000-0000-0000-000000000007";

fn rollout(status: &str) -> Value {
    json!({
        "id": ROLLOUT, "kind": "deploy", "application": "web", "environment": "production", "release": "v2",
        "former_release": "v1", "status": status, "reason": (status == "rolled_back").then_some("app-1 was not ready"),
        "created_by": "amara", "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        "finished_at": null,
        "nodes": [{
            "node": "app-1", "state": if status == "completed" { "moved" } else { "moving" }, "former_release": "v1",
            "since": null, "deadline": null, "reason": null
        }]
    })
}

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

#[derive(Default)]
struct Objects(BTreeMap<Digest, Vec<u8>>);

impl ObjectSink for Objects {
    type Pending = Vec<u8>;

    fn begin(&mut self, _: Digest, _: u64) -> std::io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn commit(&mut self, digest: Digest, pending: Vec<u8>) -> std::io::Result<()> {
        self.0.insert(digest, pending);
        Ok(())
    }
}

fn release(version: &Value, digest: &Value) -> Value {
    json!({
        "id": "00000000-0000-0000-0000-000000000003", "application": "web", "version": version,
        "artifact_digest": digest, "file_count": 2, "total_bytes": 10, "git": null, "build_command": null,
        "created_by": "amara", "created_at": "2026-01-01T00:00:00Z", "target_of": []
    })
}

/// A controller that keeps what is uploaded.
fn accept_release(controller: &FakeController) -> Arc<Mutex<Objects>> {
    let objects = Arc::new(Mutex::new(Objects::default()));
    let store = objects.clone();
    controller.on("POST /artifacts/missing", move |request| {
        let mut missing = request.json()["digests"].as_array().unwrap().clone();
        missing.retain(|digest| {
            !store.lock().unwrap().0.contains_key(&digest.as_str().unwrap().parse().unwrap())
        });
        axum::Json(json!({ "missing": missing })).into_response()
    });
    let store = objects.clone();
    let mut first = true;
    controller.on("PUT /artifacts/objects", move |request| {
        if std::mem::take(&mut first) {
            return problem(503, "unavailable", "the controller restarts");
        }
        let stored = read_bundle(&request.body[..], &Wanted::any(), &mut *store.lock().unwrap()).unwrap();
        axum::Json(json!({ "stored": stored.objects, "bytes": stored.bytes })).into_response()
    });
    controller.on("PUT /artifacts/manifests/*", |request| {
        let digest = request.path.rsplit('/').next().unwrap();
        let manifest = muster_artifact::Manifest::parse(&request.body).unwrap();
        assert_eq!(manifest.digest().to_string(), digest);
        let artifact = json!({
            "digest": digest, "file_count": manifest.file_count(), "total_bytes": manifest.total_bytes()
        });
        axum::Json(artifact).into_response()
    });
    let mut known: BTreeMap<String, Value> = BTreeMap::new();
    controller.on("POST /applications/web/releases", move |request| {
        let body = request.json();
        let version = body["version"].as_str().unwrap().to_owned();
        if known.contains_key(&version) {
            return problem(409, "conflict", "there is a release of this version");
        }
        known.insert(version, body.clone());
        axum::Json(release(&body["version"], &body["artifact_digest"])).into_response()
    });
    objects
}

#[test]
fn a_release_is_built_packed_and_uploaded_only_once() {
    let controller = FakeController::start();
    let objects = accept_release(&controller);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("server.js"), "serve()").unwrap();
    fs::write(folder.path().join(".env"), "SECRET=1").unwrap();
    let path = folder.path().to_str().unwrap();
    let person = Person::of(&controller);
    let build = "echo built > out.txt; echo noise; pwd >&2; env >&2";
    let create = ["release", "create", "web", "--dir", path, "--build", build, "--version", "v1"];

    let ran = person.run(&create).exits(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let [line] = lines[..] else { panic!("only the result is on standard output: {lines:?}") };
    let (version, digest) = line.split_once(' ').unwrap();
    assert_eq!((version, digest.len()), ("v1", 64));
    assert!(ran.stderr.contains("noise") && ran.stderr.contains("left out .env"), "{}", ran.stderr);
    assert!(
        !ran.stderr.contains("muster_api_test"),
        "a build has no business with our token: {}",
        ran.stderr
    );
    let contents: Vec<Vec<u8>> = objects.lock().unwrap().0.values().cloned().collect();
    assert!(contents.contains(&b"serve()".to_vec()) && contents.contains(&b"built\n".to_vec()));
    assert_eq!(contents.len(), 2, "secrets stay at home");
    assert_eq!(controller.seen("PUT /artifacts/objects").len(), 2, "a restart of the controller is sat out");

    // The same again: nothing is uploaded, and the release that is there is the answer.
    let answer = release(&json!("v1"), &json!(digest));
    controller.on_json("GET /applications/web/releases/v1", answer);
    assert_eq!(person.run(&create).exits(0).stdout, ran.stdout);
    assert_eq!(controller.seen("PUT /artifacts/objects").len(), 2);

    // Other content under the same version is refused, also when only the content of one file differs.
    fs::write(folder.path().join("server.js"), "serve(2)").unwrap();
    person.run(&create).exits(3);

    // Without a version, outside of git, the digest gives the name; without --build, the fleet configuration the build.
    controller
        .on_json("GET /applications/web", json!({"declaration": {"build": "echo declared > declared.txt"}}));
    let ran = person.run(&["release", "create", "web", "--dir", path, "-o", "json"]).exits(0);
    let made = ran.json();
    assert!(made["artifact_digest"].as_str().unwrap().starts_with(made["version"].as_str().unwrap()));
    assert_eq!(fs::read_to_string(folder.path().join("declared.txt")).unwrap(), "declared\n");
}

#[test]
fn a_release_that_cannot_be_made_uploads_nothing() {
    let controller = FakeController::start();
    let person = Person::of(&controller);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let ran = person.run(&["release", "create", "web", "--dir", path, "--no-build"]).exits(1);
    assert!(ran.stderr.contains("holds nothing to pack"), "{}", ran.stderr);
    let ran = person.run(&["release", "create", "web", "--dir", path, "--build", "exit 7"]).exits(1);
    assert!(ran.stderr.contains("the build failed") && ran.stderr.contains('7'), "{}", ran.stderr);
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
    let ran = person.run(&["release", "create", "web", "--dir", path, "--no-build"]).exits(1);
    assert!(ran.stderr.contains("link") && ran.stderr.contains("/etc/passwd"), "{}", ran.stderr);
    person.run(&["release", "create", "web", "--dir", path, "--version", "not a version"]).exits(2);
    assert!(controller.shared.lock().unwrap().seen.is_empty());
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
fn an_invitation_prints_the_line_to_paste() {
    let controller = FakeController::start();
    controller.on("POST /enrolments", |request| {
        let body = request.json();
        let enrolment = json!({
            "id": "00000000-0000-0000-0000-000000000004", "node": body["node"], "environment": "production",
            "roles": body["roles"], "status": "invited", "created_by": "amara", "created_at": "2026-01-01T00:00:00Z",
            "expires_at": "2026-01-01T01:00:00Z", "enrolled_at": null
        });
        let command = "muster-agent join muster_join_x --controller https://c:8444";
        axum::Json(json!({
            "enrolment": enrolment, "token": "muster_join_x", "controller_url": "https://c:8444", "command": command
        }))
        .into_response()
    });
    let person = Person::of(&controller);
    let arguments =
        ["node", "invite", "app-1", "--environment", "production", "--role", "app-server", "--ttl", "1h"];
    let ran = person.run(&arguments).exits(0);
    assert_eq!(ran.stdout, "muster-agent join muster_join_x --controller https://c:8444\n");
    let body = controller.seen("POST /enrolments")[0].json();
    assert_eq!(
        body,
        json!({ "node": "app-1", "environment": "production", "roles": ["app_server"], "ttl_s": 3600, "replace": false })
    );
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

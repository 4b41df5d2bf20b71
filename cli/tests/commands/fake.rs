//! A controller that exists only in the test, and somebody's shell.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

pub(super) type Answer = Box<dyn FnMut(&Request) -> Response + Send>;

/// What the binary asked for.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    /// Below /api/v1.
    pub(super) path: String,
    pub(super) query: String,
    pub(super) authorization: Option<String>,
    pub(super) body: Bytes,
}

impl Request {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

#[derive(Default)]
pub(super) struct Shared {
    pub(super) answers: BTreeMap<String, Answer>,
    pub(super) seen: Vec<Request>,
}

/// Answers what it was told to and notes what it was asked; ends with the test.
pub(super) struct FakeController {
    pub(super) url: String,
    pub(super) shared: Arc<Mutex<Shared>>,
    pub(super) _runtime: tokio::runtime::Runtime,
}

impl FakeController {
    pub(super) fn start() -> Self {
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

    pub(super) fn on(&self, line: &str, answer: impl FnMut(&Request) -> Response + Send + 'static) -> &Self {
        self.shared.lock().unwrap().answers.insert(line.to_owned(), Box::new(answer));
        self
    }

    pub(super) fn on_json(&self, line: &str, value: Value) -> &Self {
        self.on(line, move |_| axum::Json(value.clone()).into_response())
    }

    pub(super) fn seen(&self, line: &str) -> Vec<Request> {
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

pub(super) fn problem(status: u16, code: &str, detail: &str) -> Response {
    let body = json!({
        "type": format!("/problems/{code}"), "title": "Title", "status": status, "code": code, "detail": detail
    });
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

/// Someone's shell, with a home of its own.
pub(super) struct Person {
    pub(super) home: tempfile::TempDir,
    pub(super) env: Vec<(&'static str, String)>,
}

impl Person {
    pub(super) fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), env: Vec::new() }
    }

    /// With the right to speak to this controller.
    pub(super) fn of(controller: &FakeController) -> Self {
        let mut person = Self::new();
        person.env.push(("MUSTER_URL", controller.url.clone()));
        person.env.push(("MUSTER_TOKEN", "muster_api_test".to_owned()));
        person
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with_input(arguments, "")
    }

    pub(super) fn run_with_input(&self, arguments: &[&str], input: &str) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home.path()).envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // The program may end without reading its input.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        Ran::from(child.wait_with_output().unwrap())
    }

    pub(super) fn config(&self) -> std::path::PathBuf {
        self.home.path().join(".config/muster/config.json")
    }
}

pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
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
    pub(super) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}
pub(super) fn page(items: Value) -> Value {
    json!({ "items": items, "next_cursor": null })
}

pub(super) fn node(name: &str, converged: bool) -> Value {
    json!({
        "id": "00000000-0000-0000-0000-000000000001", "name": name, "environment": "production", "roles": [],
        "liveness": "up", "liveness_changed_at": "2026-01-01T00:00:00Z", "last_heartbeat_at": null,
        "converged": converged, "convergence": if converged { "converged" } else { "pending" }, "generation": 2,
        "reported_generation": 2, "problem_count": 0, "resource_count": 3, "failed_count": 0, "drifted_count": 0,
        "waiting_count": 0, "reboot_required": null, "mode": "enforce", "mode_override_count": 0, "process_count": 0,
        "process_ready_count": 0, "cpu_percent": null, "memory_used_bytes": null, "memory_total_bytes": null,
        "disk_used_bytes": null, "disk_total_bytes": null, "load_1": null
    })
}

pub(super) const ROLLOUT: &str = "00000000-0000-0000-0000-000000000007";

pub(super) fn rollout(status: &str) -> Value {
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

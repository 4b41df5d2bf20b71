//! The agent against a controller over real TLS, on a host in memory; and its binary as a person runs it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod applications;
mod assignments;
mod binary;
mod controller;
mod convergence;
mod joining;
mod processes;
mod supervisor;

use controller::{Controller, Fleet, Serving};
use muster_agent::identity::{Enrolment, IdentityStore};
use muster_agent::join::{JoinError, JoinRequest, JoinToken, join};
use muster_agent::link::dial::ControllerAddress;
use muster_agent::runner::fake::{self, FakeRunner};
use muster_agent::{Agent, AgentConfig};
use muster_domain::{
    ApplicationName, Digest, ReleaseId, ReleaseVersion,
    assignment::AssignmentContent,
    resource::{
        Application, DesiredState, ExecMode, File, ProcessSettings, Readiness, Resource, ResourceKey,
    },
};
use muster_platform::{FakeHost, Host};
use muster_proto::v1::{self, hint::Hint, report::Report};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Waits for something to become true; the bound is only for a test that fails.
async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A node on a host in memory, with its state in a folder of its own.
struct Node {
    dir: TempDir,
    config: AgentConfig,
    host: Arc<FakeHost>,
    runner: Arc<FakeRunner>,
    controller: Controller,
    running: Option<(JoinHandle<()>, oneshot::Sender<()>)>,
}

impl Node {
    fn new(controller: &Controller) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = AgentConfig::new(dir.path().join("state"));
        config.intervals.poll = Duration::from_millis(100);
        config.intervals.heartbeat = Duration::from_millis(50);
        config.intervals.reconnect_min = Duration::from_millis(10);
        config.intervals.reconnect_max = Duration::from_millis(100);
        config.intervals.retry_min = Duration::from_millis(50);
        config.free_space_floor_bytes = 0;
        let (host, runner) = (Arc::new(FakeHost::default()), Arc::new(FakeRunner::new()));
        Self { dir, config, host, runner, controller: controller.clone(), running: None }
    }

    async fn join(&self, serving: &Serving) -> Result<Enrolment, JoinError> {
        self.join_with(serving, &self.controller.token(), false).await
    }

    async fn join_with(&self, serving: &Serving, token: &str, force: bool) -> Result<Enrolment, JoinError> {
        let request = JoinRequest {
            token: JoinToken::parse(token)?,
            controller: ControllerAddress::parse(&format!("https://127.0.0.1:{}", serving.address.port()))?,
            rootless: false,
            force,
            facts: self.host.facts("0"),
        };
        join(&self.config, request).await
    }

    fn start(&mut self) {
        let agent = Agent::new(self.config.clone(), self.host.clone(), self.runner.clone()).unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(agent.run(async { drop(stopped.await) }));
        self.running = Some((task, stop));
    }

    async fn stop(&mut self) {
        let (task, stop) = self.running.take().unwrap();
        stop.send(()).unwrap();
        task.await.unwrap();
    }

    /// As `kill -9` would: at whatever point it is.
    async fn kill(&mut self) {
        let (task, _stop) = self.running.take().unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }

    fn content(&self, path: &str) -> Option<String> {
        let read = self.host.read(Path::new(path), 1 << 20).ok()?;
        Some(String::from_utf8(read).unwrap())
    }

    async fn has_content(&self, path: &str, content: &str) {
        eventually(&format!("{path} holds {content:?}"), || (self.content(path)? == content).then_some(()))
            .await;
    }

    /// Waits for a report of a resource that fits.
    async fn reported(&self, key: &str, fits: impl Fn(&v1::ResourceReport) -> bool) -> v1::ResourceReport {
        eventually(&format!("a fitting report of {key}"), || {
            let state = self.controller.state();
            state.reports.values().rev().find_map(|report| match report.report.as_ref()? {
                Report::Convergence(report) => {
                    report.resources.iter().find(|resource| resource.key == key && fits(resource)).cloned()
                }
                _ => None,
            })
        })
        .await
    }

    async fn refusal(&self) -> v1::AssignmentRefusal {
        eventually("a refusal", || {
            let state = self.controller.state();
            state.reports.values().rev().find_map(|report| match report.report.as_ref()? {
                Report::Refusal(refusal) => Some(refusal.clone()),
                _ => None,
            })
        })
        .await
    }

    fn releases(&self) -> PathBuf {
        self.config.state_dir.releases(&ApplicationName::parse("web").unwrap())
    }
}

fn converged(resource: &v1::ResourceReport) -> bool {
    resource.status() == v1::ResourceStatus::Converged
}

fn failed(resource: &v1::ResourceReport) -> bool {
    resource.status() == v1::ResourceStatus::Failed
}

fn motd(text: &str) -> AssignmentContent {
    AssignmentContent { resources: vec![file("/etc/motd", text)] }
}

fn file(path: &str, text: &str) -> Resource {
    let file = File {
        path: path.into(),
        content: text.as_bytes().to_vec(),
        mode: 0o644,
        owner: None,
        group: None,
        sensitive: false,
        validate: None,
    };
    Resource::new(ResourceKey::new("file", path), vec![], DesiredState::File(file))
}

fn web(release: u128, artifact_digest: Digest) -> AssignmentContent {
    let application = Application {
        name: ApplicationName::parse("web").unwrap(),
        release_id: ReleaseId::from_uuid(uuid::Uuid::from_u128(release)),
        release_version: ReleaseVersion::parse(format!("v{release}")).unwrap(),
        artifact_digest,
        nodejs_range: ">=20".into(),
        script: "server.js".into(),
        args: vec![],
        node_args: vec![],
        instances: 2,
        exec_mode: ExecMode::Cluster,
        port: Some(3000),
        env: BTreeMap::from([
            ("API_KEY".to_owned(), "hunter2".to_owned()),
            ("GREETING".to_owned(), "open sesame".to_owned()),
        ]),
        secrets: BTreeSet::from(["GREETING".to_owned()]),
        readiness: Readiness::Listening,
        listen_timeout_ms: 3000,
        kill_timeout_ms: 1600,
        max_restarts: 16,
        min_uptime_ms: 1000,
        restart_delay_ms: 0,
        user: None,
        process: ProcessSettings::default(),
    };
    let key = ResourceKey::new("application", "web");
    AssignmentContent { resources: vec![Resource::new(key, vec![], DesiredState::Application(application))] }
}

/// Puts a release into the controller: a common file of some size, and a script of its own.
fn upload(node: &Node, release: u128) -> Digest {
    let folder = node.dir.path().join(format!("source-{release}"));
    std::fs::create_dir(&folder).unwrap();
    let library: String = (0..2000).map(|n| format!("common line {n}\n")).collect();
    std::fs::write(folder.join("library.js"), library).unwrap();
    std::fs::write(folder.join("server.js"), format!("// release {release}\n")).unwrap();
    node.controller.upload(&folder, &node.dir.path().join("objects"))
}

async fn joined() -> (Controller, Serving, Node) {
    let controller = Controller::new(&Fleet::new());
    let serving = controller.serve().await;
    let node = Node::new(&controller);
    node.join(&serving).await.unwrap();
    (controller, serving, node)
}

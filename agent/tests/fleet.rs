//! The agent against a controller over real TLS, on a host in memory.

#[path = "fleet/controller.rs"]
mod controller;

use controller::{Controller, Fleet, Serving};
use muster_agent::identity::{Enrolment, IdentityStore};
use muster_agent::join::{JoinError, JoinRequest, JoinToken, join};
use muster_agent::link::dial::ControllerAddress;
use muster_agent::runner::fake::{self, FakeRunner};
use muster_agent::{Agent, AgentConfig};
use muster_domain::{
    ApplicationName, Digest, ReleaseId, ReleaseVersion,
    assignment::AssignmentContent,
    resource::{Application, DesiredState, ExecMode, File, Readiness, Resource, ResourceKey},
};
use muster_platform::{FakeHost, Host};
use muster_proto::v1::{self, hint::Hint, report::Report};
use std::collections::BTreeMap;
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
        eventually(&format!("{path} holds {content:?}"), || (self.content(path)? == content).then_some(())).await;
    }

    /// Waits for a report of a resource that fits.
    async fn reported(&self, key: &str, fits: impl Fn(&v1::ResourceReport) -> bool) -> v1::ResourceReport {
        eventually(&format!("a fitting report of {key}"), || {
            let state = self.controller.state();
            let found = state.reports.values().rev().find_map(|report| match report.report.as_ref()? {
                Report::Convergence(report) => {
                    report.resources.iter().find(|resource| resource.key == key && fits(resource)).cloned()
                }
                _ => None,
            });
            found
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
    };
    Resource { key: ResourceKey::new("file", path), depends_on: vec![], desired: DesiredState::File(file) }
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
        env: BTreeMap::from([("API_KEY".to_owned(), "hunter2".to_owned())]),
        readiness: Readiness::Listening,
        listen_timeout_ms: 3000,
        kill_timeout_ms: 1600,
        max_restarts: 16,
        min_uptime_ms: 1000,
        restart_delay_ms: 0,
        user: None,
    };
    let key = ResourceKey::new("application", "web");
    AssignmentContent {
        resources: vec![Resource { key, depends_on: vec![], desired: DesiredState::Application(application) }],
    }
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

#[tokio::test]
async fn a_node_joins_once_and_its_state_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let (controller, serving, node) = joined().await;
    let enrolment = IdentityStore::new(node.config.state_dir.clone()).enrolment().unwrap();
    assert_eq!((enrolment.node_name.as_str(), enrolment.node_id), ("app-1", controller.state().node));
    for file in ["agent.json", "identity/node.key", "identity/node.crt", "identity/root.crt"] {
        let mode = std::fs::metadata(node.config.state_dir.root().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let again = node.join(&serving).await.unwrap_err();
    assert!(matches!(again, JoinError::AlreadyJoined { .. }) && again.refusal(), "{again}");
    let forced = node.join_with(&serving, &controller.token(), true).await.unwrap_err();
    assert_eq!(
        forced.to_string(),
        "the controller refused: the join token was used already; make a new invitation"
    );
    assert!(forced.refusal());
    IdentityStore::new(node.config.state_dir.clone()).credentials().unwrap();
}

#[tokio::test]
async fn a_controller_of_another_fleet_is_refused_before_anything_is_sent() {
    let (ours, theirs) = (Controller::new(&Fleet::new()), Controller::new(&Fleet::new()));
    let serving = theirs.serve().await;
    let node = Node::new(&ours);
    let error = node.join(&serving).await.unwrap_err();
    assert!(error.refusal() && error.to_string().contains("nothing was sent to it"), "{error}");
    assert_eq!(theirs.state().enrolments, 0);
    assert!(!node.config.state_dir.root().exists());
}

#[tokio::test]
async fn a_certificate_of_the_fleet_that_is_not_a_controllers_is_refused() {
    let controller = Controller::new(&Fleet::new());
    let serving = controller.serve_as("app-7", "127.0.0.1:0").await;
    let error = Node::new(&controller).join(&serving).await.unwrap_err();
    assert!(error.refusal() && error.to_string().contains("is not the controller of this fleet"), "{error}");
    assert_eq!(controller.state().enrolments, 0);
}

#[tokio::test]
async fn a_controller_that_is_not_there_is_one_clear_line() {
    let controller = Controller::new(&Fleet::new());
    let serving = controller.serve().await;
    let address = serving.address;
    drop(serving);
    eventually("the port is free", || std::net::TcpStream::connect(address).err()).await;
    let token = JoinToken::parse(&controller.token()).unwrap();
    let node = Node::new(&controller);
    let request = JoinRequest {
        token,
        controller: ControllerAddress::parse(&format!("https://{address}")).unwrap(),
        rootless: false,
        force: false,
        facts: node.host.facts("0"),
    };
    let error = join(&node.config, request).await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("cannot reach the controller at https://127.0.0.1:") && !text.contains('\n'), "{text}");
    assert!(!error.refusal());
}

#[tokio::test]
async fn an_assignment_is_pulled_by_hint_and_by_poll_and_reported() {
    let (controller, _serving, mut node) = joined().await;
    controller.assign_silently(1, &motd("by poll"));
    node.start();
    node.has_content("/etc/motd", "by poll").await;
    let report = node.reported("file:/etc/motd", converged).await;
    assert_eq!(report.change(), v1::ChangeCause::Intentional);
    assert_eq!(report.detail, "is missing");
    controller.assign(2, &motd("by hint"));
    node.has_content("/etc/motd", "by hint").await;
    let beat = eventually("a heartbeat with the new generation", || {
        controller.state().heartbeats.iter().find(|beat| beat.generation == 2).cloned()
    });
    assert!(beat.await.metrics.unwrap().memory_total_bytes > 0);
    assert!(controller.state().heartbeats[0].facts.is_some());
    node.stop().await;
}

#[tokio::test]
async fn assignments_that_must_not_be_taken_are_refused_and_reported() {
    let (controller, _serving, mut node) = joined().await;
    controller.assign_silently(5, &motd("five"));
    node.start();
    node.has_content("/etc/motd", "five").await;

    controller.assign(4, &motd("older"));
    assert_eq!(node.refusal().await.reason, "generation 4 is older than 5, which this node already has");
    controller.assign(5, &motd("other"));
    eventually("the second refusal", || {
        let state = controller.state();
        let reasons: Vec<String> = state
            .reports
            .values()
            .filter_map(|report| match report.report.as_ref()? {
                Report::Refusal(refusal) => Some(refusal.reason.clone()),
                _ => None,
            })
            .collect();
        reasons.iter().any(|reason| reason.starts_with("generation 5 already has revision")).then_some(())
    })
    .await;
    let mut forged = controller.sign(6, &motd("forged"));
    forged.signature[7] ^= 1;
    controller.state().assignment = Some(forged);
    controller.hint(Hint::AssignmentChanged(v1::AssignmentChanged {}));
    eventually("the third refusal", || {
        let state = controller.state();
        let last = state.reports.values().rev().find_map(|report| match report.report.as_ref()? {
            Report::Refusal(refusal) => Some(refusal.clone()),
            _ => None,
        })?;
        (last.generation == 6 && last.reason.contains("signature")).then_some(())
    })
    .await;
    assert_eq!(node.content("/etc/motd").unwrap(), "five");
    controller.assign(6, &motd("six"));
    node.has_content("/etc/motd", "six").await;
    node.stop().await;
}

#[tokio::test]
async fn drift_is_put_back_reported_as_corrective_and_a_converged_node_is_left_alone() {
    let (controller, _serving, mut node) = joined().await;
    controller.assign_silently(1, &motd("as it should be"));
    node.start();
    node.reported("file:/etc/motd", converged).await;
    node.host.tamper("/etc/motd", "changed by hand");
    node.has_content("/etc/motd", "as it should be").await;
    let report = node.reported("file:/etc/motd", |r| r.change() == v1::ChangeCause::Corrective).await;
    assert_eq!(report.detail, "content differs");
    node.host.tamper_delete("/etc/motd");
    node.has_content("/etc/motd", "as it should be").await;

    let (writes, polls) = (node.host.writes(), controller.state().polls);
    eventually("some more polls", || (controller.state().polls > polls + 5).then_some(())).await;
    assert_eq!(node.host.writes(), writes);
    node.stop().await;
}

#[tokio::test]
async fn without_the_controller_the_node_is_kept_and_reports_are_delivered_later() {
    let (controller, serving, mut node) = joined().await;
    controller.assign_silently(1, &motd("kept"));
    node.start();
    node.reported("file:/etc/motd", converged).await;
    node.stop().await;
    let address = serving.address.to_string();
    drop(serving);

    // Started without a controller: what it was last told is in its ledger.
    node.host.tamper("/etc/motd", "changed by hand");
    node.start();
    node.has_content("/etc/motd", "kept").await;
    let known = controller.state().reports.len();
    let serving = controller.serve_as("muster-controller", &address).await;
    let report = node.reported("file:/etc/motd", |r| r.change() == v1::ChangeCause::Corrective).await;
    assert!(converged(&report) && controller.state().reports.len() > known);
    node.stop().await;
    drop(serving);
}

#[tokio::test]
async fn a_failing_resource_is_told_with_its_reason_and_recovers() {
    let (controller, _serving, mut node) = joined().await;
    node.host.set_faults(|faults| faults.read_only = true);
    let mut dependant = file("/etc/after", "x");
    dependant.depends_on = vec![ResourceKey::new("file", "/etc/motd")];
    let resources = vec![file("/etc/motd", "x"), dependant];
    controller.assign_silently(1, &AssignmentContent { resources });
    node.start();
    let report = node.reported("file:/etc/motd", failed).await;
    assert_eq!(report.detail, "cannot write \"/etc/motd\": the file system is read-only");
    node.reported("file:/etc/after", |r| r.status() == v1::ResourceStatus::Skipped).await;
    node.host.set_faults(|faults| faults.read_only = false);
    node.reported("file:/etc/after", converged).await;
    node.stop().await;
}

#[tokio::test]
async fn an_application_is_fetched_run_replaced_and_removed() {
    let (controller, _serving, mut node) = joined().await;
    let first = upload(&node, 1);
    controller.assign_silently(1, &web(1, first));
    node.start();
    node.reported("application:web", converged).await;
    assert_eq!(node.runner.running("web").unwrap(), "v1");
    let spec = node.runner.applied().pop().unwrap();
    assert_eq!(spec.env["API_KEY"], "hunter2");
    assert!(!spec.env.contains_key("NODE_ENV"));
    let release = node.releases().join(ReleaseId::from_uuid(uuid::Uuid::from_u128(1)).to_string());
    assert_eq!(Path::new(&spec.cwd), release);
    assert_eq!(std::fs::read_to_string(release.join("server.js")).unwrap(), "// release 1\n");

    controller.state().fetched.clear();
    let second = upload(&node, 2);
    controller.assign(2, &web(2, second));
    eventually("release 2 runs", || (node.runner.running("web")? == "v2").then_some(())).await;
    // The common file was there already.
    assert_eq!(controller.state().fetched.len(), 1);
    let current = node.releases().parent().unwrap().join("current");
    let expected = format!("releases/{}", ReleaseId::from_uuid(uuid::Uuid::from_u128(2)));
    eventually("current is flipped", || (std::fs::read_link(&current).ok()? == Path::new(&expected)).then_some(())).await;

    controller.assign(3, &AssignmentContent::default());
    eventually("the application is stopped", || (node.runner.deleted() == ["web"]).then_some(())).await;
    assert!(release.is_dir());
    let told = eventually("the event", || {
        let state = controller.state();
        state.reports.values().find_map(|report| match report.report.as_ref()? {
            Report::Event(event) if event.kind == "application.removed" => Some(event.message.clone()),
            _ => None,
        })
    });
    assert!(told.await.contains("its files were kept"));
    let sent = format!("{:?}", controller.state().reports);
    assert!(!sent.contains("hunter2"));
    node.stop().await;
}

#[tokio::test]
async fn a_release_that_does_not_start_fails_with_its_last_words_and_current_stays() {
    let (controller, _serving, mut node) = joined().await;
    let (first, second) = (upload(&node, 1), upload(&node, 2));
    controller.assign_silently(1, &web(1, first));
    node.start();
    node.reported("application:web", converged).await;
    node.runner.break_release("v2", "cannot find module");
    controller.assign(2, &web(2, second));
    let report = node.reported("application:web", failed).await;
    assert!(report.detail.contains("release v2 did not come up"), "{}", report.detail);
    assert!(report.detail.contains("stderr: Error: cannot find module"), "{}", report.detail);
    assert!(report.detail.contains("still serves"), "{}", report.detail);
    assert_eq!(node.runner.running("web").unwrap(), "v1");
    let current = std::fs::read_link(node.releases().parent().unwrap().join("current")).unwrap();
    assert!(current.ends_with(ReleaseId::from_uuid(uuid::Uuid::from_u128(1)).to_string()));
    node.runner.mend_release("v2");
    eventually("release 2 runs", || (node.runner.running("web")? == "v2").then_some(())).await;
    node.stop().await;
}

#[tokio::test]
async fn an_application_that_the_supervisor_lost_is_started_again_as_a_correction() {
    let (controller, _serving, mut node) = joined().await;
    let first = upload(&node, 1);
    controller.assign_silently(1, &web(1, first));
    node.start();
    node.reported("application:web", converged).await;
    node.runner.lose("web");
    let report = node.reported("application:web", |r| r.change() == v1::ChangeCause::Corrective).await;
    assert_eq!(report.detail, "does not run");
    node.stop().await;
}

#[tokio::test]
async fn a_script_that_is_not_in_the_release_is_named() {
    let (controller, _serving, mut node) = joined().await;
    let mut content = web(1, upload(&node, 1));
    let DesiredState::Application(application) = &mut content.resources[0].desired else { unreachable!() };
    application.script = "dist/main.js".into();
    controller.assign_silently(1, &content);
    node.start();
    let report = node.reported("application:web", failed).await;
    assert!(report.detail.contains("has no file \"dist/main.js\""), "{}", report.detail);
    assert!(report.detail.contains("library.js, server.js"), "{}", report.detail);
    assert!(node.runner.applied().is_empty());
    node.stop().await;
}

#[tokio::test]
async fn a_full_disk_fails_with_its_reason_leaves_nothing_and_recovers() {
    let (controller, _serving, mut node) = joined().await;
    let first = upload(&node, 1);
    node.host.set_faults(|faults| faults.disk_full = true);
    controller.assign_silently(1, &web(1, first));
    node.start();
    let report = node.reported("application:web", failed).await;
    assert!(report.detail.contains("release v1 does not fit on the disk"), "{}", report.detail);
    let left = std::fs::read_dir(node.releases()).map_or(0, |entries| entries.count());
    assert_eq!(left, 0);
    assert!(!node.config.state_dir.objects().exists());
    node.host.set_faults(|faults| faults.disk_full = false);
    node.reported("application:web", converged).await;
    node.stop().await;
}

#[tokio::test]
async fn a_corrupted_chunk_is_refused_and_fetched_again() {
    let (controller, _serving, mut node) = joined().await;
    let first = upload(&node, 1);
    controller.state().corrupt_objects = true;
    controller.assign_silently(1, &web(1, first));
    node.start();
    let report = node.reported("application:web", failed).await;
    assert!(report.detail.contains("arrived damaged"), "{}", report.detail);
    assert!(node.runner.applied().is_empty());
    controller.state().corrupt_objects = false;
    node.reported("application:web", converged).await;
    node.stop().await;
}

#[tokio::test]
async fn an_agent_that_is_killed_in_the_middle_converges_when_it_is_back() {
    let (controller, _serving, mut node) = joined().await;
    let first = upload(&node, 1);
    controller.state().refuse_fetch = true;
    let mut content = motd("half way");
    content.resources.extend(web(1, first).resources);
    controller.assign_silently(1, &content);
    node.start();
    node.has_content("/etc/motd", "half way").await;
    node.kill().await;
    // What a crash leaves behind.
    let partial = node.releases().join("x.partial-1");
    std::fs::create_dir_all(&partial).unwrap();
    std::fs::write(partial.join("half"), "x").unwrap();
    controller.state().refuse_fetch = false;
    node.start();
    node.reported("application:web", converged).await;
    assert!(!partial.exists());
    assert_eq!(node.runner.running("web").unwrap(), "v1");
    node.stop().await;
}

#[tokio::test]
async fn a_certificate_is_renewed_in_time_and_also_when_it_has_run_out() {
    let controller = Controller::new(&Fleet::new());
    controller.state().life_s = 0;
    let serving = controller.serve().await;
    let mut node = Node::new(&controller);
    let before = node.join(&serving).await.unwrap();
    controller.assign_silently(1, &motd("renewed"));
    node.start();
    node.has_content("/etc/motd", "renewed").await;
    assert!(controller.state().renewals >= 1);
    let after = IdentityStore::new(node.config.state_dir.clone()).enrolment().unwrap();
    assert!(after.certificate_not_after > before.certificate_not_after);
    node.stop().await;
}

#[tokio::test]
async fn logs_are_sent_when_somebody_asks() {
    let (controller, _serving, mut node) = joined().await;
    let first = upload(&node, 1);
    controller.assign_silently(1, &web(1, first));
    node.start();
    node.reported("application:web", converged).await;
    for instance in [0, 1, 0] {
        node.runner.write_line(fake::line("web", instance, &format!("from {instance}")));
    }
    let ask = |application: &str, id: u8| {
        controller.hint(Hint::LogRequest(v1::LogRequest {
            request_id: vec![id; 16],
            application: application.into(),
            instance: Some(0),
            lines: 10,
            follow: false,
        }));
    };
    ask("web", 1);
    ask("nothing", 2);
    let batch = |id: u8| {
        let controller = controller.clone();
        async move {
            eventually("a batch", || {
                controller.state().logs.iter().find(|batch| batch.request_id == vec![id; 16]).cloned()
            })
            .await
        }
    };
    let lines: Vec<String> = batch(1).await.lines.into_iter().map(|line| line.line).collect();
    assert_eq!(lines, ["from 0", "from 0"]);
    assert!(batch(2).await.error.contains("is not on this node"));
    node.stop().await;
}

#[tokio::test]
async fn only_one_agent_runs_for_each_state_folder() {
    let (_controller, _serving, mut node) = joined().await;
    node.start();
    let second = Agent::new(node.config.clone(), node.host.clone(), node.runner.clone());
    assert!(second.err().unwrap().to_string().contains("another agent runs"));
    node.stop().await;
    node.start();
    node.stop().await;
}

//! The controller of a test: its parts as `muster-controller serve` puts them together, on ports of loopback.

use crate::{TestNode, eventually};
use chrono::TimeDelta;
use muster_app::{
    Actor, App, AppError, Credential, FleetFiles, InviteRequest, NewRelease, Settings, SignedIn, SystemClock,
};
use muster_artifact::{ObjectStore, PackOptions, pack};
use muster_controller::{background, grpc, http, install::Install, listener};
use muster_db::{
    Db, events::EventFilter, fleet_configurations::StoredFile, rollouts::StoredRollout, users::User,
};
use muster_domain::{
    ApplicationName, EnvironmentName, NodeName, ReleaseVersion, UserId, event::Event, node::Liveness,
    user::UserRole,
};
use muster_identity::{FleetIdentity, Revocations, tls};
use secrecy::ExposeSecret as _;
use sqlx::PgPool;
use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{OnceCell, watch},
    task::JoinSet,
};
use uuid::Uuid;

/// Short, so that "three missed beats" is a matter of a second.
const HEARTBEAT_MS: u32 = 300;
/// Short, so that what only polling finds is found soon.
const POLL_MS: u32 = 500;
/// Long enough for a busy machine, short enough for a test to wait for.
const NODE_DEADLINE_MS: u32 = 8_000;

/// A controller, and whatever joins it.
pub struct TestFleet {
    pool: PgPool,
    data: TempDir,
    agents: SocketAddr,
    people: SocketAddr,
    viewer: OnceCell<String>,
    running: Option<Running>,
}

struct Running {
    app: App,
    stop: watch::Sender<bool>,
    parts: JoinSet<()>,
}

async fn bind(address: SocketAddr) -> TcpListener {
    TcpListener::bind(address).await.expect("a port of loopback")
}

impl TestFleet {
    /// Starts a controller on an empty, migrated database.
    pub async fn start(pool: PgPool) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut fleet = Self {
            pool,
            data: tempfile::tempdir().expect("a temporary folder"),
            agents: any,
            people: any,
            viewer: OnceCell::new(),
            running: None,
        };
        fleet.controller_start().await;
        fleet
    }

    /// Starts the controller again, on the ports that it had.
    pub async fn controller_start(&mut self) {
        assert!(self.running.is_none(), "the controller runs");
        let (agents, people) = (bind(self.agents).await, bind(self.people).await);
        self.agents = agents.local_addr().expect("bound");
        self.people = people.local_addr().expect("bound");
        let now = muster_app::Clock::now(&SystemClock);
        let (identity, _) = FleetIdentity::open_or_create(self.data.path(), now).expect("an identity");
        let names = ["muster-controller".to_owned(), "127.0.0.1".to_owned()];
        let certificate = identity.server_certificate("agents", &names, now).expect("a certificate");
        let certificate = tls::ServingCertificate::new(certificate).expect("a key that fits");
        let revocations = Revocations::new([]);
        let config =
            tls::agents_config(&identity.ca, certificate, revocations.clone()).expect("a configuration");
        let objects = ObjectStore::open(self.data.path().join("objects")).expect("an object store");
        let settings = Settings {
            heartbeat_interval_ms: HEARTBEAT_MS,
            poll_interval_ms: POLL_MS,
            rollout_node_deadline_ms: NODE_DEADLINE_MS,
            ..Settings::new(format!("https://{}", self.agents))
        };
        let db = Db::from_pool(self.pool.clone());
        let app = App::new(db, Arc::new(SystemClock), identity, revocations, objects, settings);
        app.revocations_load().await.expect("the revocations");
        app.metrics_maintain(app.now()).await.expect("partitions");
        let (stop, shutdown) = watch::channel(false);
        let mut parts = JoinSet::new();
        let install = Install::new(self.programs());
        let router = http::router(app.clone(), install.clone());
        parts.spawn(listener::serve(people, None, router, shutdown.clone()));
        parts.spawn(grpc::serve(agents, config, app.clone(), install, shutdown.clone()));
        parts.spawn(background::run(app.clone(), shutdown));
        self.running = Some(Running { app, stop, parts });
    }

    /// Stops the controller; the database and the identity stay.
    pub async fn controller_stop(&mut self) {
        let mut running = self.running.take().expect("the controller runs");
        running.stop.send_replace(true);
        while running.parts.join_next().await.is_some() {}
    }

    /// Ends the controller in the middle of whatever it does.
    pub async fn controller_kill(&mut self) {
        let mut running = self.running.take().expect("the controller runs");
        running.parts.shutdown().await;
    }

    /// The use cases.
    pub fn app(&self) -> &App {
        &self.running.as_ref().expect("the controller runs").app
    }

    /// Where the programs lie that it hands out to hosts; none unless a test puts them there.
    pub fn programs(&self) -> PathBuf {
        self.data.path().join("programs")
    }

    /// Where people reach it.
    pub fn people_url(&self) -> String {
        format!("http://{}", self.people)
    }

    /// Reads a path of the REST API, as somebody who may look and nothing else.
    pub async fn get(&self, path: &str) -> serde_json::Value {
        let token = self.viewer.get_or_init(|| self.viewer_token()).await;
        let mut stream = TcpStream::connect(self.people).await.expect("the controller listens");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n",
            self.people
        );
        stream.write_all(request.as_bytes()).await.expect("the controller reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer in text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        serde_json::from_str(body).expect("an answer in JSON")
    }

    async fn viewer_token(&self) -> String {
        let user = User {
            id: UserId::from_uuid(Uuid::now_v7()),
            name: "viewer".into(),
            // Nobody signs in with a password.
            password_hash: "-".into(),
            role: UserRole::Viewer,
            created_at: self.app().now(),
            disabled_at: None,
        };
        let mut conn = self.app().db().conn().await.expect("a connection");
        muster_db::users::insert(&mut conn, &user).await.expect("a user");
        drop(conn);
        let actor = Actor { user: user.id, name: user.name, role: user.role, address: None };
        let who = SignedIn { actor, credential: Credential::Session(Uuid::nil()), expires_at: None };
        let (_, token) = self.app().token_create(&who, "test", None).await.expect("a token");
        token.expose_secret().to_owned()
    }

    /// Somebody who may do everything.
    pub fn admin() -> Actor {
        Actor {
            user: UserId::from_uuid(Uuid::nil()),
            name: "admin".into(),
            role: UserRole::Admin,
            address: None,
        }
    }

    /// Puts a fleet file in force.
    pub async fn apply(&self, yaml: &str) -> Result<(), AppError> {
        let files = vec![StoredFile { path: "fleet.yaml".into(), content: yaml.into() }];
        self.app()
            .fleet_configuration_apply(&Self::admin(), FleetFiles { files, expected_version: None })
            .await
            .map(drop)
    }

    /// Makes a join token.
    pub async fn invite(&self, name: &str, environment: &str) -> String {
        let request = InviteRequest {
            name: NodeName::parse(name).expect("a name"),
            environment: EnvironmentName::parse(environment).expect("a name"),
            roles: Vec::new(),
            life: TimeDelta::minutes(15),
            replace: false,
        };
        let invitation = self.app().node_invite(&Self::admin(), request).await.expect("an invitation");
        invitation.token.expose_secret().to_owned()
    }

    /// Invites a node and lets a fake host join as it; the agent runs and was heard.
    pub async fn join(&self, name: &str, environment: &str) -> TestNode {
        let mut node = self.enrol(name, environment).await;
        node.agent_start();
        self.heard(name).await;
        node
    }

    /// As [`TestFleet::join`], with a real supervisor that runs the applications.
    pub async fn join_supervised(&self, name: &str, environment: &str) -> TestNode {
        let mut node = self.enrol(name, environment).await;
        node.supervise().await;
        node.agent_start();
        self.heard(name).await;
        node
    }

    async fn enrol(&self, name: &str, environment: &str) -> TestNode {
        let token = self.invite(name, environment).await;
        TestNode::join(name, &token, self.agents).await.expect("a node that joins")
    }

    async fn heard(&self, name: &str) {
        eventually("the node to be heard", async || {
            let seen = self.app().node_get(&Self::admin(), name).await.ok()?;
            (seen.overview.liveness == Liveness::Up).then_some(())
        })
        .await;
    }

    /// Where agents reach it.
    pub fn agents_address(&self) -> SocketAddr {
        self.agents
    }

    /// Makes a release that holds one file, `server.js`, which names the version.
    pub async fn release(&self, application: &str, version: &str) {
        self.release_of(application, version, &format!("// {version}\n")).await;
    }

    /// Makes a release that holds one file, `server.js`, with this source.
    pub async fn release_of(&self, application: &str, version: &str, source: &str) {
        let tree = tempfile::tempdir().expect("a temporary folder");
        fs::write(tree.path().join("server.js"), source).expect("a file");
        let packed = pack(tree.path(), &PackOptions::default()).expect("a tree that packs");
        for (digest, source) in &packed.sources {
            let file = fs::File::open(&source.path).expect("the packed file");
            self.app().objects().put(*digest, file).expect("an object that is stored");
        }
        let (digest, bytes) = (packed.manifest.digest(), packed.manifest.encode());
        self.app()
            .artifact_manifest_put(&Self::admin(), digest, bytes)
            .await
            .expect("a manifest that is stored");
        let new = NewRelease {
            application: ApplicationName::parse(application).expect("a name"),
            version: ReleaseVersion::parse(version).expect("a version"),
            artifact_digest: digest,
            git: None,
            build_command: None,
        };
        self.app().release_create(&Self::admin(), new).await.expect("a release");
    }

    /// Starts a rollout.
    pub async fn rollout_start(
        &self,
        application: &str,
        environment: &str,
        version: &str,
    ) -> Result<StoredRollout, AppError> {
        self.app()
            .rollout_start(
                &Self::admin(),
                &ApplicationName::parse(application).expect("a name"),
                &EnvironmentName::parse(environment).expect("a name"),
                &ReleaseVersion::parse(version).expect("a version"),
            )
            .await
    }

    /// Waits for the end of a rollout.
    pub async fn rollout_end(&self, rollout: StoredRollout) -> StoredRollout {
        let id = rollout.id;
        eventually("the rollout to end", async || {
            let rollout = self.app().rollout_get(&Self::admin(), id).await.expect("the rollout");
            rollout.state.terminal().then_some(rollout)
        })
        .await
    }

    /// Starts a rollout and waits for its end.
    pub async fn deploy(&self, application: &str, environment: &str, version: &str) -> StoredRollout {
        let started =
            self.rollout_start(application, environment, version).await.expect("a rollout that starts");
        self.rollout_end(started).await
    }

    /// Everything that was told, oldest first.
    pub async fn events(&self) -> Vec<Event> {
        let filter = EventFilter { after: Some(0), limit: 10_000, ..EventFilter::default() };
        self.app().event_list(&Self::admin(), &filter).await.expect("the events")
    }

    /// Waits for an event of this kind whose message holds `text`.
    pub async fn event(&self, kind: &str, text: &str) -> Event {
        eventually(&format!("event {kind} with {text:?}"), async || {
            self.events().await.into_iter().find(|event| event.kind == kind && event.message.contains(text))
        })
        .await
    }
}

//! A controller with a database, a clock that is moved by hand, and nodes that only ever call it.

use chrono::TimeDelta;
use muster_app::{
    Actor, App, Clock as _, ConfigurationApplied, DEFAULT_INVITATION_LIFE, EnrolRequest, FleetFiles,
    Heartbeat, HeartbeatAnswer, InviteRequest, ManualClock, Settings, StoredFile, UserRole,
};
use muster_artifact::ObjectStore;
use muster_db::Db;
use muster_domain::{
    EnvironmentName, NodeId, NodeName, UserId,
    event::Event,
    node::{HostFacts, Liveness, Role},
};
use muster_identity::{FleetIdentity, JoinToken, Revocations};
use rcgen::{CertificateParams, KeyPair};
use secrecy::ExposeSecret as _;
use sqlx::PgPool;
use std::sync::Arc;
use uuid::Uuid;

pub(crate) const FLEET: &str = "
environments: {production: {}, staging: {}}
nodes:
  web-1: {environment: production, roles: [app_server]}
  web-2: {environment: production, roles: [app_server]}
applications:
  shop: {script: server.js}
";

pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) pool: PgPool,
    _folder: tempfile::TempDir,
}

pub(crate) fn admin() -> Actor {
    Actor { user: UserId::from_uuid(Uuid::nil()), name: "amara".into(), role: UserRole::Admin, address: None }
}

impl World {
    pub(crate) fn new(pool: PgPool) -> Self {
        let clock = Arc::new(ManualClock::new("2027-01-15T08:00:00Z".parse().unwrap()));
        let folder = tempfile::tempdir().unwrap();
        let (identity, _) = FleetIdentity::open_or_create(folder.path(), clock.now()).unwrap();
        let objects = ObjectStore::open(folder.path().join("objects")).unwrap();
        let settings = Settings::new("https://muster.example:8444".into());
        let db = Db::from_pool(pool.clone());
        let app = App::new(db, clock.clone(), identity, Revocations::new([]), objects, settings);
        Self { app, clock, pool, _folder: folder }
    }

    pub(crate) async fn apply(&self, file: &str) -> ConfigurationApplied {
        let files = vec![StoredFile { path: "fleet.yaml".into(), content: file.into() }];
        self.app
            .fleet_configuration_apply(&admin(), FleetFiles { files, expected_version: None })
            .await
            .unwrap()
    }

    pub(crate) async fn token(&self, name: &str) -> JoinToken {
        let request = InviteRequest {
            name: NodeName::parse(name).unwrap(),
            environment: EnvironmentName::parse("production").unwrap(),
            roles: vec![Role::AppServer],
            life: DEFAULT_INVITATION_LIFE,
            replace: false,
        };
        let invitation = self.app.node_invite(&admin(), request).await.unwrap();
        JoinToken::parse(invitation.token.expose_secret()).unwrap()
    }

    /// A node that has joined and beaten.
    pub(crate) async fn join(&self, name: &str) -> NodeId {
        let enrolled = self.app.node_enrol(enrol_request(&self.token(name).await)).await.unwrap();
        self.beat(enrolled.node_id).await;
        enrolled.node_id
    }

    pub(crate) async fn beat(&self, node: NodeId) {
        self.beat_after(node, None).await;
    }

    /// A sign of life of a node that says for which wish it was restarted last.
    pub(crate) async fn beat_after(&self, node: NodeId, rebooted_for: Option<Uuid>) -> HeartbeatAnswer {
        let facts = Some(HostFacts::default());
        let beat = Heartbeat { metrics: None, processes: Vec::new(), facts, rebooted_for };
        self.app.heartbeat(node, beat).await.unwrap()
    }

    /// Time passes, and the controller looks whom it hears.
    pub(crate) async fn passes(&self, minutes: i64, alive: &[NodeId]) {
        self.clock.advance(TimeDelta::minutes(minutes));
        for node in alive {
            self.beat(*node).await;
        }
        self.app.liveness_scan().await.unwrap();
    }

    /// A release without files.
    pub(crate) async fn release(&self, version: &str) {
        let digest = vec![7_u8; 32];
        sqlx::query("INSERT INTO artifacts VALUES ($1, 0, 0, now()) ON CONFLICT DO NOTHING")
            .bind(&digest)
            .execute(&self.pool)
            .await
            .unwrap();
        sqlx::query(
            "INSERT INTO releases (id, application, version, artifact_digest, created_by, created_at)
             VALUES ($1, 'shop', $2, $3, 'amara', now())",
        )
        .bind(Uuid::now_v7())
        .bind(version)
        .bind(&digest)
        .execute(&self.pool)
        .await
        .unwrap();
    }

    /// The version of the application that a node's assignment carries.
    pub(crate) async fn carried(&self, node: &str) -> Option<String> {
        sqlx::query_scalar(
            "SELECT r.version FROM assignments a JOIN nodes n ON n.id = a.node_id
             JOIN releases r ON r.id = (a.releases -> 'shop' ->> 'release_id')::uuid WHERE n.name = $1",
        )
        .bind(node)
        .fetch_optional(&self.pool)
        .await
        .unwrap()
    }

    pub(crate) async fn liveness(&self, node: &str) -> Liveness {
        self.app.node_get(&admin(), node).await.unwrap().overview.liveness
    }

    pub(crate) async fn events(&self, kind: &str) -> Vec<Event> {
        let filter = muster_app::EventFilter {
            kind: Some(kind.into()),
            after: Some(0),
            limit: 10_000,
            ..Default::default()
        };
        self.app.event_list(&admin(), &filter).await.unwrap()
    }
}

pub(crate) fn enrol_request(token: &JoinToken) -> EnrolRequest {
    let key = KeyPair::generate().unwrap();
    EnrolRequest {
        token_id: JoinToken::id_text(token.id),
        token_secret: token.secret.clone(),
        csr_der: CertificateParams::default().serialize_request(&key).unwrap().der().to_vec(),
        facts: HostFacts::default(),
        address: None,
    }
}

//! Rollouts while the fleet changes around them, against a real database and a clock that is moved by hand.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use chrono::TimeDelta;
use muster_app::{
    Actor, App, Clock as _, DEFAULT_INVITATION_LIFE, EnrolRequest, FleetFiles, Heartbeat, InviteRequest,
    ManualClock, NodeEvent, NodeReport, Settings, StoredFile, UserRole,
};
use muster_artifact::ObjectStore;
use muster_db::Db;
use muster_domain::{
    ApplicationName, EnvironmentName, NodeName, ReleaseVersion, UserId,
    event::{Event, Severity},
    node::{HostFacts, Liveness, Role},
    rollout::RolloutState,
};
use muster_identity::{FleetIdentity, JoinToken, Revocations};
use rcgen::{CertificateParams, KeyPair};
use secrecy::ExposeSecret as _;
use sqlx::PgPool;
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

const FLEET: &str = "
environments: {production: {}, staging: {}}
nodes:
  web-1: {environment: production, roles: [app_server]}
  web-2: {environment: production, roles: [app_server]}
applications:
  shop: {script: server.js}
";

struct World {
    app: App,
    clock: Arc<ManualClock>,
    pool: PgPool,
    _folder: tempfile::TempDir,
}

fn admin() -> Actor {
    Actor { user: UserId::from_uuid(Uuid::nil()), name: "amara".into(), role: UserRole::Admin, address: None }
}

impl World {
    fn new(pool: PgPool) -> Self {
        let clock = Arc::new(ManualClock::new("2027-01-15T08:00:00Z".parse().unwrap()));
        let folder = tempfile::tempdir().unwrap();
        let (identity, _) = FleetIdentity::open_or_create(folder.path(), clock.now()).unwrap();
        let objects = ObjectStore::open(folder.path().join("objects")).unwrap();
        let settings = Settings::new("https://muster.example:8444".into());
        let db = Db::from_pool(pool.clone());
        let app = App::new(db, clock.clone(), identity, Revocations::new([]), objects, settings);
        Self { app, clock, pool, _folder: folder }
    }

    async fn apply(&self, file: &str) {
        let files = vec![StoredFile { path: "fleet.yaml".into(), content: file.into() }];
        self.app
            .fleet_configuration_apply(&admin(), FleetFiles { files, expected_version: None })
            .await
            .unwrap();
    }

    async fn token(&self, name: &str) -> JoinToken {
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
    async fn join(&self, name: &str) -> muster_domain::NodeId {
        let enrolled = self.app.node_enrol(enrol_request(&self.token(name).await)).await.unwrap();
        self.beat(enrolled.node_id).await;
        enrolled.node_id
    }

    async fn beat(&self, node: muster_domain::NodeId) {
        let beat = Heartbeat { metrics: None, processes: Vec::new(), facts: Some(HostFacts::default()) };
        self.app.heartbeat(node, beat).await.unwrap();
    }

    /// A release without files.
    async fn release(&self, version: &str) {
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
    async fn carried(&self, node: &str) -> Option<String> {
        sqlx::query_scalar(
            "SELECT r.version FROM assignments a JOIN nodes n ON n.id = a.node_id
             JOIN releases r ON r.id = (a.releases -> 'shop' ->> 'release_id')::uuid WHERE n.name = $1",
        )
        .bind(node)
        .fetch_optional(&self.pool)
        .await
        .unwrap()
    }

    async fn liveness(&self, node: &str) -> Liveness {
        self.app.node_get(&admin(), node).await.unwrap().overview.liveness
    }

    async fn events(&self, kind: &str) -> Vec<Event> {
        let filter = muster_app::EventFilter {
            kind: Some(kind.into()),
            after: Some(0),
            limit: 10_000,
            ..Default::default()
        };
        self.app.event_list(&admin(), &filter).await.unwrap()
    }
}

fn enrol_request(token: &JoinToken) -> EnrolRequest {
    let key = KeyPair::generate().unwrap();
    EnrolRequest {
        token_id: JoinToken::id_text(token.id),
        token_secret: token.secret.clone(),
        csr_der: CertificateParams::default().serialize_request(&key).unwrap().der().to_vec(),
        facts: HostFacts::default(),
        address: None,
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_node_that_is_moved_elsewhere_does_not_take_the_release_along(pool: PgPool) {
    let world = World::new(pool);
    world.apply(FLEET).await;
    world.join("web-1").await;
    world.join("web-2").await;
    world.release("1").await;
    let (shop, production) =
        (ApplicationName::parse("shop").unwrap(), EnvironmentName::parse("production").unwrap());
    let version = ReleaseVersion::parse("1").unwrap();
    let rollout = world.app.rollout_start(&admin(), &shop, &production, &version).await.unwrap();
    world.app.rollouts_drive().await.unwrap();
    assert_eq!(world.carried("web-1").await.as_deref(), Some("1"), "its turn");

    world.apply(&FLEET.replace("web-1: {environment: production", "web-1: {environment: staging")).await;
    assert_eq!(world.carried("web-1").await, None, "staging runs no release of the application");
    world.app.rollouts_drive().await.unwrap();
    // Going back goes for every node that is still there.
    world.clock.advance(TimeDelta::hours(1));
    world.app.rollouts_drive().await.unwrap();
    let ended = world.app.rollout_get(&admin(), rollout.id).await.unwrap();
    let RolloutState::RolledBack { reason } = ended.state else { panic!("{:?}", ended.state) };
    assert!(reason.contains("moved it to another environment"), "{reason}");
    assert_eq!(world.carried("web-1").await, None);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_node_joins_after_or_before_a_change_but_not_beside_it(pool: PgPool) {
    let world = World::new(pool);
    world.apply(FLEET).await;
    let token = world.token("web-1").await;
    // Somebody is about to compile every node.
    let mut change = world.pool.begin().await.unwrap();
    muster_db::assignments::compile_turn(&mut change).await.unwrap();
    let app = world.app.clone();
    let joining = tokio::spawn(async move { app.node_enrol(enrol_request(&token)).await });
    let waits = || async {
        sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .fetch_one(&world.pool)
        .await
        .unwrap()
    };
    while waits().await == 0 {
        assert!(!joining.is_finished(), "it did not wait, so the change misses it and it misses the change");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    change.commit().await.unwrap();
    joining.await.unwrap().unwrap();
}

#[sqlx::test(migrations = "../../migrations")]
async fn nodes_are_not_down_because_the_database_was(pool: PgPool) {
    let world = World::new(pool);
    world.apply(FLEET).await;
    let node = world.join("web-1").await;
    assert_eq!(world.liveness("web-1").await, Liveness::Up);
    // Five minutes without a database, as far as the controller can tell; nobody could beat.
    sqlx::query("ALTER TABLE nodes RENAME TO nodes_away").execute(&world.pool).await.unwrap();
    world.clock.advance(TimeDelta::minutes(5));
    world.app.liveness_scan().await.unwrap_err();
    sqlx::query("ALTER TABLE nodes_away RENAME TO nodes").execute(&world.pool).await.unwrap();
    world.clock.advance(TimeDelta::seconds(1));
    world.app.liveness_scan().await.unwrap();
    assert_eq!(world.liveness("web-1").await, Liveness::Up);
    assert!(world.events("node.down").await.is_empty());
    world.beat(node).await;
    // Silence that can be told from deafness counts.
    world.clock.advance(TimeDelta::seconds(60));
    world.app.liveness_scan().await.unwrap();
    assert_eq!(world.liveness("web-1").await, Liveness::Down);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_node_that_reports_without_end_does_not_fill_the_event_list(pool: PgPool) {
    let world = World::new(pool);
    world.apply(FLEET).await;
    let node = world.join("web-1").await;
    let event = |sequence| {
        NodeReport::Event(NodeEvent {
            sequence,
            at: world.clock.now(),
            kind: "process.exited".into(),
            severity: Severity::Warning,
            message: "x".repeat(10_000),
            application: None,
            process: None,
        })
    };
    for call in 0..3 {
        let reports = (1..=1_000).map(|n| event(call * 1_000 + n)).collect();
        assert_eq!(
            world.app.reports_store(node, reports).await.unwrap(),
            (call + 1) * 1_000,
            "all are taken"
        );
    }
    let kept = world.events("process.exited").await;
    assert_eq!(kept.len(), 2_000);
    assert_eq!(kept[0].message.chars().count(), 1_000);
    assert_eq!(world.events("node.events_dropped").await.len(), 1);
}

//! What hosts report of their resources, who may change them when, and what people say about both.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use chrono::{DateTime, TimeDelta, Utc};
use muster_db::{
    Conn, DbError, fleet_configurations,
    fleet_configurations::StoredConfiguration,
    mode_overrides::{self, ModeOverride},
    reboot_requests::{self, RebootRequest},
    resources::{self, ChangesKept},
    turns,
};
use muster_domain::{
    Digest, EnvironmentName, NodeId,
    assignment::Generation,
    fleet::{Environment, FleetConfiguration, MaxChanging},
    observed::{ChangeCause, ResourceReport, ResourceStatus},
    resource::{Mode, ResourceKey},
    turn::{Turn, TurnKind, TurnState},
};
use sqlx::{PgPool, migrate::Migrator};
use uuid::Uuid;

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// The migration that this module's tables came with.
const CONVERGENCE_CONTROL: i64 = 20_261_123_100_000;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

async fn node(conn: &mut Conn, name: &str, environment: &str) -> NodeId {
    let id = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO nodes (id, name, environment, roles, enrolled_at, facts, liveness, liveness_changed_at,
                            report_sequence, reported_generation)
         VALUES ($1, $2, $3, '{app_server}', $4, '{}', 'up', $4, 0, 3)",
    )
    .bind(id)
    .bind(name)
    .bind(environment)
    .bind(now())
    .execute(conn)
    .await
    .unwrap();
    NodeId::from_uuid(id)
}

fn environment(name: &str) -> EnvironmentName {
    EnvironmentName::parse(name).unwrap()
}

fn motd(change: Option<ChangeCause>, diff: Option<&str>) -> ResourceReport {
    ResourceReport {
        status: if change.is_none() && diff.is_some() {
            ResourceStatus::Drifted
        } else {
            ResourceStatus::Converged
        },
        mode: Mode::Report,
        change,
        detail: "another content".to_owned(),
        diff: diff.map(str::to_owned),
        ..ResourceReport::converged(ResourceKey::parse("file:/etc/motd").unwrap())
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_differs_is_kept_until_it_does_not_and_changes_as_far_as_they_fit(pool: PgPool) {
    let conn = &mut *pool.acquire().await.unwrap();
    let node = node(conn, "app-1", "production").await;
    let kept = ChangesKept { per_resource: 2, per_node: 3 };
    let report = async |conn: &mut Conn, generation, minute, reports: &[ResourceReport]| {
        let when = (Generation::new(generation), now() + TimeDelta::minutes(minute));
        resources::replace(conn, node, when, reports, kept).await.unwrap();
    };

    report(conn, 1, 0, &[motd(None, Some("-old\n+new\n"))]).await;
    let shown = resources::list(conn, node, Some("file:/etc/motd")).await.unwrap().pop().unwrap();
    assert!(shown.differs && shown.changed_at.is_none());
    assert_eq!((shown.status, shown.mode), (ResourceStatus::Drifted, Mode::Report));
    assert_eq!(
        resources::diffs(conn, node, "file:/etc/motd").await.unwrap(),
        (Some("-old\n+new\n".to_owned()), None)
    );
    assert!(resources::changes(conn, node, None, None, 10).await.unwrap().is_empty());

    report(conn, 2, 1, &[motd(Some(ChangeCause::Corrective), Some("-old\n+new\n"))]).await;
    report(conn, 2, 2, &[motd(None, None)]).await;
    let shown = resources::list(conn, node, None).await.unwrap().pop().unwrap();
    assert!(!shown.differs);
    assert_eq!(
        (shown.change, shown.changed_at),
        (Some(ChangeCause::Corrective), Some(now() + TimeDelta::minutes(1)))
    );
    assert_eq!(
        resources::diffs(conn, node, "file:/etc/motd").await.unwrap(),
        (None, Some("-old\n+new\n".to_owned())),
        "what the last change put right stays, and nothing differs"
    );
    report(conn, 3, 3, &[motd(Some(ChangeCause::Intentional), None)]).await;
    assert_eq!(
        resources::diffs(conn, node, "file:/etc/motd").await.unwrap(),
        (None, None),
        "the last change had none"
    );

    for minute in 4..7 {
        report(conn, 3, minute, &[motd(Some(ChangeCause::Corrective), Some("x"))]).await;
    }
    let changes = resources::changes(conn, node, Some("file:/etc/motd"), None, 10).await.unwrap();
    let minutes = |changes: &[resources::ResourceChangeRecord]| {
        changes.iter().map(|c| (c.at - now()).num_minutes()).collect::<Vec<_>>()
    };
    assert_eq!(minutes(&changes), [6, 5], "two of one resource are kept, the newest first");
    let older = resources::changes(conn, node, None, Some(changes[0].id), 10).await.unwrap();
    assert_eq!(minutes(&older), [5]);
    for (minute, name) in [(7, "file:/a"), (8, "file:/b")] {
        let other = ResourceReport {
            key: ResourceKey::parse(name).unwrap(),
            ..motd(Some(ChangeCause::Corrective), None)
        };
        report(conn, 3, minute, &[other]).await;
    }
    let changes = resources::changes(conn, node, None, None, 10).await.unwrap();
    assert_eq!(minutes(&changes), [8, 7, 6], "three of one node are kept, also of resources that are gone");
    assert_eq!(resources::list(conn, node, None).await.unwrap().len(), 1);
    let until = now() + TimeDelta::minutes(8);
    assert_eq!(resources::changes_delete_before(conn, until).await.unwrap(), 2);
}

fn turn(node: NodeId, state: TurnState) -> Turn {
    Turn {
        node,
        kind: TurnKind::Reboot,
        cause: ChangeCause::Intentional,
        reason: "a new kernel".to_owned(),
        generation: Generation::new(4),
        configuration_version: 2,
        state,
        since: now(),
        expires_at: (state != TurnState::Failed).then(|| now() + TimeDelta::minutes(30)),
        detail: String::new(),
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn turns_are_kept_per_node_and_read_per_environment(pool: PgPool) {
    let conn = &mut *pool.acquire().await.unwrap();
    let one = node(conn, "app-1", "production").await;
    let two = node(conn, "app-2", "production").await;
    let other = node(conn, "stage-1", "staging").await;
    for (node, state) in [(one, TurnState::Granted), (two, TurnState::Waiting), (other, TurnState::Failed)] {
        turns::put(conn, &turn(node, state)).await.unwrap();
    }
    let production = environment("production");
    assert_eq!(turns::list(conn, Some(&production)).await.unwrap().len(), 2);
    assert_eq!(turns::list(conn, None).await.unwrap().len(), 3);
    assert_eq!(turns::environments(conn).await.unwrap(), [production.clone(), environment("staging")]);
    assert_eq!(turns::nodes(conn, Some(&production)).await.unwrap().len(), 2);
    assert_eq!(turns::environment_of(conn, other).await.unwrap(), Some(environment("staging")));

    let failed = turn(one, TurnState::Failed);
    turns::put(conn, &failed).await.unwrap();
    assert!(turns::list(conn, None).await.unwrap().contains(&failed));
    turns::put(conn, &Turn { kind: TurnKind::Change, ..turn(two, TurnState::Waiting) }).await.unwrap();
    for each in [one, two] {
        assert!(!turns::delete_ended(conn, each, Generation::new(3)).await.unwrap(), "that was before");
        assert!(turns::delete_ended(conn, each, Generation::new(4)).await.unwrap());
    }
    for (kind, state) in [(TurnKind::Change, TurnState::Granted), (TurnKind::Reboot, TurnState::Waiting)] {
        turns::put(conn, &Turn { kind, ..turn(two, state) }).await.unwrap();
        assert!(!turns::delete_ended(conn, two, Generation::new(4)).await.unwrap(), "{kind:?} {state:?}");
    }
    assert!(turns::delete(conn, two).await.unwrap() && !turns::delete(conn, two).await.unwrap());

    let endless = Turn { expires_at: None, ..turn(one, TurnState::Granted) };
    let refused = turns::put(conn, &endless).await.unwrap_err();
    assert!(matches!(refused, DbError::Constraint(_)), "{refused:?}");
    sqlx::query("UPDATE nodes SET revoked_at = now()").execute(&mut *conn).await.unwrap();
    assert!(turns::list(conn, None).await.unwrap().is_empty(), "a revoked node has no place");
    assert_eq!(turns::environment_of(conn, other).await.unwrap(), None);
}

#[sqlx::test(migrations = "../../migrations")]
async fn modes_and_restarts_are_set_lifted_and_forgotten(pool: PgPool) {
    let conn = &mut *pool.acquire().await.unwrap();
    let node = node(conn, "app-1", "production").await;
    let set = |key: Option<&str>, mode, expires_at| ModeOverride {
        key: key.map(str::to_owned),
        mode,
        reason: "looking into it".to_owned(),
        set_by: "amara".to_owned(),
        set_at: now(),
        expires_at,
    };
    let whole = set(None, Mode::Report, Some(now() + TimeDelta::hours(1)));
    let one = set(Some("service:nginx.service"), Mode::Ignore, None);
    for new in [&one, &set(None, Mode::Ignore, None), &whole] {
        mode_overrides::put(conn, node, new).await.unwrap();
    }
    assert_eq!(mode_overrides::list(conn, node).await.unwrap(), [whole, one]);
    assert_eq!(mode_overrides::count(conn, node).await.unwrap(), 2);
    assert!(!mode_overrides::any_expired(conn, now()).await.unwrap());
    let later = now() + TimeDelta::hours(1);
    assert!(mode_overrides::any_expired(conn, later).await.unwrap());
    assert_eq!(mode_overrides::delete_expired(conn, later).await.unwrap(), [(node, None)]);
    assert!(!mode_overrides::delete(conn, node, None).await.unwrap());
    assert!(mode_overrides::delete(conn, node, Some("service:nginx.service")).await.unwrap());

    let wanted = RebootRequest {
        id: Uuid::from_u128(1),
        requested_by: "amara".to_owned(),
        requested_at: now(),
        reason: "a new kernel".to_owned(),
        at_once: false,
    };
    reboot_requests::put(conn, node, &wanted).await.unwrap();
    let newer = RebootRequest { id: Uuid::from_u128(2), at_once: true, ..wanted.clone() };
    reboot_requests::put(conn, node, &newer).await.unwrap();
    assert!(!reboot_requests::delete(conn, node, Some(wanted.id)).await.unwrap(), "the newer one is wanted");
    assert_eq!(reboot_requests::get(conn, node).await.unwrap(), Some(newer.clone()));
    assert!(reboot_requests::delete(conn, node, Some(newer.id)).await.unwrap());
    assert_eq!(reboot_requests::get(conn, node).await.unwrap(), None);
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_policy_of_an_environment_is_read_without_the_rest(pool: PgPool) {
    let conn = &mut *pool.acquire().await.unwrap();
    let production = environment("production");
    let none = fleet_configurations::policy(conn, &production).await.unwrap();
    assert_eq!(none, (0, Environment::default()));
    for (version, most) in [(1, 1), (2, 7)] {
        let policy = Environment { max_changing: Some(MaxChanging::Nodes(most)), ..Environment::default() };
        let new = StoredConfiguration {
            version,
            author: "amara".to_owned(),
            created_at: now(),
            files: Vec::new(),
            configuration: FleetConfiguration {
                environments: [(production.clone(), policy)].into(),
                ..FleetConfiguration::default()
            },
            digest: Digest::from_bytes([1; 32]),
        };
        fleet_configurations::insert(conn, &new).await.unwrap();
    }
    let (version, policy) = fleet_configurations::policy(conn, &production).await.unwrap();
    assert_eq!((version, policy.max_changing), (2, Some(MaxChanging::Nodes(7))));
    let other = fleet_configurations::policy(conn, &environment("staging")).await.unwrap();
    assert_eq!(other, (2, Environment::default()));
}

#[sqlx::test(migrations = false)]
async fn nodes_from_before_are_counted_when_the_tables_are_made(pool: PgPool) {
    let conn = &mut *pool.acquire().await.unwrap();
    let (before, since): (Vec<_>, Vec<_>) =
        MIGRATIONS.iter().partition(|migration| migration.version < CONVERGENCE_CONTROL);
    assert!(!before.is_empty() && !since.is_empty());
    for migration in before {
        sqlx::raw_sql(migration.sql.clone()).execute(&mut *conn).await.unwrap();
    }
    let node = node(conn, "app-1", "production").await;
    for (key, status) in
        [("file:/a", "converged"), ("file:/b", "failed"), ("file:/c", "skipped"), ("file:/d", "drifted")]
    {
        sqlx::query(
            "INSERT INTO resource_states (node_id, key, position, status, detail, generation, reported_at)
             VALUES ($1, $2, 0, $3, '', 3, $4)",
        )
        .bind(node.as_uuid())
        .bind(key)
        .bind(status)
        .bind(now())
        .execute(&mut *conn)
        .await
        .unwrap();
    }
    for migration in since {
        sqlx::raw_sql(migration.sql.clone()).execute(&mut *conn).await.unwrap();
    }
    let counts: (i32, i32, i32, i32) =
        sqlx::query_as("SELECT resource_count, failed_count, drifted_count, waiting_count FROM nodes")
            .fetch_one(&mut *conn)
            .await
            .unwrap();
    assert_eq!(counts, (4, 2, 1, 0));
    let shown = resources::list(conn, node, None).await.unwrap();
    assert!(shown.iter().all(|r| r.mode == Mode::Enforce && !r.differs));
}

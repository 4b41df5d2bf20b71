//! What people look at: nodes, applications, releases, processes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use chrono::{DateTime, TimeDelta, Utc};
use muster_db::{
    Conn, applications,
    artifacts::{self, ArtifactRecord},
    metrics,
    nodes::{self, NodeFilter},
    processes::{self, ProcessFilter},
    releases, reports,
    resources::{self, ChangesKept},
};
use muster_domain::{
    Digest, NodeId, ReleaseId,
    assignment::Generation,
    metrics::NodeMetrics,
    node::{Convergence, Liveness, Role},
    observed::{ConvergenceReport, ProcessState, ResourceReport, ResourceStatus},
    release::{GitOrigin, Release},
    resource::{Mode, ResourceKey},
};
use sqlx::PgPool;
use uuid::Uuid;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

async fn node(conn: &mut Conn, name: &str, environment: &str) -> NodeId {
    let id = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO nodes (id, name, environment, roles, enrolled_at, facts, liveness, liveness_changed_at,
                            report_sequence, reported_generation)
         VALUES ($1, $2, $3, '{app_server}', $4, $5, 'up', $4, 0, 3)",
    )
    .bind(id)
    .bind(name)
    .bind(environment)
    .bind(now())
    .bind(serde_json::to_value(muster_domain::node::HostFacts::default()).unwrap())
    .execute(&mut *conn)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO node_certificates (serial, node_id, public_key_sha256, issued_at, not_after)
         VALUES ($1, $2, '\\x00', $3, $4)",
    )
    .bind(name)
    .bind(id)
    .bind(now())
    .bind(now() + TimeDelta::hours(24))
    .execute(conn)
    .await
    .unwrap();
    NodeId::from_uuid(id)
}

async fn process(conn: &mut Conn, node: NodeId, application: &str, instance: i32, state: &str) {
    sqlx::query(
        "INSERT INTO processes (node_id, application, instance, release_version, state, pid, restarts, cpu_percent,
                                memory_bytes, reported_at)
         VALUES ($1, $2, $3, 'v1', $4, 4321, 2, 1.5, 1048576, $5)",
    )
    .bind(node.as_uuid())
    .bind(application)
    .bind(instance)
    .bind(state)
    .bind(now())
    .execute(conn)
    .await
    .unwrap();
}

fn sample(at: DateTime<Utc>) -> NodeMetrics {
    NodeMetrics {
        at,
        cpu_percent: 12.5,
        memory_used_bytes: 1,
        memory_total_bytes: 2,
        swap_used_bytes: 3,
        disk_used_bytes: 4,
        disk_total_bytes: 5,
        load_1: 0.5,
        load_5: 0.25,
        load_15: 0.125,
        network_rx_bytes_per_s: 6,
        network_tx_bytes_per_s: 7,
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_node_is_shown_with_what_is_known_of_it(pool: PgPool) {
    let conn = &mut *pool.acquire().await.unwrap();
    let one = node(conn, "app-1", "production").await;
    node(conn, "app-2", "staging").await;
    process(conn, one, "web", 0, "ready").await;
    process(conn, one, "web", 1, "starting").await;
    let report = |key: &str, status, change| ResourceReport {
        status,
        change,
        detail: "why".to_owned(),
        ..ResourceReport::converged(ResourceKey::parse(key).unwrap())
    };
    let report = ConvergenceReport {
        sequence: 1,
        generation: Generation::new(3),
        revision: Digest::from_bytes([1; 32]),
        started_at: now(),
        finished_at: now(),
        resources: vec![
            report("file:/etc/hosts", ResourceStatus::Failed, None),
            report("file:/etc/motd", ResourceStatus::Converged, None),
            report("package:nginx", ResourceStatus::Waiting, None),
            report("service:nginx", ResourceStatus::Drifted, None),
            ResourceReport { mode: Mode::Ignore, ..report("cron_job:report", ResourceStatus::Drifted, None) },
        ],
        reboot_required: Some("linux-image".to_owned()),
    };
    let kept = ChangesKept { per_resource: 2, per_node: 3 };
    let when = (report.generation, now());
    resources::replace(conn, one, when, &report.resources, kept).await.unwrap();
    reports::node_set_convergence(conn, one, &report, now()).await.unwrap();
    metrics::partition_create(conn, now().date_naive()).await.unwrap();
    assert!(metrics::insert_sample(conn, one, &sample(now() - TimeDelta::seconds(20))).await.unwrap());
    assert!(metrics::insert_sample(conn, one, &sample(now())).await.unwrap());

    let since = now() - TimeDelta::minutes(5);
    let all = nodes::overviews(conn, &NodeFilter::default(), since, 10).await.unwrap();
    assert_eq!(all.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(), ["app-1", "app-2"]);
    let shown = &all[0];
    assert_eq!((shown.liveness, &shown.roles[..]), (Liveness::Up, &[Role::AppServer][..]));
    assert_eq!((shown.process_count, shown.process_ready_count), (2, 1));
    let counts = (shown.resource_count, shown.failed_count, shown.drifted_count, shown.waiting_count);
    assert_eq!(counts, (5, 1, 1, 1), "what is ignored is no drift");
    assert_eq!(shown.convergence, Convergence::Failed);
    assert_eq!(shown.reboot_required.as_deref(), Some("linux-image"));
    assert_eq!((shown.mode, shown.mode_override_count), (Mode::Enforce, 0));
    assert_eq!(all[1].convergence, Convergence::Pending, "it has reported nothing");
    assert_eq!((shown.generation.get(), shown.reported_generation.get()), (0, 3));
    assert_eq!(shown.figures.unwrap().cpu_percent, 12.5);
    assert_eq!(all[1].figures, None);

    let named = async |filter: NodeFilter<'static>| {
        let conn = &mut *pool.acquire().await.unwrap();
        let found = nodes::overviews(conn, &filter, since, 10).await.unwrap();
        found.into_iter().map(|n| n.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(named(NodeFilter { environment: Some("staging"), ..Default::default() }).await, ["app-2"]);
    assert_eq!(named(NodeFilter { after: Some("app-1"), ..Default::default() }).await, ["app-2"]);
    assert_eq!(named(NodeFilter { name: Some("app-1"), ..Default::default() }).await, ["app-1"]);
    assert!(named(NodeFilter { role: Some("datastore"), ..Default::default() }).await.is_empty());
    let standing = |convergence| NodeFilter { convergence: Some(convergence), ..Default::default() };
    assert_eq!(named(standing(Convergence::Failed)).await, ["app-1"]);
    assert_eq!(named(standing(Convergence::Pending)).await, ["app-2"]);
    assert!(named(standing(Convergence::Drifted)).await.is_empty());

    let resources = resources::list(conn, one, None).await.unwrap();
    assert_eq!(
        resources.iter().map(|r| (r.key.as_str(), r.status)).collect::<Vec<_>>()[..2],
        [("file:/etc/hosts", ResourceStatus::Failed), ("file:/etc/motd", ResourceStatus::Converged)]
    );
    let end = nodes::certificate_expires_at(conn, one).await.unwrap();
    assert_eq!(end, Some(now() + TimeDelta::hours(24)));
    assert_eq!(nodes::lock(conn, "app-1").await.unwrap(), Some((one, None)));
    assert_eq!(nodes::id(conn, "app-1").await.unwrap(), Some(one));
    assert_eq!(nodes::id(conn, "app-9").await.unwrap(), None);
    assert!(nodes::delete(conn, one).await.unwrap());
    assert!(!nodes::delete(conn, one).await.unwrap());
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM node_metrics").fetch_one(conn).await.unwrap();
    assert_eq!(left, 0, "its figures go with it");
}

#[sqlx::test(migrations = "../../migrations")]
async fn processes_are_listed_in_order_and_counted(pool: PgPool) {
    let conn = &mut *pool.acquire().await.unwrap();
    let one = node(conn, "app-1", "production").await;
    let two = node(conn, "app-2", "staging").await;
    process(conn, two, "web", 0, "crash_looping").await;
    process(conn, one, "web", 1, "ready").await;
    process(conn, one, "web", 0, "ready").await;
    process(conn, one, "api", 0, "stopped").await;
    let list = async |filter: ProcessFilter<'static>| {
        let conn = &mut *pool.acquire().await.unwrap();
        let found = processes::list(conn, &filter, 10).await.unwrap();
        found.into_iter().map(|p| format!("{}/{}/{}", p.application, p.node, p.instance)).collect::<Vec<_>>()
    };
    let all = ["api/app-1/0", "web/app-1/0", "web/app-1/1", "web/app-2/0"];
    assert_eq!(list(ProcessFilter::default()).await, all);
    assert_eq!(
        list(ProcessFilter { after: Some(("web", "app-1", 0)), ..Default::default() }).await,
        all[2..]
    );
    assert_eq!(list(ProcessFilter { environment: Some("staging"), ..Default::default() }).await, all[3..]);
    assert_eq!(list(ProcessFilter { application: Some("api"), ..Default::default() }).await, all[..1]);
    assert_eq!(list(ProcessFilter { node: Some("app-2"), ..Default::default() }).await, all[3..]);
    let crashing =
        processes::list(conn, &ProcessFilter { node: Some("app-2"), ..Default::default() }, 1).await.unwrap();
    assert_eq!((crashing[0].state, crashing[0].pid), (ProcessState::CrashLooping, Some(4321)));
    let counts = processes::counts(conn, Some("web")).await.unwrap();
    let counts: Vec<_> =
        counts.iter().map(|c| (c.environment.as_str(), c.process_count, c.process_ready_count)).collect();
    assert_eq!(counts, [("production", 2, 2), ("staging", 1, 0)]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn releases_are_paged_newest_first_and_versions_are_taken_once(pool: PgPool) {
    let conn = &mut *pool.acquire().await.unwrap();
    let artifact = ArtifactRecord { digest: Digest::from_bytes([9; 32]), file_count: 3, total_bytes: 99 };
    artifacts::insert(conn, &artifact, now()).await.unwrap();
    artifacts::insert(conn, &artifact, now()).await.unwrap();
    assert_eq!(artifacts::get(conn, artifact.digest).await.unwrap().as_ref(), Some(&artifact));
    assert_eq!(artifacts::get(conn, Digest::from_bytes([8; 32])).await.unwrap(), None);

    let release = |version: &str, seconds: i64| Release {
        id: ReleaseId::from_uuid(Uuid::now_v7()),
        application: "web".parse().unwrap(),
        version: version.parse().unwrap(),
        artifact_digest: artifact.digest,
        file_count: 3,
        total_bytes: 99,
        git: Some(GitOrigin { commit: "a".repeat(40), branch: None, dirty: true }),
        created_by: "amara".into(),
        created_at: now() + TimeDelta::seconds(seconds),
    };
    let made = [release("v1", 0), release("v2", 1), release("v3", 1)];
    for release in &made {
        releases::insert(conn, release, Some("npm run build")).await.unwrap();
    }
    let again = releases::insert(conn, &release("v3", 5), None).await.unwrap_err();
    assert_eq!(again.constraint(), Some("releases_application_version_key"));

    let web = "web".parse().unwrap();
    let page = releases::list(conn, &web, None, 2).await.unwrap();
    let versions = |page: &[releases::ReleaseRecord]| {
        page.iter().map(|r| r.release.version.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(versions(&page), ["v3", "v2"]);
    let last = &page[1].release;
    let rest = releases::list(conn, &web, Some((last.created_at, last.id)), 2).await.unwrap();
    assert_eq!(versions(&rest), ["v1"]);

    sqlx::query(
        "INSERT INTO release_targets VALUES ('staging', 'web', $1, $2), ('production', 'web', $1, $2)",
    )
    .bind(made[1].id.as_uuid())
    .bind(now())
    .execute(&mut *conn)
    .await
    .unwrap();
    let found = releases::get(conn, "web", "v2").await.unwrap().unwrap();
    assert_eq!(found.release, made[1]);
    assert_eq!(found.target_of.iter().map(|e| e.as_str()).collect::<Vec<_>>(), ["production", "staging"]);
    assert!(releases::get(conn, "web", "v9").await.unwrap().is_none());

    let counts = applications::release_counts(conn, None).await.unwrap();
    assert_eq!((counts[0].release_count, counts[0].latest.as_str()), (3, "v3"));
    let targets = applications::targets(conn, Some("web")).await.unwrap();
    assert_eq!(targets.iter().map(|t| t.release.as_str()).collect::<Vec<_>>(), ["v2", "v2"]);
    sqlx::query(
        "INSERT INTO rollouts (id, environment, application, release_id, kind, status, aborted, created_by, created_at,
                               updated_at, step)
         VALUES ($1, 'staging', 'web', $2, 'deploy', 'running', false, 'amara', $3, $3, 1)",
    )
    .bind(Uuid::nil())
    .bind(made[2].id.as_uuid())
    .bind(now())
    .execute(&mut *conn)
    .await
    .unwrap();
    let active = applications::active_rollouts(conn, None).await.unwrap();
    assert_eq!(
        active.iter().map(|(_, e, id)| (e.as_str(), id.as_uuid())).collect::<Vec<_>>(),
        [("staging", Uuid::nil())]
    );
}

//! What nodes say of their processes: the state of a beat, and what happened to them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use chrono::{DateTime, TimeDelta, Utc};
use muster_db::{
    Conn,
    process_events::{self, ProcessEventFilter, ProcessEventRecord},
    processes::{self, ProcessFilter},
    reports,
};
use muster_domain::{
    ApplicationName, EnvironmentName, NodeId, NodeName, ReleaseVersion,
    event::Severity,
    observed::{ProcessEvent, ProcessExit, ProcessReport, ProcessState},
};
use sqlx::PgPool;
use uuid::Uuid;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

async fn node(conn: &mut Conn, name: &str) -> NodeId {
    let id = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO nodes (id, name, environment, roles, enrolled_at, facts, liveness, liveness_changed_at,
                            report_sequence, reported_generation)
         VALUES ($1, $2, 'production', '{app_server}', $3, '{}', 'up', $3, 0, 3)",
    )
    .bind(id)
    .bind(name)
    .bind(now())
    .execute(conn)
    .await
    .unwrap();
    NodeId::from_uuid(id)
}

fn report(application: &str, instance: u32) -> ProcessReport {
    ProcessReport {
        application: ApplicationName::parse(application).unwrap(),
        instance,
        release_id: None,
        release_version: None,
        state: ProcessState::Ready,
        pid: None,
        restarts: 0,
        unstable_restarts: 0,
        started_at: None,
        cpu_percent: 0.5,
        memory_bytes: 1,
        last_exit: None,
        limits_by: None,
        dropped_log_lines: 0,
        listening: vec![],
        last_failure: None,
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_beat_takes_the_place_of_the_one_before(pool: PgPool) {
    let conn = &mut *pool.acquire().await.unwrap();
    let (one, two) = (node(conn, "app-1").await, node(conn, "app-2").await);
    reports::processes_replace(conn, two, now(), &[report("web", 0)]).await.unwrap();
    let full = ProcessReport {
        release_version: Some(ReleaseVersion::parse("1.4.0").unwrap()),
        pid: Some(4321),
        restarts: 7,
        unstable_restarts: 3,
        started_at: Some(now()),
        last_exit: Some("exited with code 1".into()),
        limits_by: Some("systemd scope".into()),
        dropped_log_lines: 12,
        listening: vec!["tcp 0.0.0.0:3000".into(), "udp :::53".into()],
        last_failure: Some("did not become ready".into()),
        ..report("web", 1)
    };
    reports::processes_replace(conn, one, now(), &[report("api", 0), report("web", 0), full]).await.unwrap();
    let of_one = ProcessFilter { node: Some("app-1"), ..ProcessFilter::default() };
    let found = processes::list(conn, &of_one, 10).await.unwrap();
    assert_eq!(found.len(), 3);
    assert_eq!((found[1].pid, found[1].limits_by.as_deref(), found[1].listening.len()), (None, None, 0));
    let full = &found[2];
    assert_eq!(
        (full.pid, full.restarts, full.unstable_restarts, full.dropped_log_lines),
        (Some(4321), 7, 3, 12)
    );
    assert_eq!(full.limits_by.as_deref(), Some("systemd scope"));
    assert_eq!(full.listening, ["tcp 0.0.0.0:3000", "udp :::53"]);
    assert_eq!(full.last_failure.as_deref(), Some("did not become ready"));
    assert_eq!((full.started_at, full.last_exit.as_deref()), (Some(now()), Some("exited with code 1")));

    let later = now() + TimeDelta::seconds(10);
    reports::processes_replace(conn, one, later, &[report("web", 1), report("web", 2)]).await.unwrap();
    let found = processes::list(conn, &of_one, 10).await.unwrap();
    let kept: Vec<_> = found.iter().map(|p| (p.application.as_str(), p.instance, p.reported_at)).collect();
    assert_eq!(kept, [("web", 1, later), ("web", 2, later)]);
    assert_eq!((found[0].pid, found[0].listening.len()), (None, 0), "nothing is left of the former beat");

    reports::processes_replace(conn, one, later, &[]).await.unwrap();
    let left = processes::list(conn, &ProcessFilter::default(), 10).await.unwrap();
    assert_eq!(left.len(), 1, "those of the other node");
}

fn happened(sequence: i64, node: &str, application: &str, instance: Option<u32>) -> ProcessEventRecord {
    ProcessEventRecord {
        sequence,
        at: now() + TimeDelta::minutes(sequence),
        reported_at: now() + TimeDelta::minutes(sequence),
        kind: if instance.is_some() { "process.exited" } else { "process.replaced" }.to_owned(),
        severity: Severity::Warning,
        node: NodeName::parse(node).unwrap(),
        environment: EnvironmentName::parse("production").unwrap(),
        application: ApplicationName::parse(application).unwrap(),
        event: ProcessEvent {
            instance,
            release: Some(ReleaseVersion::parse("1.4.0").unwrap()),
            reason: "exited with code 1".into(),
            restarts: Some(7),
            exit: instance.map(|_| ProcessExit {
                code: Some(1),
                signal: None,
                out_of_memory: false,
                uptime_ms: 50,
                last_stderr: vec!["Error: no route".into(), "    at main.js:1".into()],
            }),
        },
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn process_events_are_found_by_what_they_are_about_and_forgotten_in_time(pool: PgPool) {
    let conn = &mut *pool.acquire().await.unwrap();
    let killed = ProcessExit {
        code: None,
        signal: Some("SIGKILL".into()),
        out_of_memory: true,
        uptime_ms: 7_200_000,
        last_stderr: vec![],
    };
    let mut last = happened(5, "app-2", "api", Some(0));
    last.event.exit = Some(killed);
    for record in [
        happened(1, "app-1", "web", Some(0)),
        happened(2, "app-1", "web", Some(1)),
        happened(3, "app-1", "web", None),
        happened(4, "app-2", "web", Some(0)),
        last.clone(),
    ] {
        process_events::insert(conn, &record).await.unwrap();
    }
    let found = async |filter: ProcessEventFilter| {
        let conn = &mut *pool.acquire().await.unwrap();
        let found = process_events::list(conn, &ProcessEventFilter { limit: 10, ..filter }).await.unwrap();
        found.into_iter().map(|event| event.sequence).collect::<Vec<_>>()
    };
    let any = ProcessEventFilter::default;
    assert_eq!(found(any()).await, [5, 4, 3, 2, 1]);
    assert_eq!(found(ProcessEventFilter { before: Some(3), ..any() }).await, [2, 1]);
    assert_eq!(found(ProcessEventFilter { application: Some("api".into()), ..any() }).await, [5]);
    assert_eq!(
        found(ProcessEventFilter { environment: Some("staging".into()), ..any() }).await,
        Vec::<i64>::new()
    );
    let instance = ProcessEventFilter { node: Some("app-1".into()), instance: Some(1), ..any() };
    assert_eq!(found(instance).await, [3, 2], "with what happened to all instances");
    assert_eq!(found(ProcessEventFilter { kind: Some("process.replaced".into()), ..any() }).await, [3]);
    assert_eq!(found(ProcessEventFilter { kind: Some("process".into()), ..any() }).await.len(), 5);
    let since = Some(now() + TimeDelta::minutes(4));
    assert_eq!(found(ProcessEventFilter { since, ..any() }).await, [5, 4]);
    assert_eq!(found(ProcessEventFilter { until: since, ..any() }).await, [3, 2, 1]);

    let read = process_events::list(conn, &ProcessEventFilter { limit: 10, ..any() }).await.unwrap();
    assert_eq!(read[0].event, last.event);
    assert_eq!(read[2].event.exit, None);
    assert_eq!(read[3].event.exit.as_ref().unwrap().last_stderr.len(), 2);

    assert_eq!(process_events::prune(conn, now() + TimeDelta::minutes(2), 10).await.unwrap(), 1);
    assert_eq!(process_events::prune(conn, now(), 2).await.unwrap(), 2);
    assert_eq!(found(any()).await, [5, 4]);
}

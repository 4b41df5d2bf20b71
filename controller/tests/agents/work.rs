//! What an enrolled node does all day.

use crate::support::{Controller, Host, admin, code, soon};
use futures_util::StreamExt as _;
use muster_app::{FleetFiles, NewRelease, NodeHint};
use muster_artifact::{Digest, PackOptions, Wanted, pack};
use muster_db::fleet_configurations::StoredFile;
use muster_domain::{ApplicationName, EnvironmentName, ReleaseVersion};
use muster_proto::v1;
use sqlx::PgPool;
use tonic::Code;

const FLEET: &str = "
environments: {staging: {}, production: {}}
nodes:
  web-1: {environment: production, roles: [app_server]}
  web-2: {environment: staging, roles: [app_server]}
applications:
  shop: {script: server.js, port: 3000}
";

/// Uploads a release of two files and gives it to the environment. Answers with its digest and those of its files.
async fn deploy(controller: &Controller) -> (Digest, Vec<Digest>) {
    let tree = tempfile::tempdir().unwrap();
    std::fs::write(tree.path().join("server.js"), "require('http')").unwrap();
    // Larger than one piece, and not compressible to less.
    let noise: Vec<u8> = (0..20_000_u32).flat_map(|n| *blake3_of(n).as_bytes()).collect();
    std::fs::write(tree.path().join("noise.bin"), noise).unwrap();
    let packed = pack(tree.path(), &PackOptions::default()).unwrap();
    for (digest, source) in &packed.sources {
        controller.app.objects().put(*digest, std::fs::File::open(&source.path).unwrap()).unwrap();
    }
    let digest = packed.manifest.digest();
    let app = &controller.app;
    let files = vec![StoredFile { path: "fleet.yaml".into(), content: FLEET.into() }];
    app.fleet_configuration_apply(&admin(), FleetFiles { files, expected_version: None }).await.unwrap();
    app.artifact_manifest_put(&admin(), digest, packed.manifest.encode()).await.unwrap();
    let application = ApplicationName::parse("shop").unwrap();
    let release = NewRelease {
        application: application.clone(),
        version: ReleaseVersion::parse("1").unwrap(),
        artifact_digest: digest,
        git: None,
        build_command: None,
    };
    let release = app.release_create(&admin(), release).await.unwrap();
    let mut conn = app.db().conn().await.unwrap();
    let environment = EnvironmentName::parse("production").unwrap();
    muster_db::assignments::target_set(&mut conn, &environment, &application, release.release.id, app.now())
        .await
        .unwrap();
    // Any change makes the assignments anew.
    app.secret_set(&admin(), "UNUSED", None, "value".to_owned().into()).await.unwrap();
    (digest, packed.sources.into_keys().collect())
}

fn blake3_of(n: u32) -> Digest {
    muster_artifact::digest_of(&n.to_be_bytes())
}

fn bytes(digest: &Digest) -> Vec<u8> {
    digest.as_bytes().to_vec()
}

async fn fetch(
    controller: &Controller,
    host: &Host,
    artifact: &Digest,
    digests: &[Digest],
) -> Result<Vec<u8>, tonic::Status> {
    let request = v1::FetchObjectsRequest {
        artifact_digest: bytes(artifact),
        digests: digests.iter().map(bytes).collect(),
    };
    let mut pieces = soon(controller.agent(host).fetch_objects(request)).await?.into_inner();
    let mut bundle = Vec::new();
    while let Some(piece) = soon(pieces.next()).await {
        let data = piece?.data;
        assert!(data.len() <= muster_proto::MAX_PIECE_BYTES);
        bundle.extend(data);
    }
    Ok(bundle)
}

#[sqlx::test(migrations = "../migrations")]
async fn a_node_fetches_the_release_of_its_assignment_and_nothing_else(pool: PgPool) {
    let controller = Controller::start(pool).await;
    let (host, other) = (controller.join("web-1").await, controller.join("web-2").await);
    let (artifact, objects) = deploy(&controller).await;

    let request = v1::GetManifestRequest { artifact_digest: bytes(&artifact) };
    let manifest =
        soon(controller.agent(&host).get_manifest(request.clone())).await.unwrap().into_inner().manifest;
    assert_eq!(muster_artifact::digest_of(&manifest), artifact);
    let bundle = fetch(&controller, &host, &artifact, &objects).await.unwrap();
    assert!(bundle.len() > muster_proto::MAX_PIECE_BYTES);
    let store = tempfile::tempdir().unwrap();
    let store = muster_artifact::ObjectStore::open(store.path()).unwrap();
    let summary = store.put_bundle(bundle.as_slice(), &Wanted::any()).unwrap();
    assert_eq!(summary.objects, 2);

    // The other node runs nothing of it: its environment has no release.
    let refusal = soon(controller.agent(&other).get_manifest(request)).await.unwrap_err();
    assert_eq!(refusal.code(), Code::NotFound);
    assert_eq!(fetch(&controller, &other, &artifact, &objects).await.unwrap_err().code(), Code::NotFound);
    // An object that exists and is part of another artifact.
    assert_eq!(fetch(&controller, &host, &artifact, &[artifact]).await.unwrap_err().code(), Code::NotFound);
    let many = vec![artifact; muster_proto::MAX_DIGESTS_PER_FETCH + 1];
    assert_eq!(fetch(&controller, &host, &artifact, &many).await.unwrap_err().code(), Code::InvalidArgument);
}

#[sqlx::test(migrations = "../migrations")]
async fn an_object_that_is_lost_or_damaged_is_an_error_and_not_a_short_bundle(pool: PgPool) {
    let controller = Controller::start(pool).await;
    let host = controller.join("web-1").await;
    let (artifact, objects) = deploy(&controller).await;
    let path = controller.app.objects().object_path(objects[0]);
    let mut content = std::fs::read(&path).unwrap();
    content[0] ^= 1;
    std::fs::write(&path, content).unwrap();
    let refusal = fetch(&controller, &host, &artifact, &objects).await.unwrap_err();
    assert_eq!((refusal.code(), code(&refusal)), (Code::Internal, "artifact_unreadable"));
    std::fs::remove_file(&path).unwrap();
    let refusal = fetch(&controller, &host, &artifact, &objects).await.unwrap_err();
    assert_eq!(code(&refusal), "artifact_unreadable");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_watch_begins_with_a_look_and_passes_on_every_hint(pool: PgPool) {
    let controller = Controller::start(pool).await;
    let host = controller.join("web-1").await;
    let mut watch = soon(controller.agent(&host).watch(v1::WatchRequest {})).await.unwrap().into_inner();
    let first = soon(watch.next()).await.unwrap().unwrap().hint.unwrap();
    assert!(matches!(first, v1::hint::Hint::AssignmentChanged(_)));

    controller.app.node_converge(&admin(), "web-1").await.unwrap();
    let request_id = uuid::Uuid::now_v7();
    let application = ApplicationName::parse("shop").unwrap();
    let log = NodeHint::LogRequest { request_id, application, instance: Some(1), lines: 10, follow: true };
    assert!(controller.app.hints().send(host.node, log));
    assert!(matches!(
        soon(watch.next()).await.unwrap().unwrap().hint.unwrap(),
        v1::hint::Hint::ConvergeNow(_)
    ));
    let v1::hint::Hint::LogRequest(log) = soon(watch.next()).await.unwrap().unwrap().hint.unwrap() else {
        panic!("the log request did not arrive");
    };
    assert_eq!((log.request_id, log.instance, log.lines), (request_id.as_bytes().to_vec(), Some(1), 10));
}

#[sqlx::test(migrations = "../migrations")]
async fn reports_are_stored_once_and_odd_ones_are_refused_by_field(pool: PgPool) {
    let controller = Controller::start(pool).await;
    let host = controller.join("web-1").await;
    let mut agent = controller.agent(&host);
    let event = |sequence: u64, message: &str| v1::Report {
        report: Some(v1::report::Report::Event(v1::NodeEvent {
            sequence,
            at_ms: chrono::Utc::now().timestamp_millis(),
            kind: "agent.started".into(),
            severity: "info".into(),
            message: message.into(),
            application: String::new(),
            process: None,
        })),
    };
    // A NUL would poison the queue of the node for ever if it reached the database.
    let reports = vec![event(1, "one"), event(2, "two\0")];
    for _ in 0..2 {
        let request = v1::SendReportsRequest { reports: reports.clone() };
        assert_eq!(soon(agent.send_reports(request)).await.unwrap().into_inner().stored_sequence, 2);
    }
    let mut odd = event(3, "three");
    if let Some(v1::report::Report::Event(event)) = &mut odd.report {
        event.at_ms = i64::MAX;
    }
    for (report, field) in [(odd, "event.at_ms"), (v1::Report::default(), "report")] {
        let refusal =
            soon(agent.send_reports(v1::SendReportsRequest { reports: vec![report] })).await.unwrap_err();
        assert_eq!(refusal.code(), Code::InvalidArgument);
        assert!(refusal.message().contains(field), "{}", refusal.message());
    }
    let request = v1::SendReportsRequest { reports: vec![v1::Report::default(); 1_001] };
    assert_eq!(soon(agent.send_reports(request)).await.unwrap_err().code(), Code::InvalidArgument);
}

#[sqlx::test(migrations = "../migrations")]
async fn logs_that_nobody_asked_for_are_not_waited_for(pool: PgPool) {
    let controller = Controller::start(pool).await;
    let host = controller.join("web-1").await;
    let batch =
        v1::LogBatch { request_id: uuid::Uuid::now_v7().as_bytes().to_vec(), ..v1::LogBatch::default() };
    // The stream of the node never ends by itself; the answer ends the call.
    let stream = tokio_stream::iter([batch]).chain(tokio_stream::pending());
    soon(controller.agent(&host).send_logs(stream)).await.unwrap();
    let odd = v1::LogBatch { request_id: vec![1], ..v1::LogBatch::default() };
    let refusal = soon(controller.agent(&host).send_logs(tokio_stream::iter([odd]))).await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
}

//! Who gets in, who may call what, and who is thrown out.

use crate::support::{Controller, Host, PATIENCE, admin, code, csr, soon};
use futures_util::StreamExt as _;
use muster_domain::NodeName;
use muster_proto::v1::{self, agent_service_client::AgentServiceClient};
use rcgen::{CertificateParams, KeyPair, SanType};
use sqlx::PgPool;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{Code, Status, transport::Channel};

/// Makes every call of the protocol but Enrol, and gives back how each was refused.
async fn every_call(channel: Channel) -> Vec<(&'static str, Option<Status>)> {
    let mut agent = AgentServiceClient::new(channel.clone());
    let mut enrolment = v1::enrolment_service_client::EnrolmentServiceClient::new(channel);
    let digest = vec![0; 32];
    let fetch = v1::FetchObjectsRequest { artifact_digest: digest.clone(), digests: vec![digest.clone()] };
    vec![
        (
            "Renew",
            soon(enrolment.renew(v1::RenewRequest { csr_der: csr(&KeyPair::generate().unwrap()) }))
                .await
                .err(),
        ),
        ("Watch", soon(agent.watch(v1::WatchRequest {})).await.err()),
        ("GetAssignment", soon(agent.get_assignment(v1::GetAssignmentRequest::default())).await.err()),
        ("Heartbeat", soon(agent.heartbeat(v1::HeartbeatRequest::default())).await.err()),
        ("SendReports", soon(agent.send_reports(v1::SendReportsRequest::default())).await.err()),
        (
            "GetManifest",
            soon(agent.get_manifest(v1::GetManifestRequest { artifact_digest: digest })).await.err(),
        ),
        ("FetchObjects", soon(agent.fetch_objects(fetch)).await.err()),
        (
            "IssueCertificate",
            soon(agent.issue_certificate(v1::IssueCertificateRequest::default())).await.err(),
        ),
        ("SendLogs", soon(agent.send_logs(tokio_stream::iter([v1::LogBatch::default()]))).await.err()),
    ]
}

#[sqlx::test(migrations = "../migrations")]
async fn without_a_certificate_nothing_but_enrolment_is_answered(pool: PgPool) {
    let controller = Controller::start(pool).await;
    for (call, refusal) in every_call(controller.channel(None)).await {
        let refusal = refusal.unwrap_or_else(|| panic!("{call} was answered"));
        assert_eq!(refusal.code(), Code::Unauthenticated, "{call}");
        assert_eq!(code(&refusal), "certificate_missing", "{call}");
        assert!(refusal.message().contains("muster-agent join"), "{call}: {}", refusal.message());
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_call_that_does_not_exist_is_protected_as_well(pool: PgPool) {
    let controller = Controller::start(pool).await;
    let mut grpc = tonic::client::Grpc::new(controller.channel(None));
    soon(grpc.ready()).await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/muster.agent.v1.EnrolmentService/enrol");
    let codec = tonic_prost::ProstCodec::<v1::RenewRequest, v1::RenewResponse>::default();
    let request = tonic::Request::new(v1::RenewRequest::default());
    let refusal = soon(grpc.unary(request, path, codec)).await.unwrap_err();
    assert_eq!(refusal.code(), Code::Unauthenticated);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_certificate_of_another_fleet_opens_no_connection(pool: PgPool) {
    let controller = Controller::start(pool).await;
    let host = controller.join("web-1").await;
    let folder = tempfile::tempdir().unwrap();
    let (other, _) =
        muster_identity::FleetIdentity::open_or_create(folder.path(), chrono::Utc::now()).unwrap();
    let name = NodeName::parse("web-1").unwrap();
    let issued =
        other.ca.issue_node_certificate(&csr(&host.key), host.node, &name, chrono::Utc::now()).unwrap();
    let chain = issued.chain_der.into_iter().map(Into::into).collect();
    let foreign = Host {
        chain,
        key: KeyPair::from_pem(&host.key.serialize_pem()).unwrap(),
        root: host.root.clone(),
        ..host
    };
    for (call, refusal) in every_call(controller.channel(Some(&foreign))).await {
        let refusal = refusal.unwrap_or_else(|| panic!("{call} was answered"));
        // The connection never came about, so the reason is a transport error and not an answer.
        assert_eq!(code(&refusal), "", "{call}: {refusal}");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_certificate_that_was_not_issued_here_is_refused_with_a_reason(pool: PgPool) {
    let controller = Controller::start(pool).await;
    let host = controller.join("web-1").await;
    // Signed by our own issuer, and not in the database: what a restored backup makes of a node.
    let name = NodeName::parse("web-1").unwrap();
    let ca = &controller.app.identity().ca;
    let issued = ca.issue_node_certificate(&csr(&host.key), host.node, &name, chrono::Utc::now()).unwrap();
    let chain = issued.chain_der.into_iter().map(Into::into).collect();
    let unknown = Host {
        chain,
        key: KeyPair::from_pem(&host.key.serialize_pem()).unwrap(),
        root: host.root.clone(),
        ..host
    };
    for (call, refusal) in every_call(controller.channel(Some(&unknown))).await {
        assert_eq!(code(&refusal.unwrap()), "certificate_unknown", "{call}");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn another_nodes_id_in_a_field_has_no_effect(pool: PgPool) {
    let controller = Controller::start(pool).await;
    let (own, other) = (controller.join("web-1").await, controller.join("web-2").await);
    let mut params = CertificateParams::default();
    let uri = muster_identity::peer::node_uri(controller.app.identity().ca.fleet_id(), other.node);
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    let csr_der = params.serialize_request(&own.key).unwrap().der().to_vec();
    let renewed =
        soon(controller.enrolment(&own).renew(v1::RenewRequest { csr_der })).await.unwrap().into_inner();
    let certificate = &renewed.identity.unwrap().certificate_chain_der[0];
    let fleet = controller.app.identity().ca.fleet_id();
    assert_eq!(muster_identity::PeerNode::from_certificate(certificate, fleet).unwrap().node_id, own.node);

    let assignment = |host| {
        let mut agent = controller.agent(host);
        async move { soon(agent.get_assignment(v1::GetAssignmentRequest::default())).await.unwrap().into_inner() }
    };
    assert_eq!(assignment(&own).await.assignment.unwrap().node_id, own.node.as_uuid().as_bytes());
    assert_eq!(assignment(&other).await.assignment.unwrap().node_id, other.node.as_uuid().as_bytes());
}

#[sqlx::test(migrations = "../migrations")]
async fn a_revocation_cuts_an_open_watch_at_once_and_keeps_the_node_out(pool: PgPool) {
    let controller = Controller::start(pool).await;
    let (host, other) = (controller.join("web-1").await, controller.join("web-2").await);
    let mut watch = soon(controller.agent(&host).watch(v1::WatchRequest {})).await.unwrap().into_inner();
    let mut others = soon(controller.agent(&other).watch(v1::WatchRequest {})).await.unwrap().into_inner();
    soon(watch.next()).await.unwrap().unwrap();
    soon(others.next()).await.unwrap().unwrap();

    controller.app.node_revoke(&admin(), &NodeName::parse("web-1").unwrap()).await.unwrap();
    // Not with the next beat, not with the next keep-alive: a hint cannot come any more.
    let cut = soon(async { while let Some(Ok(_)) = watch.next().await {} });
    cut.await;
    for (call, refusal) in every_call(controller.channel(Some(&host))).await {
        assert!(refusal.is_some(), "{call} was answered");
    }
    // Nobody else is disturbed.
    controller.app.hints().send(other.node, muster_app::NodeHint::ConvergeNow);
    let hint = soon(others.next()).await.unwrap().unwrap();
    assert!(matches!(hint.hint, Some(v1::hint::Hint::ConvergeNow(_))), "{hint:?}");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_connection_does_not_outlive_its_certificate(pool: PgPool) {
    let life = muster_identity::ca::NODE_LIFE;
    let controller =
        Controller::start_at(pool, chrono::Utc::now() - life + chrono::TimeDelta::seconds(4)).await;
    let host = controller.join("web-1").await;
    controller.catch_up();
    let mut watch = soon(controller.agent(&host).watch(v1::WatchRequest {})).await.unwrap().into_inner();
    soon(watch.next()).await.unwrap().unwrap();
    soon(async { while let Some(Ok(_)) = watch.next().await {} }).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn what_is_not_our_protocol_does_not_stop_the_listener(pool: PgPool) {
    let controller = Controller::start(pool).await;
    let mut held = Vec::new();
    for probe in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &[0; 64], &[0x16, 3, 1, 0xff, 0xff], b""] {
        let mut stream = TcpStream::connect(controller.address).await.unwrap();
        stream.write_all(probe).await.unwrap();
        held.push(stream);
    }
    // Halves of handshakes are still open here; a real agent is served all the same.
    let host = controller.join("web-1").await;
    soon(controller.agent(&host).heartbeat(v1::HeartbeatRequest::default())).await.unwrap();
    // The probe in plain HTTP was hung up on, with a TLS alert at most.
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, held[0].read_to_end(&mut answer)).await.unwrap();
    assert!(read.is_err() || !answer.starts_with(b"HTTP"), "{answer:?}");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_message_that_is_too_long_is_refused_and_the_connection_stays_good(pool: PgPool) {
    let controller = Controller::start(pool).await;
    let host = controller.join("web-1").await;
    let mut agent = controller.agent(&host);
    let event =
        v1::NodeEvent { message: "x".repeat(muster_proto::MAX_MESSAGE_BYTES), ..v1::NodeEvent::default() };
    let reports = vec![v1::Report { report: Some(v1::report::Report::Event(event)) }];
    let refusal = soon(agent.send_reports(v1::SendReportsRequest { reports })).await.unwrap_err();
    assert!(matches!(refusal.code(), Code::OutOfRange | Code::ResourceExhausted), "{refusal}");

    let request = v1::EnrolRequest { csr_der: vec![0; 1_000_000], ..v1::EnrolRequest::default() };
    let refusal = soon(controller.strangers_enrolment().enrol(request)).await.unwrap_err();
    assert!(matches!(refusal.code(), Code::OutOfRange | Code::ResourceExhausted), "{refusal}");

    soon(agent.heartbeat(v1::HeartbeatRequest::default())).await.unwrap();
}

#[sqlx::test(migrations = "../migrations")]
async fn a_stop_ends_within_the_grace_although_a_watch_is_open(pool: PgPool) {
    let controller = Controller::start(pool).await;
    let host = controller.join("web-1").await;
    let mut watch = soon(controller.agent(&host).watch(v1::WatchRequest {})).await.unwrap().into_inner();
    soon(watch.next()).await.unwrap().unwrap();
    controller.shutdown.send(true).unwrap();
    soon(controller.serving).await.unwrap();
    soon(async { while let Some(Ok(_)) = watch.next().await {} }).await;
    TcpStream::connect(controller.address).await.expect_err("the port is closed");
}

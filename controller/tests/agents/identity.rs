//! Enrolment and renewal as a host sees them.

use crate::support::{Controller, Host, code, csr, enrol_request, soon};
use chrono::{TimeDelta, Utc};
use muster_domain::EnrolmentId;
use muster_identity::{JoinToken, Secret};
use muster_proto::v1;
use rcgen::KeyPair;
use sqlx::PgPool;
use tonic::Code;
use uuid::Uuid;

#[sqlx::test(migrations = "../migrations")]
async fn a_host_joins_and_gets_an_assignment_that_it_can_verify(pool: PgPool) {
    let controller = Controller::start(pool).await;
    let host = controller.join("web-1").await;
    assert_eq!(host.chain.len(), 2);
    assert_eq!(&host.root, controller.app.identity().ca.root());

    let answer =
        soon(controller.agent(&host).get_assignment(v1::GetAssignmentRequest::default())).await.unwrap();
    let signed = answer.into_inner().assignment.unwrap();
    let revision = muster_proto::convert::digest("revision", &signed.revision).unwrap();
    let generation = muster_domain::assignment::Generation::new(signed.generation);
    let statement = muster_proto::signing::assignment_statement(host.node, generation, &revision);
    assert!(muster_identity::signing::verify(&host.assignment_keys, &statement, &signed.signature));
    muster_proto::convert::decode_content(&signed.content).unwrap();

    // The same revision is not sent twice.
    let known =
        v1::GetAssignmentRequest { known_revision: signed.revision, known_generation: signed.generation };
    assert!(
        soon(controller.agent(&host).get_assignment(known)).await.unwrap().into_inner().assignment.is_none()
    );
}

#[sqlx::test(migrations = "../migrations")]
async fn every_unusable_token_is_refused_with_its_reason(pool: PgPool) {
    let controller = Controller::start(pool).await;
    let key = KeyPair::generate().unwrap();
    let token = controller.invite("web-1").await.unwrap();
    let mut client = controller.strangers_enrolment();
    let good = enrol_request(&token, &key);
    let unknown = JoinToken { id: EnrolmentId::from_uuid(Uuid::now_v7()), ..token.clone() };
    let wrong = JoinToken { secret: Secret::generate(), ..token.clone() };
    for (request, grpc, reason) in [
        (enrol_request(&unknown, &key), Code::Unauthenticated, "token_unknown"),
        (enrol_request(&wrong, &key), Code::Unauthenticated, "token_wrong_secret"),
        (
            v1::EnrolRequest { token_secret: "short".into(), ..good.clone() },
            Code::Unauthenticated,
            "token_wrong_secret",
        ),
        (
            v1::EnrolRequest { csr_der: b"rubbish".to_vec(), ..good.clone() },
            Code::InvalidArgument,
            "invalid_certificate_request",
        ),
        (v1::EnrolRequest::default(), Code::Unauthenticated, "token_wrong_secret"),
    ] {
        let refusal = soon(client.enrol(request)).await.unwrap_err();
        assert_eq!((refusal.code(), code(&refusal)), (grpc, reason), "{refusal}");
    }
    soon(client.enrol(good.clone())).await.unwrap();
    let refusal = soon(client.enrol(good)).await.unwrap_err();
    assert_eq!((refusal.code(), code(&refusal)), (Code::FailedPrecondition, "token_used"));
    assert!(refusal.message().contains("new invitation"), "{}", refusal.message());

    let late = controller.invite("web-2").await.unwrap();
    controller.clock.advance(TimeDelta::hours(1));
    let refusal = soon(client.enrol(enrol_request(&late, &key))).await.unwrap_err();
    assert_eq!((refusal.code(), code(&refusal)), (Code::Unauthenticated, "token_expired"));
}

#[sqlx::test(migrations = "../migrations")]
async fn a_node_that_slept_past_its_certificate_may_renew_it_and_nothing_else(pool: PgPool) {
    let controller = Controller::start_at(pool, Utc::now() - TimeDelta::days(9)).await;
    let host = controller.join("web-1").await;
    controller.catch_up();

    let refusal = soon(controller.agent(&host).heartbeat(v1::HeartbeatRequest::default())).await.unwrap_err();
    assert_eq!((refusal.code(), code(&refusal)), (Code::PermissionDenied, "certificate_expired"));
    let refusal = soon(controller.agent(&host).watch(v1::WatchRequest {})).await.unwrap_err();
    assert_eq!(code(&refusal), "certificate_expired");

    let another = v1::RenewRequest { csr_der: csr(&KeyPair::generate().unwrap()) };
    let refusal = soon(controller.enrolment(&host).renew(another)).await.unwrap_err();
    assert_eq!((refusal.code(), code(&refusal)), (Code::Unauthenticated, "key_not_bound"));

    let own = v1::RenewRequest { csr_der: csr(&host.key) };
    let renewed = soon(controller.enrolment(&host).renew(own)).await.unwrap().into_inner().identity.unwrap();
    let chain = renewed.certificate_chain_der.into_iter().map(Into::into).collect();
    let back = Host { chain, ..host };
    soon(controller.agent(&back).heartbeat(v1::HeartbeatRequest::default())).await.unwrap();
}

#[sqlx::test(migrations = "../migrations")]
async fn a_node_that_slept_past_the_grace_does_not_even_connect(pool: PgPool) {
    let controller = Controller::start_at(pool, Utc::now() - TimeDelta::days(32)).await;
    let host = controller.join("web-1").await;
    controller.catch_up();
    let own = v1::RenewRequest { csr_der: csr(&host.key) };
    let refusal = soon(controller.enrolment(&host).renew(own)).await.unwrap_err();
    assert_eq!(code(&refusal), "", "{refusal}");
    assert!(controller.peer(&host).expired(Utc::now()));
}

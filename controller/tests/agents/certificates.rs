//! Certificates for services of nodes: given for what the assignment says, refused for everything else.

use crate::support::{Controller, Host, code, csr, soon};
use chrono::{TimeDelta, Utc};
use muster_db::{Db, assignments::StoredAssignment};
use muster_domain::{
    Digest,
    assignment::{AssignmentContent, Generation},
    resource::{Certificate, DesiredState, Resource, ResourceKey},
};
use muster_proto::v1::{IssueCertificateRequest, IssueCertificateResponse};
use rcgen::KeyPair;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sqlx::PgPool;
use std::collections::BTreeMap;
use tonic::{Code, Status};

/// Assigns a certificate to a node, as a compile does.
async fn assign(controller: &Controller, pool: &PgPool, host: &Host, dns_names: &[&str]) {
    let certificate = Certificate {
        name: "db".into(),
        dns_names: dns_names.iter().map(|name| (*name).to_owned()).collect(),
        addresses: vec!["10.0.0.7".parse().unwrap()],
        key_path: "/etc/db/server.key".into(),
        certificate_path: "/etc/db/server.crt".into(),
        ca_path: None,
        owner: None,
        group: None,
    };
    let desired = DesiredState::Certificate(certificate);
    let mut conn = Db::from_pool(pool.clone()).conn().await.unwrap();
    let generation = muster_db::assignments::head(&mut conn, host.node)
        .await
        .unwrap()
        .map_or(Generation::NONE, |head| head.generation)
        .next();
    let content = AssignmentContent {
        resources: vec![Resource::new(ResourceKey::new("certificate", "db"), vec![], desired)],
    };
    let encoded = muster_proto::convert::encode_content(&content);
    let stored = StoredAssignment {
        node_id: host.node,
        generation,
        revision: Digest::from_bytes([u8::try_from(generation.get()).unwrap(); 32]),
        content_sealed: controller.app.identity().seal.seal("assignment", &host.node.to_string(), &encoded),
        signature: vec![0; 64],
        configuration_version: 1,
        compiled_at: Utc::now(),
        releases: BTreeMap::new(),
    };
    muster_db::assignments::put(&mut conn, &stored).await.unwrap();
}

async fn ask(
    controller: &Controller,
    host: &Host,
    key: &KeyPair,
    change: impl FnOnce(&mut IssueCertificateRequest),
) -> Result<IssueCertificateResponse, Status> {
    let mut request = IssueCertificateRequest {
        name: "db".into(),
        csr_der: csr(key),
        dns_names: vec!["db.internal".into()],
        addresses: vec!["10.0.0.7".into()],
    };
    change(&mut request);
    soon(controller.agent(host).issue_certificate(request)).await.map(tonic::Response::into_inner)
}

#[sqlx::test(migrations = "../migrations")]
async fn a_service_gets_a_certificate_that_the_root_vouches_for(pool: PgPool) {
    let controller = Controller::start(pool.clone()).await;
    let host = controller.join("db-1").await;
    assign(&controller, &pool, &host, &["db.internal"]).await;
    let key = KeyPair::generate().unwrap();
    let issued = ask(&controller, &host, &key, |_| {}).await.unwrap();
    assert_eq!(issued.root_der, host.root.to_vec());
    let chain: Vec<CertificateDer<'_>> =
        issued.certificate_chain_der.iter().map(|der| der.as_slice().into()).collect();

    let mut roots = rustls::RootCertStore::empty();
    roots.add(host.root.clone()).unwrap();
    let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(
        roots.into(),
        muster_identity::tls::provider(),
    )
    .build()
    .unwrap();
    let verify = |name: &'static str, at: chrono::DateTime<Utc>| {
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at.timestamp().unsigned_abs()));
        let name = ServerName::try_from(name).unwrap();
        rustls::client::danger::ServerCertVerifier::verify_server_cert(
            verifier.as_ref(),
            &chain[0],
            &chain[1..],
            &name,
            &[],
            at,
        )
        .is_ok()
    };
    let now = muster_app::Clock::now(controller.clock.as_ref());
    assert!(verify("db.internal", now) && verify("10.0.0.7", now));
    assert!(!verify("db.other", now) && !verify("db.internal", now + TimeDelta::days(8)));
}

#[sqlx::test(migrations = "../migrations")]
async fn names_and_certificates_of_others_are_refused(pool: PgPool) {
    let controller = Controller::start(pool.clone()).await;
    let (host, other) = (controller.join("db-1").await, controller.join("web-1").await);
    assign(&controller, &pool, &host, &["db.internal"]).await;
    let key = KeyPair::generate().unwrap();

    let refusal =
        ask(&controller, &host, &key, |r| r.dns_names.push("muster-controller".into())).await.unwrap_err();
    assert_eq!((refusal.code(), code(&refusal)), (Code::FailedPrecondition, "names_not_assigned"));
    assert!(refusal.message().contains("muster-controller"), "{}", refusal.message());
    let refusal = ask(&controller, &host, &key, |r| r.addresses = vec!["10.0.0.8".into()]).await.unwrap_err();
    assert_eq!(code(&refusal), "names_not_assigned");
    // The names are the node's, and the certificate is not.
    let refusal = ask(&controller, &other, &key, |_| {}).await.unwrap_err();
    assert_eq!(refusal.code(), Code::NotFound);
    let refusal = ask(&controller, &host, &key, |r| r.name = "redis".into()).await.unwrap_err();
    assert_eq!(refusal.code(), Code::NotFound);

    let refusal = ask(&controller, &host, &key, |r| r.csr_der = vec![1]).await.unwrap_err();
    assert_eq!((refusal.code(), code(&refusal)), (Code::InvalidArgument, "invalid_certificate_request"));
    let refusal = ask(&controller, &host, &key, |r| r.addresses = vec!["x".into()]).await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);

    // What is no longer assigned is no longer given.
    assign(&controller, &pool, &host, &["db2.internal"]).await;
    let refusal = ask(&controller, &host, &key, |_| {}).await.unwrap_err();
    assert_eq!(code(&refusal), "names_not_assigned");
    ask(&controller, &host, &key, |r| r.dns_names = vec!["db2.internal".into()]).await.unwrap();
}

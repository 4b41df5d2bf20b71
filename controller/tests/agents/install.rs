//! What hosts that are about to become nodes fetch from the listener for agents, as curl does it.

use crate::support::{Controller, Host, soon};
use http::StatusCode;
use muster_identity::{JoinToken, tls};
use muster_proto::{signing::programs_statement, v1};
use reqwest::{Client, Response, header};
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use std::fs;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const PROGRAMS: [&str; 4] = ["muster-agent", "muster-supervisor", "muster-keeper", "muster-pm2"];

/// What the beginning of a program for x86_64 looks like, and so many bytes.
fn program(bytes: usize) -> Vec<u8> {
    let mut content = b"\x7fELF\x02\x01\x01".to_vec();
    content.resize(18, 0);
    content.extend(62_u16.to_le_bytes());
    while content.len() < bytes {
        content.extend(content.len().to_le_bytes());
    }
    content.truncate(bytes);
    content
}

/// Trusts the fleet's root alone, and says these protocols.
fn config(controller: &Controller, protocols: &[&[u8]]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(controller.app.identity().ca.root().clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config
}

/// A tool that fetches files. Like curl, it could do HTTP/2 as well.
fn tool(controller: &Controller) -> Client {
    let config = config(controller, &[tls::HTTP_2, tls::HTTP_1_1]);
    Client::builder()
        .tls_backend_preconfigured(config)
        .resolve("localhost", controller.address)
        .build()
        .unwrap()
}

fn url(controller: &Controller, path: &str) -> String {
    format!("https://localhost:{}/install/{path}", controller.address.port())
}

async fn get(controller: &Controller, path: &str) -> Response {
    soon(tool(controller).get(url(controller, path)).send()).await.unwrap()
}

fn put(controller: &Controller, bytes: usize) {
    fs::create_dir_all(&controller.programs).unwrap();
    for name in PROGRAMS {
        fs::write(controller.programs.join(name), program(bytes)).unwrap();
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_host_gets_the_root_that_its_token_names_and_then_all_it_needs(pool: PgPool) {
    let controller = Controller::start(pool).await;
    put(&controller, 3_000_000);
    let token = controller.invite("app-1").await.unwrap();
    let root = get(&controller, "root.der").await.bytes().await.unwrap();
    assert_eq!(
        <[u8; 32]>::from(Sha256::digest(&root)),
        JoinToken::parse(&token.reveal()).unwrap().root_sha256
    );

    let script = get(&controller, "install.sh").await.text().await.unwrap();
    assert!(script.starts_with("#!/bin/sh\n") && script.ends_with("\nmain \"$@\"\n"));

    let manifest = get(&controller, "manifest").await.text().await.unwrap();
    let digest = hex::encode(Sha256::digest(program(3_000_000)));
    assert!(manifest.contains(&format!("program x86_64 muster-keeper 3000000 {digest}\n")), "{manifest}");
    let signature = get(&controller, "manifest.sig").await.text().await.unwrap();
    let signature = hex::decode(signature.trim()).unwrap();
    let keys = controller.app.identity().signer.public_keys();
    assert!(muster_identity::signing::verify(&keys, &programs_statement(manifest.as_bytes()), &signature));

    let answer = get(&controller, "x86_64/muster-agent").await;
    assert_eq!(answer.headers()[header::CONTENT_LENGTH], "3000000");
    let etag = answer.headers()[header::ETAG].clone();
    assert_eq!(etag, format!("\"{digest}\""));
    assert_eq!(answer.bytes().await.unwrap(), program(3_000_000));
    let again = tool(&controller).get(url(&controller, "x86_64/muster-agent"));
    let again = soon(again.header(header::IF_NONE_MATCH, etag).send()).await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert!(again.bytes().await.unwrap().is_empty());
}

#[sqlx::test(migrations = "../migrations")]
async fn there_is_nothing_else_and_agents_are_served_as_before(pool: PgPool) {
    let controller = Controller::start(pool).await;
    for path in ["manifest", "manifest.sig", "x86_64/muster-agent"] {
        let answer = get(&controller, path).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        let text = answer.text().await.unwrap();
        assert!(text.contains("muster-controller doctor"), "{text}");
        let folder = controller.programs.to_str().unwrap();
        assert!(!text.contains(folder), "where files lie is nobody's business");
    }
    put(&controller, 100);
    fs::write(controller.programs.join("secret"), program(100)).unwrap();
    for path in [
        "",
        "x86_64",
        "x86_64/secret",
        "x86_64/..%2fsecret",
        "aarch64/muster-agent",
        "../muster.agent.v1.EnrolmentService/Enrol",
        "../api/v1/nodes",
        "../",
    ] {
        assert_eq!(get(&controller, path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let posted = soon(tool(&controller).post(url(&controller, "manifest")).send()).await.unwrap();
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);

    let host: Host = controller.join("app-1").await;
    let answer = soon(controller.agent(&host).get_assignment(v1::GetAssignmentRequest::default())).await;
    assert!(answer.unwrap().into_inner().assignment.is_some());
}

#[sqlx::test(migrations = "../migrations")]
async fn programs_that_are_replaced_are_handed_out_anew(pool: PgPool) {
    let controller = Controller::start(pool).await;
    put(&controller, 100);
    let before = get(&controller, "manifest").await.text().await.unwrap();
    let new = controller.programs.join("new");
    fs::write(&new, program(200)).unwrap();
    fs::rename(&new, controller.programs.join("muster-agent")).unwrap();
    assert_eq!(get(&controller, "x86_64/muster-agent").await.bytes().await.unwrap(), program(200));
    assert_ne!(get(&controller, "manifest").await.text().await.unwrap(), before);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_request_that_is_no_http_is_refused_and_the_listener_goes_on(pool: PgPool) {
    let controller = Controller::start(pool).await;
    put(&controller, 100);
    // Like wget, it says nothing about protocols.
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config(&controller, &[])));
    for nonsense in [b"\x00\xff\x00\xff\r\n\r\n".to_vec(), vec![b'a'; 100_000]] {
        let tcp = TcpStream::connect(controller.address).await.unwrap();
        let mut stream = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
        // It may hang up before it has read everything.
        drop(stream.write_all(&nonsense).await);
        let mut answer = Vec::new();
        drop(soon(stream.read_to_end(&mut answer)).await);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(get(&controller, "manifest").await.status(), StatusCode::OK);
}

//! Uploads: bundles, manifests, releases; and what is tried with them.

use crate::world::{Answer, World, request};
use axum::{
    body::Body,
    http::{Method, StatusCode, header},
};
use muster_artifact::{BundleObject, Digest, Entry, EntryKind, Manifest, digest_of, write_bundle};
use muster_domain::user::UserRole;
use serde_json::json;
use sqlx::PgPool;

fn bundle(contents: &[&[u8]]) -> Vec<u8> {
    let objects = contents.iter().map(|content| {
        Ok(BundleObject { digest: digest_of(content), size_bytes: content.len() as u64, reader: *content })
    });
    write_bundle(Vec::new(), 3, objects).unwrap().0
}

fn manifest(contents: &[(&str, &[u8])]) -> Manifest {
    let entries = contents.iter().map(|(path, content)| Entry {
        path: (*path).to_owned(),
        kind: EntryKind::File {
            digest: digest_of(content),
            size_bytes: content.len() as u64,
            executable: false,
        },
    });
    Manifest::new(entries.collect()).unwrap()
}

async fn put(world: &World, path: &str, kind: &str, body: Vec<u8>) -> Answer {
    let mut request = request(Method::PUT, path, Some(world.token(UserRole::Deployer)), None);
    request.headers_mut().insert(header::CONTENT_TYPE, kind.parse().unwrap());
    *request.body_mut() = Body::from(body);
    world.send(request).await
}

async fn put_bundle(world: &World, body: Vec<u8>) -> Answer {
    put(world, "/api/v1/artifacts/objects", "application/zstd", body).await
}

async fn put_manifest(world: &World, digest: Digest, body: Vec<u8>) -> Answer {
    put(world, &format!("/api/v1/artifacts/manifests/{digest}"), "application/json", body).await
}

#[sqlx::test(migrations = "../migrations")]
async fn a_release_is_uploaded_by_content_and_never_changes(pool: PgPool) {
    let world = World::new(pool).await;
    world.declare().await;
    let (script, asset): (&[u8], &[u8]) = (b"require('http')", b"hello");
    let tree = manifest(
        &[("public/hello.txt", asset), ("server.js", script)]
            .map(|(path, content)| (path.rsplit('/').next().unwrap(), content)),
    );
    let digests = json!({ "digests": [digest_of(script).to_string(), digest_of(asset).to_string()] });
    let missing =
        || world.ask(UserRole::Deployer, Method::POST, "/api/v1/artifacts/missing", Some(digests.clone()));
    assert_eq!(missing().await.json()["missing"].as_array().unwrap().len(), 2);

    let early = put_manifest(&world, tree.digest(), tree.encode()).await;
    assert_eq!(early.problem(), (409, "objects_missing".into()));
    let stored = put_bundle(&world, bundle(&[script, asset])).await;
    assert_eq!(stored.json(), json!({ "stored": 2, "bytes": script.len() + asset.len() }));
    assert_eq!(missing().await.json()["missing"], json!([]));
    let other = put_manifest(&world, digest_of(b"other"), tree.encode()).await;
    assert_eq!(other.problem(), (422, "digest_mismatch".into()));
    let artifact = put_manifest(&world, tree.digest(), tree.encode()).await;
    assert_eq!(artifact.status, StatusCode::OK, "{:?}", artifact.body);
    assert_eq!(artifact.json()["file_count"], 2);

    let create = |application: &str, digest: Digest| {
        let path = format!("/api/v1/applications/{application}/releases");
        let body = json!({ "version": "v1", "artifact_digest": digest.to_string(),
            "git": { "commit": "a".repeat(40), "branch": "main", "dirty": false } });
        let world = &world;
        async move { world.ask(UserRole::Deployer, Method::POST, &path, Some(body)).await }
    };
    let created = create("web", tree.digest()).await;
    assert_eq!(created.status, StatusCode::CREATED, "{:?}", created.body);
    assert_eq!(
        create("web", tree.digest()).await.json()["id"],
        created.json()["id"],
        "the same again is the same"
    );
    assert_eq!(create("api", tree.digest()).await.problem(), (404, "not_found".into()));
    assert_eq!(create("web", digest_of(b"no such artifact")).await.problem(), (409, "release_exists".into()));
    let listed = world.get("/api/v1/applications/web/releases").await.json();
    assert_eq!(listed["items"][0]["git"]["branch"], "main");
    assert_eq!(world.get("/api/v1/applications/web/releases/v2").await.problem(), (404, "not_found".into()));
}

#[sqlx::test(migrations = "../migrations")]
async fn damaged_and_hostile_uploads_are_refused_whole(pool: PgPool) {
    let world = World::new(pool).await;
    let good: &[u8] = &[7; 100_000];
    let mut damaged = bundle(&[b"first", good]);
    let cut = damaged[..damaged.len() - 20].to_vec();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x55;
    let mut liar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_path(digest_of(b"promised").to_string()).unwrap();
    header.set_size(5);
    header.set_cksum();
    liar.append(&header, &b"other"[..]).unwrap();
    let liar = zstd::encode_all(&liar.into_inner().unwrap()[..], 3).unwrap();
    for (name, body) in [
        ("nothing", Vec::new()),
        ("not zstd", b"PK\x03\x04 not a bundle".to_vec()),
        ("cut", cut),
        ("damaged", damaged),
        ("other content", liar),
    ] {
        let answer = put_bundle(&world, body).await;
        assert_eq!(answer.problem(), (422, "invalid_bundle".into()), "{name}: {:?}", answer.body);
    }
    assert!(!world.app.objects().has(digest_of(b"first")), "nothing of a bad bundle is kept");
    let wrong = put(&world, "/api/v1/artifacts/objects", "application/gzip", bundle(&[])).await;
    assert_eq!(wrong.problem(), (415, "unsupported_media_type".into()));

    for text in [
        r#"{"format":1,"entries":[{"path":"../x","kind":"directory"}]}"#,
        r#"{"format":1,"entries":[{"path":"/etc","kind":"directory"}]}"#,
        r#"{"format":1,"entries":[{"path":"l","kind":{"symlink":{"target":"../../etc"}}}]}"#,
        r#"{"format":2,"entries":[]}"#,
        r#"{"format":1,"entries":[],"more":1}"#,
        "[]",
    ] {
        let answer = put_manifest(&world, digest_of(text.as_bytes()), text.as_bytes().to_vec()).await;
        assert_eq!(answer.problem(), (422, "invalid_manifest".into()), "{text}: {:?}", answer.body);
    }
    let too_many = json!({ "digests": vec!["0".repeat(64); 20_001] });
    let answer =
        world.ask(UserRole::Deployer, Method::POST, "/api/v1/artifacts/missing", Some(too_many)).await;
    assert_eq!(answer.problem(), (422, "too_many".into()));
}

//! Making releases.

use super::fake::*;
use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};

use axum::response::IntoResponse;
use muster_artifact::{Digest, ObjectSink, Wanted, read_bundle};
use serde_json::{Value, json};

#[derive(Default)]
struct Objects(BTreeMap<Digest, Vec<u8>>);

impl ObjectSink for Objects {
    type Pending = Vec<u8>;

    fn begin(&mut self, _: Digest, _: u64) -> std::io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn commit(&mut self, digest: Digest, pending: Vec<u8>) -> std::io::Result<()> {
        self.0.insert(digest, pending);
        Ok(())
    }
}

fn release(version: &Value, digest: &Value) -> Value {
    json!({
        "id": "00000000-0000-0000-0000-000000000003", "application": "web", "version": version,
        "artifact_digest": digest, "file_count": 2, "total_bytes": 10, "git": null, "build_command": null,
        "created_by": "amara", "created_at": "2026-01-01T00:00:00Z", "target_of": []
    })
}

/// A controller that keeps what is uploaded.
fn accept_release(controller: &FakeController) -> Arc<Mutex<Objects>> {
    let objects = Arc::new(Mutex::new(Objects::default()));
    let store = objects.clone();
    controller.on("POST /artifacts/missing", move |request| {
        let mut missing = request.json()["digests"].as_array().unwrap().clone();
        missing.retain(|digest| {
            !store.lock().unwrap().0.contains_key(&digest.as_str().unwrap().parse().unwrap())
        });
        axum::Json(json!({ "missing": missing })).into_response()
    });
    let store = objects.clone();
    let mut first = true;
    controller.on("PUT /artifacts/objects", move |request| {
        if std::mem::take(&mut first) {
            return problem(503, "unavailable", "the controller restarts");
        }
        let stored = read_bundle(&request.body[..], &Wanted::any(), &mut *store.lock().unwrap()).unwrap();
        axum::Json(json!({ "stored": stored.objects, "bytes": stored.bytes })).into_response()
    });
    controller.on("PUT /artifacts/manifests/*", |request| {
        let digest = request.path.rsplit('/').next().unwrap();
        let manifest = muster_artifact::Manifest::parse(&request.body).unwrap();
        assert_eq!(manifest.digest().to_string(), digest);
        let artifact = json!({
            "digest": digest, "file_count": manifest.file_count(), "total_bytes": manifest.total_bytes()
        });
        axum::Json(artifact).into_response()
    });
    let mut known: BTreeMap<String, Value> = BTreeMap::new();
    controller.on("POST /applications/web/releases", move |request| {
        let body = request.json();
        let version = body["version"].as_str().unwrap().to_owned();
        if known.contains_key(&version) {
            return problem(409, "conflict", "there is a release of this version");
        }
        known.insert(version, body.clone());
        axum::Json(release(&body["version"], &body["artifact_digest"])).into_response()
    });
    objects
}

#[test]
fn a_release_is_built_packed_and_uploaded_only_once() {
    let controller = FakeController::start();
    let objects = accept_release(&controller);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("server.js"), "serve()").unwrap();
    fs::write(folder.path().join(".env"), "SECRET=1").unwrap();
    let path = folder.path().to_str().unwrap();
    let person = Person::of(&controller);
    let build = "echo built > out.txt; echo noise; pwd >&2; env >&2";
    let create = ["release", "create", "web", "--dir", path, "--build", build, "--version", "v1"];

    let ran = person.run(&create).exits(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let [line] = lines[..] else { panic!("only the result is on standard output: {lines:?}") };
    let (version, digest) = line.split_once(' ').unwrap();
    assert_eq!((version, digest.len()), ("v1", 64));
    assert!(ran.stderr.contains("noise") && ran.stderr.contains("left out .env"), "{}", ran.stderr);
    assert!(
        !ran.stderr.contains("muster_api_test"),
        "a build has no business with our token: {}",
        ran.stderr
    );
    let contents: Vec<Vec<u8>> = objects.lock().unwrap().0.values().cloned().collect();
    assert!(contents.contains(&b"serve()".to_vec()) && contents.contains(&b"built\n".to_vec()));
    assert_eq!(contents.len(), 2, "secrets stay at home");
    assert_eq!(controller.seen("PUT /artifacts/objects").len(), 2, "a restart of the controller is sat out");

    // The same again: nothing is uploaded, and the release that is there is the answer.
    let answer = release(&json!("v1"), &json!(digest));
    controller.on_json("GET /applications/web/releases/v1", answer);
    assert_eq!(person.run(&create).exits(0).stdout, ran.stdout);
    assert_eq!(controller.seen("PUT /artifacts/objects").len(), 2);

    // Other content under the same version is refused, also when only the content of one file differs.
    fs::write(folder.path().join("server.js"), "serve(2)").unwrap();
    person.run(&create).exits(3);

    // Without a version, outside of git, the digest gives the name; without --build, the fleet configuration the build.
    controller
        .on_json("GET /applications/web", json!({"declaration": {"build": "echo declared > declared.txt"}}));
    let ran = person.run(&["release", "create", "web", "--dir", path, "-o", "json"]).exits(0);
    let made = ran.json();
    assert!(made["artifact_digest"].as_str().unwrap().starts_with(made["version"].as_str().unwrap()));
    assert_eq!(fs::read_to_string(folder.path().join("declared.txt")).unwrap(), "declared\n");
}

#[test]
fn a_release_that_cannot_be_made_uploads_nothing() {
    let controller = FakeController::start();
    let person = Person::of(&controller);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let ran = person.run(&["release", "create", "web", "--dir", path, "--no-build"]).exits(1);
    assert!(ran.stderr.contains("holds nothing to pack"), "{}", ran.stderr);
    let ran = person.run(&["release", "create", "web", "--dir", path, "--build", "exit 7"]).exits(1);
    assert!(ran.stderr.contains("the build failed") && ran.stderr.contains('7'), "{}", ran.stderr);
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
    let ran = person.run(&["release", "create", "web", "--dir", path, "--no-build"]).exits(1);
    assert!(ran.stderr.contains("link") && ran.stderr.contains("/etc/passwd"), "{}", ran.stderr);
    person.run(&["release", "create", "web", "--dir", path, "--version", "not a version"]).exits(2);
    assert!(controller.shared.lock().unwrap().seen.is_empty());
}

//! Whom the binary believes to be the controller.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use serde_json::json;
use sha2::{Digest, Sha256};

/// A controller whose certificate comes from an authority that no system knows.
struct TlsController {
    url: String,
    root_pem: String,
    root_sha256: String,
    /// Requests that were read: what a stranger must never get.
    requests: Arc<AtomicUsize>,
}

impl TlsController {
    fn start(name: &str) -> Self {
        let root_key = KeyPair::generate().unwrap();
        let mut root = CertificateParams::new(Vec::new()).unwrap();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_certificate = root.self_signed(&root_key).unwrap();
        let issuer = Issuer::from_params(&root, &root_key);
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone(), root_certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let controller = Self {
            url: format!("https://{}", listener.local_addr().unwrap()),
            root_pem: root_certificate.pem(),
            root_sha256: hex::encode(Sha256::digest(root_certificate.der())),
            requests: requests.clone(),
        };
        let config = Arc::new(config);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let connection = rustls::ServerConnection::new(config.clone()).unwrap();
                // A client that does not trust us breaks off; the next one may.
                drop(serve(rustls::StreamOwned::new(connection, stream), &requests));
            }
        });
        controller
    }
}

fn serve(
    stream: rustls::StreamOwned<rustls::ServerConnection, std::net::TcpStream>,
    requests: &AtomicUsize,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    requests.fetch_add(1, Ordering::SeqCst);
    let (mut header, mut length) = (String::new(), 0);
    while reader.read_line(&mut header)? > 2 {
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        header.clear();
    }
    std::io::copy(&mut Read::by_ref(&mut reader).take(length), &mut std::io::sink())?;
    let body = if line.starts_with("POST /api/v1/tokens") {
        let token = json!({
            "id": "00000000-0000-0000-0000-000000000009", "name": "x", "username": "amara",
            "created_at": "2026-01-01T00:00:00Z", "expires_at": null, "last_used_at": null, "revoked_at": null
        });
        json!({ "token": token, "secret": "muster_api_kept" })
    } else {
        json!({ "items": [], "next_cursor": null })
    };
    let body = body.to_string();
    write!(
        reader.get_mut(),
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nset-cookie: muster_session=a\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let stream = reader.get_mut();
    stream.conn.send_close_notify();
    stream.flush()
}

struct Person {
    home: tempfile::TempDir,
}

impl Person {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    /// The exit code and what was said.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.args(arguments).env_clear().env("HOME", self.home.path());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdin.take().unwrap().write_all(b"password\n"));
        let output = child.wait_with_output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    fn login(&self, controller: &TlsController, trust: &[&str]) -> (i32, String) {
        let mut arguments = vec!["login", &controller.url, "--username", "amara", "--password-stdin"];
        arguments.extend_from_slice(trust);
        self.run(&arguments)
    }

    fn file(&self, content: &str) -> PathBuf {
        let path = self.home.path().join("ca.pem");
        std::fs::write(&path, content).unwrap();
        path
    }
}

#[test]
fn a_stranger_is_told_nothing_and_its_fingerprint_is_shown() {
    let controller = TlsController::start("127.0.0.1");
    let (code, said) = Person::new().login(&controller, &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("is not trusted") && said.contains(&controller.root_sha256), "{said}");
    assert_eq!(controller.requests.load(Ordering::SeqCst), 0, "no password was sent");
}

#[test]
fn a_pinned_authority_is_trusted_from_then_on() {
    let controller = TlsController::start("127.0.0.1");
    let person = Person::new();
    let wrong = "ab".repeat(32);
    let (code, said) = person.login(&controller, &["--ca-sha256", &wrong]);
    assert!(code == 1 && said.contains(&controller.root_sha256), "{said}");
    assert_eq!(controller.requests.load(Ordering::SeqCst), 0);

    let (code, said) = person.login(&controller, &["--ca-sha256", &controller.root_sha256]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = person.run(&["node", "list"]);
    assert_eq!(code, 0, "{said}");

    // Another server under the same name, with an authority of its own.
    let impostor = TlsController::start("127.0.0.1");
    let (code, said) = person.run(&["--url", &impostor.url, "node", "list"]);
    assert_ne!(code, 0, "{said}");
    assert_eq!(impostor.requests.load(Ordering::SeqCst), 0);
}

#[test]
fn an_authority_from_a_file_is_trusted_for_its_own_servers_only() {
    let controller = TlsController::start("127.0.0.1");
    let person = Person::new();
    let file = person.file(&controller.root_pem);
    let trust = ["--ca-file", file.to_str().unwrap()];
    let (code, said) = person.login(&controller, &trust);
    assert_eq!(code, 0, "{said}");

    for stranger in [TlsController::start("127.0.0.1"), TlsController::start("other.example.com")] {
        let (code, said) = person.login(&stranger, &trust);
        assert!(code == 1 && said.contains("not trusted"), "{said}");
        assert_eq!(stranger.requests.load(Ordering::SeqCst), 0);
    }
    let (code, said) = person.login(&controller, &["--ca-file", "/missing.pem"]);
    assert!(code == 1 && said.contains("/missing.pem"), "{said}");
    let empty = person.file("");
    let (code, said) = person.login(&controller, &["--ca-file", empty.to_str().unwrap()]);
    assert!(code == 2 && said.contains("no certificate"), "{said}");
}

#[test]
fn the_name_in_the_certificate_must_be_that_of_the_url() {
    let controller = TlsController::start("other.example.com");
    let (code, said) = Person::new().login(&controller, &["--ca-sha256", &controller.root_sha256]);
    assert!(code == 1 && said.contains("other.example.com"), "{said}");
    assert_eq!(controller.requests.load(Ordering::SeqCst), 0);
}

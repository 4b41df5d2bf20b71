//! Real handshakes over an in-memory pipe.

use super::*;
use crate::{FleetIdentity, PeerNode, Serial};
use muster_domain::{NodeId, NodeName};
use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use rustls_pki_types::{PrivatePkcs8KeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use uuid::Uuid;

struct Fleet {
    identity: FleetIdentity,
    revocations: Revocations,
    config: Arc<ServerConfig>,
    serving: Arc<ServingCertificate>,
    _folder: tempfile::TempDir,
}

fn fleet() -> Fleet {
    let folder = tempfile::tempdir().unwrap();
    let (identity, _) =
        FleetIdentity::open_or_create(folder.path(), Utc::now() - TimeDelta::days(100)).unwrap();
    let serving = ServingCertificate::new(
        identity.ca.issue_server_certificate(&["localhost".into()], Utc::now()).unwrap(),
    )
    .unwrap();
    let revocations = Revocations::new([]);
    let config = agents_config(&identity.ca, serving.clone(), revocations.clone()).unwrap();
    Fleet { identity, revocations, config, serving, _folder: folder }
}

struct Node {
    id: NodeId,
    serial: Serial,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Fleet {
    fn node(&self, age: TimeDelta) -> Node {
        let key = KeyPair::generate().unwrap();
        let csr = CertificateParams::default().serialize_request(&key).unwrap();
        let id = NodeId::from_uuid(Uuid::now_v7());
        let name = NodeName::parse("web-1").unwrap();
        let issued = self.identity.ca.issue_node_certificate(csr.der(), id, &name, Utc::now() - age).unwrap();
        Node {
            id,
            serial: issued.serial,
            chain: issued.chain_der.into_iter().map(Into::into).collect(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }

    fn client(&self, node: Option<&Node>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.identity.ca.root().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match node {
            Some(node) => builder.with_client_auth_cert(node.chain.clone(), node.key.clone_key()).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }
}

/// What the server saw, or why it refused.
struct Seen {
    peer: Option<PeerNode>,
    kind: Option<HandshakeKind>,
    presented: Vec<CertificateDer<'static>>,
}

async fn connect(fleet: &Fleet, client: Arc<ClientConfig>) -> Result<Seen, String> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let config = fleet.config.clone();
    let server = tokio::spawn(async move {
        let mut stream = TlsAcceptor::from(config).accept(far).await?;
        stream.write_all(b"hello").await?;
        stream.shutdown().await?;
        Ok::<_, std::io::Error>(
            stream.get_ref().1.peer_certificates().map(|chain| chain[0].clone().into_owned()),
        )
    });
    let mut presented = Vec::new();
    let mut kind = None;
    if let Ok(mut stream) =
        TlsConnector::from(client).connect(ServerName::try_from("localhost").unwrap(), near).await
    {
        presented =
            stream.get_ref().1.peer_certificates().unwrap().iter().map(|c| c.clone().into_owned()).collect();
        kind = stream.get_ref().1.handshake_kind();
        let mut greeting = Vec::new();
        // A refusal of the client certificate arrives here in TLS 1.3; the server's own error is what is looked at.
        if stream.read_to_end(&mut greeting).await.is_ok() {
            assert_eq!(greeting, b"hello");
        }
    }
    match server.await.unwrap() {
        Ok(certificate) => {
            let peer =
                certificate.map(|c| PeerNode::from_certificate(&c, fleet.identity.ca.fleet_id()).unwrap());
            Ok(Seen { peer, kind, presented })
        }
        Err(error) => Err(error.to_string()),
    }
}

async fn refusal(fleet: &Fleet, node: &Node) -> String {
    match connect(fleet, fleet.client(Some(node))).await {
        Ok(_) => panic!("the connection was accepted"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_node_is_recognised_by_its_certificate() {
    let fleet = fleet();
    let node = fleet.node(TimeDelta::zero());
    let peer = connect(&fleet, fleet.client(Some(&node))).await.unwrap().peer.unwrap();
    assert_eq!((peer.node_id, &peer.serial), (node.id, &node.serial));
    assert!(!peer.expired(Utc::now()));
}

#[tokio::test]
async fn a_host_without_a_certificate_gets_a_connection_and_no_identity() {
    let fleet = fleet();
    let seen = connect(&fleet, fleet.client(None)).await.unwrap();
    assert!(seen.peer.is_none());
    // A host that knows only the fingerprint of the root finds the root in what is presented.
    assert_eq!(seen.presented.last(), Some(fleet.identity.ca.root()));
}

#[tokio::test]
async fn a_node_of_another_fleet_is_refused() {
    let (ours, theirs) = (fleet(), fleet());
    let foreign = theirs.node(TimeDelta::zero());
    // Issuers of two fleets have the same name and different keys.
    let error = refusal(&ours, &foreign).await;
    assert!(error.contains("BadSignature"), "{error}");
}

#[tokio::test]
async fn a_controller_cannot_pass_as_a_node() {
    let fleet = fleet();
    let server = fleet.identity.ca.issue_server_certificate(&["localhost".into()], Utc::now()).unwrap();
    let node = Node { chain: server.chain, key: server.key, ..fleet.node(TimeDelta::zero()) };
    let error = refusal(&fleet, &node).await;
    assert!(error.contains("extended key usage"), "{error}");
}

#[tokio::test]
async fn what_the_issuer_of_controllers_signed_is_not_a_node_however_it_is_worded() {
    let fleet = fleet();
    let read = |file: &str| std::fs::read_to_string(fleet.identity.folder().join(file)).unwrap();
    let issuer_key = KeyPair::from_pem(&read("controller-issuer.key")).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&read("controller-issuer.crt"), issuer_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let uri = crate::peer::node_uri(fleet.identity.ca.fleet_id(), NodeId::from_uuid(Uuid::now_v7()));
    params.subject_alt_names = vec![rcgen::SanType::URI(uri.try_into().unwrap())];
    let certificate = params.signed_by(&key, &issuer).unwrap().der().clone();
    let issuer = CertificateDer::from_pem_slice(read("controller-issuer.crt").as_bytes()).unwrap();
    for (chain, reason) in
        [(vec![certificate.clone()], "UnknownIssuer"), (vec![certificate, issuer], "extended key usage")]
    {
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let node = Node { chain, key, ..fleet.node(TimeDelta::zero()) };
        let error = refusal(&fleet, &node).await;
        assert!(error.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn an_issuer_is_not_a_node() {
    let fleet = fleet();
    let node = Node { chain: vec![fleet.identity.ca.node_issuer().clone()], ..fleet.node(TimeDelta::zero()) };
    // rustls would not even build a client that presents a certificate with another's key.
    let verifier = NodeVerifier::new(&fleet.identity.ca, fleet.revocations.clone(), RENEWAL_GRACE).unwrap();
    use rustls::server::danger::ClientCertVerifier as _;
    assert!(verifier.verify_client_cert(&node.chain[0], &[], rustls_pki_types::UnixTime::now()).is_err());
    for garbage in [&b""[..], b"rubbish", &[0x30; 2000]] {
        assert!(
            verifier
                .verify_client_cert(&CertificateDer::from(garbage), &[], rustls_pki_types::UnixTime::now())
                .is_err()
        );
    }
}

#[tokio::test]
async fn an_expired_certificate_connects_within_the_grace_period_and_is_known_as_expired() {
    let fleet = fleet();
    let slept = fleet.node(TimeDelta::days(30));
    let peer = connect(&fleet, fleet.client(Some(&slept))).await.unwrap().peer.unwrap();
    assert!(peer.node_id == slept.id && peer.expired(Utc::now()));

    let error = refusal(&fleet, &fleet.node(TimeDelta::days(32))).await;
    assert!(error.contains("Expired") || error.contains("expired"), "{error}");
}

#[tokio::test]
async fn the_grace_period_excuses_nothing_but_expiry() {
    let (ours, theirs) = (fleet(), fleet());
    assert!(connect(&ours, ours.client(Some(&theirs.node(TimeDelta::days(10))))).await.is_err());
    let slept = ours.node(TimeDelta::days(10));
    ours.revocations.add([slept.serial.clone()]);
    let error = refusal(&ours, &slept).await;
    assert!(error.contains("Revoked") || error.contains("revoked"), "{error}");
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_from_the_next_handshake_on() {
    let fleet = fleet();
    let (node, other) = (fleet.node(TimeDelta::zero()), fleet.node(TimeDelta::zero()));
    let client = fleet.client(Some(&node));
    connect(&fleet, client.clone()).await.unwrap();
    fleet.revocations.add([node.serial.clone()]);
    // The same client configuration: had the server given it a ticket, it would resume and come in.
    let error = connect(&fleet, client).await.err().unwrap();
    assert!(error.contains("Revoked") || error.contains("revoked"), "{error}");
    connect(&fleet, fleet.client(Some(&other))).await.unwrap();
}

#[tokio::test]
async fn sessions_are_never_resumed() {
    let fleet = fleet();
    let client = fleet.client(Some(&fleet.node(TimeDelta::zero())));
    for _ in 0..3 {
        let seen = connect(&fleet, client.clone()).await.unwrap();
        assert_ne!(seen.kind, Some(HandshakeKind::Resumed));
    }
}

#[tokio::test]
async fn a_server_certificate_can_be_exchanged_while_serving() {
    let fleet = fleet();
    let first = connect(&fleet, fleet.client(None)).await.unwrap().presented;
    fleet
        .serving
        .replace(fleet.identity.ca.issue_server_certificate(&["localhost".into()], Utc::now()).unwrap())
        .unwrap();
    let second = connect(&fleet, fleet.client(None)).await.unwrap().presented;
    assert_ne!(first[0], second[0]);
    assert_eq!(first[2], second[2]);
}

#[tokio::test]
async fn tls_1_2_is_not_spoken_to_agents() {
    let fleet = fleet();
    let mut roots = RootCertStore::empty();
    roots.add(fleet.identity.ca.root().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    assert!(connect(&fleet, Arc::new(client)).await.is_err());
}

#[test]
fn a_brought_certificate_is_checked_before_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate_path, key_path) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    let certified = rcgen::generate_simple_self_signed(vec!["muster.example".into()]).unwrap();
    files::write_new(&certificate_path, certified.cert.pem().as_bytes()).unwrap();
    files::write_new(&key_path, certified.signing_key.serialize_pem().as_bytes()).unwrap();
    let brought = brought_certificate(&certificate_path, &key_path, Utc::now()).unwrap();
    people_config(ServingCertificate::new(brought).unwrap()).unwrap();

    let late = Utc::now() + TimeDelta::days(400 * 365 * 10);
    let error = brought_certificate(&certificate_path, &key_path, late).unwrap_err().to_string();
    assert!(error.contains("ran out"), "{error}");

    files::replace(&key_path, KeyPair::generate().unwrap().serialize_pem().as_bytes()).unwrap();
    let error = brought_certificate(&certificate_path, &key_path, Utc::now()).unwrap_err().to_string();
    assert!(error.contains("does not fit"), "{error}");

    let error = brought_certificate(&key_path, &key_path, Utc::now()).unwrap_err().to_string();
    assert!(error.contains("no certificate"), "{error}");
}

//! The CA on disk, and what it issues.

use crate::{FleetIdentity, IdentityError, IssueError, PeerNode, ca};
use chrono::{DateTime, TimeDelta, Utc};
use muster_domain::{FleetId, NodeId, NodeName};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};
use sha2::{Digest as _, Sha256};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};
use uuid::Uuid;
use x509_parser::prelude::{FromDer as _, X509Certificate};

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 5_000_000).unwrap()
}

fn make(folder: &Path) -> FleetIdentity {
    FleetIdentity::open_or_create(folder, now()).unwrap().0
}

fn node() -> (NodeId, NodeName) {
    (NodeId::from_uuid(Uuid::now_v7()), NodeName::parse("web-1").unwrap())
}

fn csr(params: &CertificateParams, key: &KeyPair) -> Vec<u8> {
    params.serialize_request(key).unwrap().der().to_vec()
}

#[test]
fn a_fleet_is_made_once_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let (first, made) = FleetIdentity::open_or_create(folder.path(), now()).unwrap();
    assert!(made);
    let (second, made) = FleetIdentity::open_or_create(folder.path(), now() + TimeDelta::days(1)).unwrap();
    assert!(!made);
    assert_eq!(first.ca.fleet_id(), second.ca.fleet_id());
    assert_eq!(first.ca.root_sha256(), second.ca.root_sha256());
    assert_eq!(first.signer.public_keys(), second.signer.public_keys());
    assert!(second.seal.open("p", "r", &first.seal.seal("p", "r", b"x")).is_ok());

    let identity = folder.path().join("identity");
    assert_eq!(fs::metadata(&identity).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in fs::read_dir(&identity).unwrap() {
        let entry = entry.unwrap();
        let wanted = if entry.file_type().unwrap().is_dir() { 0o700 } else { 0o600 };
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, wanted, "{:?}", entry.path());
    }
}

#[test]
fn a_creation_that_was_interrupted_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let half = folder.path().join(".identity-partial-dead");
    fs::create_dir(&half).unwrap();
    fs::write(half.join("root.key"), "half").unwrap();
    make(folder.path());
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["identity"]);
}

#[test]
fn keys_that_others_may_read_are_refused() {
    for (file, mode) in
        [("node-issuer.key", 0o644), ("seal.keys", 0o640), ("assignment.keys", 0o604), ("", 0o755)]
    {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path());
        let path = folder.path().join("identity").join(file);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = FleetIdentity::open(folder.path()).unwrap_err();
        assert!(matches!(error, IdentityError::Exposed { .. }), "{file}: {error}");
        assert!(error.to_string().contains("chmod"), "{error}");
    }
}

#[test]
fn parts_that_do_not_belong_together_are_refused_by_name() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    make(ours.path());
    make(theirs.path());
    for file in
        ["root.crt", "node-issuer.crt", "node-issuer.key", "controller-issuer.key", "service-issuer.crt"]
    {
        let (from, to) = (theirs.path().join("identity").join(file), ours.path().join("identity").join(file));
        let kept = fs::read(&to).unwrap();
        fs::copy(from, &to).unwrap();
        let error = FleetIdentity::open(ours.path()).unwrap_err();
        assert!(matches!(error, IdentityError::Damaged { .. }), "{file}: {error}");
        fs::write(&to, b"").unwrap();
        assert!(matches!(FleetIdentity::open(ours.path()), Err(IdentityError::Damaged { .. })), "{file}");
        fs::write(&to, kept).unwrap();
    }
    FleetIdentity::open(ours.path()).unwrap();
    fs::remove_file(ours.path().join("identity/root.key")).unwrap();
    FleetIdentity::open(ours.path()).expect("the root key may lie elsewhere");
    fs::remove_file(ours.path().join("identity/seal.keys")).unwrap();
    let error = FleetIdentity::open(ours.path()).unwrap_err().to_string();
    assert!(error.contains("seal.keys"), "{error}");
}

#[test]
fn only_the_key_is_taken_from_a_request() {
    let folder = tempfile::tempdir().unwrap();
    let identity = make(folder.path());
    let (id, name) = node();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["evil.example".to_owned(), "10.0.0.1".to_owned()]).unwrap();
    let other = crate::peer::node_uri(identity.ca.fleet_id(), node().0);
    params.subject_alt_names.push(SanType::URI(other.try_into().unwrap()));
    params.distinguished_name.push(DnType::CommonName, "evil");
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::Any];

    let issued = identity.ca.issue_node_certificate(&csr(&params, &key), id, &name, now()).unwrap();
    let (_, parsed) = X509Certificate::from_der(&issued.chain_der[0]).unwrap();
    assert_eq!(parsed.subject().to_string(), "O=Muster, CN=web-1");
    assert!(!parsed.is_ca());
    let usage = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    let names = &parsed.subject_alternative_name().unwrap().unwrap().value.general_names;
    assert_eq!(names.len(), 1);

    let peer = PeerNode::from_certificate(&issued.chain_der[0], identity.ca.fleet_id()).unwrap();
    assert_eq!((peer.node_id, &peer.serial, peer.not_after), (id, &issued.serial, issued.not_after));
    assert_eq!(peer.public_key_sha256, issued.public_key_sha256);
    let raw: [u8; 32] = Sha256::digest(parsed.public_key().raw).into();
    assert_eq!(raw, issued.public_key_sha256);
    assert_eq!(issued.not_after - issued.not_before, ca::NODE_LIFE + ca::CLOCK_SKEW);
    assert_eq!(parsed.validity().not_before.timestamp(), issued.not_before.timestamp());

    let elsewhere = FleetId::from_uuid(Uuid::nil());
    assert_eq!(
        PeerNode::from_certificate(&issued.chain_der[0], elsewhere),
        Err(crate::NotANode::ForeignFleet)
    );
    assert_eq!(PeerNode::from_certificate(&issued.chain_der[1], elsewhere), Err(crate::NotANode::NoNode));
}

#[test]
fn unusable_requests_are_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let identity = make(folder.path());
    let (id, name) = node();
    let key = KeyPair::generate().unwrap();
    let good = csr(&CertificateParams::default(), &key);
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    let mut longer = good.clone();
    longer.push(0);
    for (what, bad) in [
        ("empty", vec![]),
        ("garbage", b"rubbish".to_vec()),
        ("huge", vec![0x30; 1_000_000]),
        ("forged", forged),
        ("longer", longer),
        ("cut", good[..good.len() - 1].to_vec()),
    ] {
        let error = identity.ca.issue_node_certificate(&bad, id, &name, now()).unwrap_err();
        assert!(matches!(error, IssueError::Request(_)), "{what}: {error}");
    }
    for algorithm in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let request = csr(&CertificateParams::default(), &key);
        identity.ca.issue_node_certificate(&request, id, &name, now()).unwrap();
    }
    let request =
        csr(&CertificateParams::default(), &KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap());
    assert!(matches!(
        identity.ca.issue_node_certificate(&request, id, &name, now()),
        Err(IssueError::Request(_))
    ));
}

#[test]
fn a_service_gets_the_names_that_it_is_given_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let identity = make(folder.path());
    let (_, name) = node();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let names = ["DB.internal".to_owned(), "db-1.internal".to_owned()];
    let addresses = ["10.0.0.7".parse().unwrap(), "fd00::7".parse().unwrap()];
    let issued =
        identity.ca.issue_service_certificate(&csr(&params, &key), &name, &names, &addresses, now()).unwrap();
    let (_, parsed) = X509Certificate::from_der(&issued.chain_der[0]).unwrap();
    assert!(!parsed.is_ca());
    assert_eq!(parsed.subject().to_string(), "O=Muster, CN=web-1");
    let usage = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && usage.server_auth && !usage.any);
    let found = &parsed.subject_alternative_name().unwrap().unwrap().value.general_names;
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found[0].contains("db.internal") && found[1].contains("db-1.internal"), "{found:?}");
    assert_eq!(issued.not_after - issued.not_before, ca::SERVICE_LIFE + ca::CLOCK_SKEW);
    let (_, issuer) = X509Certificate::from_der(&issued.chain_der[1]).unwrap();
    let (_, root) = X509Certificate::from_der(identity.ca.root()).unwrap();
    parsed.verify_signature(Some(issuer.public_key())).unwrap();
    issuer.verify_signature(Some(root.public_key())).unwrap();
    // It is no node: the agents' listener trusts another issuer, and it carries no id of one.
    assert_ne!(issued.chain_der[1], identity.ca.node_issuer().to_vec());
    assert!(PeerNode::from_certificate(&issued.chain_der[0], identity.ca.fleet_id()).is_err());
}

#[test]
fn no_service_passes_for_a_controller() {
    let folder = tempfile::tempdir().unwrap();
    let identity = make(folder.path());
    let (_, name) = node();
    let key = KeyPair::generate().unwrap();
    let request = csr(&CertificateParams::default(), &key);
    for reserved in ["muster-controller", "Muster-Controller", "a.muster-controller"] {
        let issued =
            identity.ca.issue_service_certificate(&request, &name, &[reserved.to_owned()], &[], now());
        assert!(matches!(issued, Err(IssueError::ReservedName(_))), "{reserved}");
    }

    // The issuer itself could not: whoever trusts the root refuses what it signed for that name.
    let read = |file: &str| fs::read_to_string(folder.path().join("identity").join(file)).unwrap();
    let issuer_key = KeyPair::from_pem(&read("service-issuer.key")).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&read("service-issuer.crt"), issuer_key).unwrap();
    let chain = identity.ca.issue_service_certificate(&request, &name, &["db".into()], &[], now()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(identity.ca.root().clone()).unwrap();
    let verifier =
        rustls::client::WebPkiServerVerifier::builder_with_provider(roots.into(), crate::tls::provider())
            .build()
            .unwrap();
    let passes = |dns_name: &'static str| {
        let mut params = CertificateParams::new(vec![dns_name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(2026, 1, 1), rcgen::date_time_ymd(2028, 1, 1));
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let at = std::time::Duration::from_secs(now().timestamp().unsigned_abs());
        rustls::client::danger::ServerCertVerifier::verify_server_cert(
            verifier.as_ref(),
            certificate.der(),
            &[chain.chain_der[1].as_slice().into()],
            &dns_name.try_into().unwrap(),
            &[],
            rustls_pki_types::UnixTime::since_unix_epoch(at),
        )
        .is_ok()
    };
    assert!(passes("db") && !passes("muster-controller"));
}

#[test]
fn a_fleet_of_an_earlier_version_gets_its_issuer_for_services_while_the_root_key_is_there() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    let identity = folder.path().join("identity");
    let remove = |name: &str| fs::remove_file(identity.join(name)).unwrap();
    let issue = |identity: &FleetIdentity| {
        let request = csr(&CertificateParams::default(), &KeyPair::generate().unwrap());
        identity.ca.issue_service_certificate(&request, &node().1, &["a".into()], &[], now())
    };
    // Interrupted between the two files.
    remove("service-issuer.crt");
    let completed = make(folder.path());
    issue(&completed).unwrap();
    let kept = fs::read(identity.join("service-issuer.crt")).unwrap();
    issue(&make(folder.path())).unwrap();
    assert_eq!(fs::read(identity.join("service-issuer.crt")).unwrap(), kept);

    remove("service-issuer.crt");
    remove("service-issuer.key");
    let root_key = fs::read(identity.join("root.key")).unwrap();
    remove("root.key");
    let without = make(folder.path());
    let error = issue(&without).unwrap_err();
    assert!(
        matches!(error, IssueError::NoServiceIssuer) && error.to_string().contains("root.key"),
        "{error}"
    );
    fs::write(identity.join("root.key"), root_key).unwrap();
    fs::set_permissions(identity.join("root.key"), fs::Permissions::from_mode(0o600)).unwrap();
    issue(&make(folder.path())).unwrap();
}

#[test]
fn a_certificate_never_outlives_its_issuer() {
    let folder = tempfile::tempdir().unwrap();
    let identity = make(folder.path());
    let (id, name) = node();
    let request = csr(&CertificateParams::default(), &KeyPair::generate().unwrap());
    let end = identity.ca.issuers_expire_at();
    let issued = identity.ca.issue_node_certificate(&request, id, &name, end - TimeDelta::hours(1)).unwrap();
    assert_eq!(issued.not_after, end);
    let error = identity.ca.issue_node_certificate(&request, id, &name, end).unwrap_err();
    assert!(matches!(error, IssueError::IssuerExpired(_)), "{error}");
}

#[test]
fn a_listener_keeps_its_certificate_until_it_must_change() {
    let folder = tempfile::tempdir().unwrap();
    let identity = make(folder.path());
    let names = ["Muster.example".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let first = identity.server_certificate("people", &names, now()).unwrap();
    assert_eq!(first.chain.len(), 3);
    assert_eq!(&first.chain[2], identity.ca.root());
    let again = identity.server_certificate("people", &names, now() + TimeDelta::days(59)).unwrap();
    assert_eq!(first.chain[0], again.chain[0]);
    assert_eq!(first.not_after, again.not_after);

    let renewed = identity.server_certificate("people", &names, now() + TimeDelta::days(61)).unwrap();
    assert_ne!(first.chain[0], renewed.chain[0]);
    let renamed = identity.server_certificate("people", &names[..1], now() + TimeDelta::days(61)).unwrap();
    assert_ne!(renamed.chain[0], renewed.chain[0]);

    fs::write(folder.path().join("identity/servers/people.pem"), "rubbish").unwrap();
    identity.server_certificate("people", &names, now()).unwrap();
    let error = identity.server_certificate("people", &["not a name".to_owned()], now()).unwrap_err();
    assert!(matches!(error, IdentityError::ServerName { .. }), "{error}");
    assert!(!format!("{renewed:?}{identity:?}").contains("PRIVATE"));
}

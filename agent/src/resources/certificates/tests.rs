use super::*;
use crate::config::StateDir;
use crate::identity::Enrolment;
use chrono::{DateTime, TimeDelta, Utc};
use muster_domain::{NodeId, NodeName, resource::DesiredState};
use muster_planning::convergence::{Effort, Verdict, verdict};
use muster_platform::FakeHost;
use muster_proto::v1;
use rcgen::{BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair};
use std::sync::Mutex;

/// A controller with a root and an issuer below it.
struct Ca {
    root: Vec<u8>,
    issuer_der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
    life: TimeDelta,
    begun: TimeDelta,
    asked: Mutex<Vec<CertificateRequest>>,
    fails: bool,
}

fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn offset(at: DateTime<Utc>) -> std::time::Duration {
    std::time::Duration::from_secs(at.timestamp().unsigned_abs())
}

impl Ca {
    fn new() -> Self {
        let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root_params = authority();
        let root = root_params.self_signed(&root_key).unwrap();
        let params = authority();
        let issuer_der = params.signed_by(&key, &Issuer::new(root_params, root_key)).unwrap().der().to_vec();
        let issuer = Issuer::new(params, key);
        let (life, begun) = (TimeDelta::days(7), TimeDelta::zero());
        Self {
            root: root.der().to_vec(),
            issuer_der,
            issuer,
            life,
            begun,
            asked: Mutex::default(),
            fails: false,
        }
    }
}

impl CertificateSource for Ca {
    fn issue(&self, request: CertificateRequest) -> BoxFuture<'_, Result<Vec<Vec<u8>>, String>> {
        if self.fails {
            return Box::pin(async { Err("the controller is away".to_owned()) });
        }
        let csr = CertificateSigningRequestParams::from_der(&request.csr_der.as_slice().into()).unwrap();
        let mut names = request.dns_names.clone();
        names.extend(request.addresses.iter().map(ToString::to_string));
        let mut params = CertificateParams::new(names).unwrap();
        let (epoch, begins) = (rcgen::date_time_ymd(1970, 1, 1), Utc::now() - self.begun);
        (params.not_before, params.not_after) = (epoch + offset(begins), epoch + offset(begins + self.life));
        let issued = params.signed_by(&csr.public_key, &self.issuer).unwrap();
        self.asked.lock().unwrap().push(request);
        let chain = vec![issued.der().to_vec(), self.issuer_der.clone()];
        Box::pin(async move { Ok(chain) })
    }
}

struct World {
    host: Arc<FakeHost>,
    state: StateDir,
    ca: Ca,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        let ca = Ca::new();
        let store = IdentityStore::new(state.clone());
        store.write_key(&identity::make_key().unwrap()).unwrap();
        let enrolment = Enrolment {
            node_id: NodeId::from_uuid(uuid::Uuid::from_u128(1)),
            node_name: NodeName::parse("db-1").unwrap(),
            controller_url: "https://localhost:8444".into(),
            rootless: false,
            assignment_keys: Vec::new(),
            certificate_not_before: Utc::now(),
            certificate_not_after: Utc::now(),
            enrolled_at: Utc::now(),
        };
        let identity = v1::Identity { root_der: ca.root.clone(), ..v1::Identity::default() };
        store.write_identity(&enrolment, &identity).unwrap();
        let host = Arc::new(FakeHost::default());
        host.tamper("/etc/db/README", "");
        Self { host, state, ca, _folder: folder }
    }

    fn look(&self) -> Look<'_> {
        Look { host: self.host.as_ref(), state: &self.state, assigned: &[] }
    }

    fn decide(&self, wanted: &Certificate) -> Verdict {
        verdict(&DesiredState::Certificate(wanted.clone()), &observe(self.look(), wanted), Effort::default())
    }

    fn due(&self, wanted: &Certificate) -> (Action, String) {
        match self.decide(wanted) {
            Verdict::Change { actions, reason } => (actions[0], reason),
            other => panic!("{other:?}"),
        }
    }

    async fn issue(&self, wanted: &Certificate) -> Result<Option<String>, String> {
        issue(self.host.clone(), self.state.clone(), &self.ca, wanted).await
    }

    fn read(&self, path: &str) -> Vec<u8> {
        self.host.read(Path::new(path), MAX_FILE_BYTES).unwrap()
    }

    fn mode(&self, path: &str) -> u32 {
        self.host.stat(Path::new(path)).unwrap().unwrap().mode
    }
}

fn wanted() -> Certificate {
    Certificate {
        name: "db".into(),
        dns_names: vec!["DB.internal".into(), "db-1".into()],
        addresses: vec!["10.0.0.7".parse().unwrap(), "::1".parse().unwrap()],
        key_path: "/etc/db/key".into(),
        certificate_path: "/etc/db/crt".into(),
        ca_path: Some("/etc/db/ca".into()),
        owner: None,
        group: None,
    }
}

#[tokio::test]
async fn what_was_issued_is_in_place_and_its_key_never_left() {
    let world = World::new();
    let wanted = wanted();
    assert_eq!(
        world.due(&wanted),
        (Action::IssueCertificate, "the key is missing, the certificate is missing".into())
    );
    let difference = diff(world.look(), &wanted, &observe(world.look(), &wanted)).unwrap();
    assert_eq!(difference, "+ for db-1, db.internal, 10.0.0.7, ::1");
    let note = world.issue(&wanted).await.unwrap().unwrap();
    assert!(note.contains("with a new key"), "{note}");
    assert_eq!(world.decide(&wanted), Verdict::InPlace);
    assert_eq!(diff(world.look(), &wanted, &observe(world.look(), &wanted)), None);
    assert_eq!((world.mode("/etc/db/key"), world.mode("/etc/db/crt")), (0o600, 0o644));
    let key = world.read("/etc/db/key");
    let asked = world.ca.asked.lock().unwrap();
    assert_eq!((asked.len(), &asked[0].dns_names), (1, &wanted.dns_names));
    let private = KeyPair::from_pem(std::str::from_utf8(&key).unwrap()).unwrap().serialize_der();
    assert!(
        !asked[0].csr_der.windows(32).any(|part| private
            .windows(32)
            .skip(30)
            .take(8)
            .any(|secret| secret == part))
    );
}

#[tokio::test]
async fn drift_is_noticed_and_put_right_and_a_good_key_is_kept() {
    let world = World::new();
    let wanted = wanted();
    world.issue(&wanted).await.unwrap();
    let key = world.read("/etc/db/key");

    let open = Ownership::default();
    world.host.set_attributes(Path::new("/etc/db/key"), 0o644, open).unwrap();
    let (action, reason) = world.due(&wanted);
    assert_eq!(
        (action, reason.as_str()),
        (Action::SetAttributes, "mode of /etc/db/key is 0644 instead of 0600")
    );
    apply(world.look(), &wanted, action).unwrap();
    assert_eq!(world.decide(&wanted), Verdict::InPlace);

    world.host.tamper("/etc/db/ca", "another");
    assert_eq!(world.due(&wanted).0, Action::SetAttributes);
    apply(world.look(), &wanted, Action::SetAttributes).unwrap();
    assert_eq!(world.decide(&wanted), Verdict::InPlace);

    world.host.tamper("/etc/db/crt", "rubbish");
    assert_eq!(world.due(&wanted), (Action::IssueCertificate, "the certificate cannot be read".into()));
    world.issue(&wanted).await.unwrap();
    assert_eq!((world.decide(&wanted), world.read("/etc/db/key") == key), (Verdict::InPlace, true));

    world.host.tamper_delete("/etc/db/key");
    assert!(world.due(&wanted).1.contains("the key is missing"));
    world.issue(&wanted).await.unwrap();
    assert_eq!((world.decide(&wanted), world.read("/etc/db/key") == key), (Verdict::InPlace, false));

    let renamed = Certificate { dns_names: vec!["other".into()], ..wanted.clone() };
    assert!(world.due(&renamed).1.contains("other names"));
}

#[tokio::test]
async fn one_that_is_old_or_from_elsewhere_is_replaced() {
    let mut world = World::new();
    let wanted = wanted();
    world.ca.begun = TimeDelta::days(6);
    world.issue(&wanted).await.unwrap();
    assert!(world.due(&wanted).1.contains("runs out at"));
    world.ca.begun = TimeDelta::days(8);
    world.issue(&wanted).await.unwrap();
    assert!(world.due(&wanted).1.contains("ran out at"));

    let good = std::mem::replace(&mut world.ca, Ca::new());
    let error = world.issue(&wanted).await.unwrap_err();
    assert!(error.contains("does not vouch"), "{error}");
    world.ca = good;
    world.ca.begun = TimeDelta::zero();
    world.issue(&wanted).await.unwrap();
    assert_eq!(world.decide(&wanted), Verdict::InPlace);
}

#[tokio::test]
async fn killed_between_the_files_the_next_run_asks_again() {
    let world = World::new();
    let wanted = wanted();
    world.issue(&wanted).await.unwrap();
    let certificate = world.read("/etc/db/crt");
    // The new key was written, its certificate was not.
    world.host.tamper_delete("/etc/db/key");
    world.issue(&wanted).await.unwrap();
    world.host.tamper("/etc/db/crt", certificate);
    assert!(world.due(&wanted).1.contains("another key"));
    world.issue(&wanted).await.unwrap();
    assert_eq!(world.decide(&wanted), Verdict::InPlace);
}

#[tokio::test]
async fn when_nobody_signs_nothing_is_touched() {
    let mut world = World::new();
    world.ca.fails = true;
    let writes = world.host.writes();
    assert_eq!(world.issue(&wanted()).await.unwrap_err(), "the controller is away");
    assert_eq!(world.host.writes(), writes);
    world.ca.fails = false;
    let unknown = Certificate { group: Some("nobody-knows".into()), ..wanted() };
    world.issue(&unknown).await.unwrap_err();
    assert!(world.ca.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_group_may_read_the_key_and_what_is_removed_is_said() {
    let world = World::new();
    let shared = Certificate { group: Some("www-data".into()), ..wanted() };
    world.issue(&shared).await.unwrap();
    assert_eq!((world.decide(&shared), world.mode("/etc/db/key")), (Verdict::InPlace, 0o640));
    assert_eq!(world.host.stat(Path::new("/etc/db/key")).unwrap().unwrap().gid, 33);
    let removed = remove(world.look(), &shared).unwrap().unwrap();
    assert_eq!(removed, "removed /etc/db/key, /etc/db/crt, /etc/db/ca");
    assert_eq!(remove(world.look(), &shared).unwrap(), None);
}

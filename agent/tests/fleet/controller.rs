//! A controller in the test: real TLS with certificates of its own, and a memory of what agents sent.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use muster_artifact::{Manifest, ObjectStore, PackOptions};
use muster_domain::{
    Digest, NodeId,
    assignment::{AssignmentContent, Generation},
};
use muster_proto::v1::{
    self, agent_service_server::AgentServiceServer, enrolment_service_server::EnrolmentServiceServer,
};
use muster_proto::{
    convert,
    signing::{assignment_statement, plan_candidate_statement},
};
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use sha2::Digest as _;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

mod service;

pub(crate) type Stream<T> = Pin<Box<dyn futures_util::Stream<Item = Result<T, Status>> + Send>>;

/// What a controller knows and was told.
pub(crate) struct State {
    pub(crate) node: NodeId,
    pub(crate) assignment: Option<v1::SignedAssignment>,
    pub(crate) token: Option<(String, String)>,
    pub(crate) enrolments: u32,
    pub(crate) renewals: u32,
    pub(crate) life_s: i64,
    pub(crate) polls: u64,
    pub(crate) heartbeats: Vec<v1::HeartbeatRequest>,
    pub(crate) reports: BTreeMap<u64, v1::Report>,
    pub(crate) logs: Vec<v1::LogBatch>,
    pub(crate) manifests: BTreeMap<Digest, Vec<u8>>,
    pub(crate) store: Option<ObjectStore>,
    pub(crate) fetched: Vec<Digest>,
    pub(crate) corrupt_objects: bool,
    pub(crate) refuse_fetch: bool,
    /// By request; `None` plans what is in force.
    pub(crate) candidates: BTreeMap<Vec<u8>, Option<v1::PlanCandidate>>,
    pub(crate) plans: Vec<v1::SendPlanRequest>,
    pub(crate) turn_taken_by: Option<String>,
    pub(crate) turns: Vec<v1::RequestTurnRequest>,
    pub(crate) released_turns: Vec<v1::ReleaseTurnRequest>,
}

/// The certificates of a fleet.
pub(crate) struct Fleet {
    root: CertifiedIssuer<'static, KeyPair>,
    /// Every node's certificate is revoked.
    pub(crate) revoked: Arc<AtomicBool>,
    pub(crate) signing: Ed25519KeyPair,
}

#[derive(Clone)]
pub(crate) struct Controller {
    pub(crate) fleet: Arc<Fleet>,
    state: Arc<Mutex<State>>,
    hints: broadcast::Sender<v1::Hint>,
}

/// A controller that serves; it is gone when this is dropped.
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Checks certificates of nodes, and refuses them all once they are revoked.
#[derive(Debug)]
struct Revoking {
    clients: Arc<dyn ClientCertVerifier>,
    revoked: Arc<AtomicBool>,
}

impl ClientCertVerifier for Revoking {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.clients.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if self.revoked.load(Ordering::Relaxed) {
            return Err(rustls::CertificateError::Revoked.into());
        }
        self.clients.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.clients.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.clients.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.clients.supported_verify_schemes()
    }
}

impl Fleet {
    pub(crate) fn new() -> Arc<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let signing = Ed25519KeyPair::generate().unwrap();
        Arc::new(Self { root, revoked: Arc::default(), signing })
    }

    pub(crate) fn root_sha256(&self) -> String {
        hex::encode(sha2::Sha256::digest(self.root.der()))
    }

    fn server_config(&self, name: &str) -> rustls::ServerConfig {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned(), "localhost".to_owned()]).unwrap();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.root).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.root.der().clone()).unwrap();
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .allow_unauthenticated()
            .build()
            .unwrap();
        let clients = Arc::new(Revoking { clients, revoked: self.revoked.clone() });
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone(), self.root.der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config
    }
}

impl Controller {
    pub(crate) fn new(fleet: &Arc<Fleet>) -> Self {
        let state = State {
            node: NodeId::from_uuid(uuid::Uuid::from_u128(42)),
            assignment: None,
            token: Some(("id1".into(), "secret1".into())),
            enrolments: 0,
            renewals: 0,
            life_s: 86_400,
            polls: 0,
            heartbeats: vec![],
            reports: BTreeMap::new(),
            logs: vec![],
            manifests: BTreeMap::new(),
            store: None,
            fetched: vec![],
            corrupt_objects: false,
            refuse_fetch: false,
            candidates: BTreeMap::new(),
            plans: vec![],
            turn_taken_by: None,
            turns: vec![],
            released_turns: vec![],
        };
        let (hints, _) = broadcast::channel(64);
        Self { fleet: fleet.clone(), state: Arc::new(Mutex::new(state)), hints }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn token(&self) -> String {
        format!("muster_join_id1_secret1_{}", self.fleet.root_sha256())
    }

    pub(crate) fn hint(&self, hint: v1::hint::Hint) {
        self.hints.send(v1::Hint { hint: Some(hint) }).ok();
    }

    pub(crate) fn sign(&self, generation: u64, content: &AssignmentContent) -> v1::SignedAssignment {
        let node = self.state().node;
        let content = convert::encode_content(content);
        let revision = Digest::from_bytes(*blake3::hash(&content).as_bytes());
        let statement = assignment_statement(node, Generation::new(generation), &revision);
        v1::SignedAssignment {
            node_id: node.as_uuid().as_bytes().to_vec(),
            generation,
            revision: revision.as_bytes().to_vec(),
            content,
            signature: self.fleet.signing.sign(&statement).as_ref().to_vec(),
        }
    }

    /// Asks for a plan of a candidate, or of what is in force.
    pub(crate) fn ask_for_plan(&self, id: u8, candidate: Option<&AssignmentContent>) {
        let request = vec![id; 16];
        let candidate = candidate.map(|content| {
            let node = self.state().node;
            let content = convert::encode_content(content);
            let revision = Digest::from_bytes(*blake3::hash(&content).as_bytes());
            let request = uuid::Uuid::from_slice(&request).unwrap();
            let statement = plan_candidate_statement(node, request, &revision);
            v1::PlanCandidate {
                node_id: node.as_uuid().as_bytes().to_vec(),
                revision: revision.as_bytes().to_vec(),
                content,
                signature: self.fleet.signing.sign(&statement).as_ref().to_vec(),
            }
        });
        self.state().candidates.insert(request.clone(), candidate);
        self.hint(v1::hint::Hint::PlanRequest(v1::PlanRequest { request_id: request }));
    }

    /// Assigns without a hint: the agent finds it by polling.
    pub(crate) fn assign_silently(&self, generation: u64, content: &AssignmentContent) {
        let signed = self.sign(generation, content);
        self.state().assignment = Some(signed);
    }

    pub(crate) fn assign(&self, generation: u64, content: &AssignmentContent) {
        self.assign_silently(generation, content);
        self.hint(v1::hint::Hint::AssignmentChanged(v1::AssignmentChanged {}));
    }

    /// Takes a folder as an artifact, and says its digest.
    pub(crate) fn upload(&self, folder: &Path, objects: &Path) -> Digest {
        let packed = muster_artifact::pack(folder, &PackOptions::default()).unwrap();
        let store = ObjectStore::open(objects).unwrap();
        let manifest: &Manifest = &packed.manifest;
        for (path, digest, _, _) in manifest.files() {
            store.put(digest, std::fs::File::open(folder.join(path)).unwrap()).unwrap();
        }
        let digest = Digest::from_bytes(*manifest.digest().as_bytes());
        let mut state = self.state();
        state.manifests.insert(digest, manifest.encode());
        state.store = Some(store);
        digest
    }

    /// Serves on a free port under the right name.
    pub(crate) async fn serve(&self) -> Serving {
        self.serve_as("muster-controller", "127.0.0.1:0").await
    }

    pub(crate) async fn serve_as(&self, name: &str, address: &str) -> Serving {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(self.fleet.server_config(name)));
        let (sender, receiver) = mpsc::channel(16);
        let accepting = async move {
            let mut handshakes = tokio::task::JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (acceptor, sender) = (acceptor.clone(), sender.clone());
                handshakes.spawn(async move {
                    if let Ok(mut tls) = acceptor.accept(tcp).await {
                        // Through a pipe of our own, so that connections end when the controller does.
                        let (mut near, far) = tokio::io::duplex(64 * 1024);
                        sender.send(Ok::<_, std::io::Error>(far)).await.ok();
                        tokio::io::copy_bidirectional(&mut tls, &mut near).await.ok();
                    }
                });
            }
        };
        let this = self.clone();
        let task = tokio::spawn(async move {
            let serving = tonic::transport::Server::builder()
                .add_service(AgentServiceServer::new(this.clone()).max_decoding_message_size(32 << 20))
                .add_service(EnrolmentServiceServer::new(this))
                .serve_with_incoming(ReceiverStream::new(receiver));
            tokio::select! {
                () = accepting => {}
                result = serving => result.unwrap(),
            }
        });
        Serving { address, task }
    }

    fn identity(&self, csr_der: &[u8]) -> Result<v1::Identity, Status> {
        let csr = rcgen::CertificateSigningRequestParams::from_der(&csr_der.into())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&csr.public_key, &self.fleet.root).unwrap();
        let now = chrono::Utc::now().timestamp();
        Ok(v1::Identity {
            certificate_chain_der: vec![certificate.der().to_vec(), self.fleet.root.der().to_vec()],
            root_der: self.fleet.root.der().to_vec(),
            assignment_keys: vec![self.fleet.signing.public_key().as_ref().to_vec()],
            not_before_s: now,
            not_after_s: now + self.state().life_s,
        })
    }
}

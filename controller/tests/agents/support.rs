//! A controller that serves agents on a free port, and hosts that call it.

use chrono::{DateTime, TimeDelta, Utc};
use hyper_util::rt::TokioIo;
use muster_app::{
    Actor, App, AppError, Clock as _, DEFAULT_INVITATION_LIFE, InviteRequest, ManualClock, Settings,
};
use muster_artifact::ObjectStore;
use muster_db::Db;
use muster_domain::{EnvironmentName, NodeId, NodeName, UserId, node::Role, user::UserRole};
use muster_identity::{FleetIdentity, JoinToken, Revocations, tls};
use muster_proto::v1::{
    self, agent_service_client::AgentServiceClient, enrolment_service_client::EnrolmentServiceClient,
};
use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use secrecy::ExposeSecret as _;
use sqlx::PgPool;
use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::TlsConnector;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};
use uuid::Uuid;

/// Longer than anything here takes; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Controller {
    pub(crate) app: App,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) address: SocketAddr,
    pub(crate) serving: JoinHandle<()>,
    pub(crate) shutdown: watch::Sender<bool>,
    /// Where the programs for hosts would be.
    pub(crate) programs: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

/// A host with a key, and with a certificate once it has joined.
pub(crate) struct Host {
    pub(crate) key: KeyPair,
    pub(crate) node: NodeId,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) root: CertificateDer<'static>,
    pub(crate) assignment_keys: Vec<Vec<u8>>,
}

pub(crate) fn admin() -> Actor {
    Actor { user: UserId::from_uuid(Uuid::nil()), name: "amara".into(), role: UserRole::Admin, address: None }
}

/// Answers within the patience of a test.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it did not happen in time")
}

pub(crate) fn code(status: &Status) -> &str {
    status.metadata().get("muster-code").map_or("", |value| value.to_str().unwrap())
}

pub(crate) fn csr(key: &KeyPair) -> Vec<u8> {
    CertificateParams::default().serialize_request(key).unwrap().der().to_vec()
}

pub(crate) fn enrol_request(token: &JoinToken, key: &KeyPair) -> v1::EnrolRequest {
    v1::EnrolRequest {
        token_id: JoinToken::id_text(token.id),
        token_secret: token.secret.reveal().to_owned(),
        csr_der: csr(key),
        facts: Some(v1::HostFacts { hostname: "vps-7".into(), ..v1::HostFacts::default() }),
    }
}

impl Controller {
    /// A controller whose clock shows the present.
    pub(crate) async fn start(pool: PgPool) -> Self {
        Self::start_at(pool, Utc::now()).await
    }

    /// A controller whose clock shows another time. TLS goes by the machine's clock all the same.
    pub(crate) async fn start_at(pool: PgPool, now: DateTime<Utc>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(now));
        let (identity, _) = FleetIdentity::open_or_create(folder.path(), now - TimeDelta::days(1)).unwrap();
        let serving = tls::ServingCertificate::new(
            identity.server_certificate("agents", &["localhost".into()], Utc::now()).unwrap(),
        )
        .unwrap();
        let revocations = Revocations::new([]);
        let config = tls::agents_config(&identity.ca, serving, revocations.clone()).unwrap();
        let objects = ObjectStore::open(folder.path().join("objects")).unwrap();
        let settings = Settings::new("https://localhost".into());
        let app = App::new(Db::from_pool(pool), clock.clone(), identity, revocations, objects, settings);
        app.metrics_maintain(Utc::now()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, stop) = watch::channel(false);
        let programs = folder.path().join("programs");
        let install = muster_controller::install::Install::new(programs.clone());
        let serving =
            tokio::spawn(muster_controller::grpc::serve(listener, config, app.clone(), install, stop));
        Self { app, clock, address, serving, shutdown, programs, _folder: folder }
    }

    pub(crate) async fn invite(&self, name: &str) -> Result<JoinToken, AppError> {
        let request = InviteRequest {
            name: NodeName::parse(name).unwrap(),
            environment: EnvironmentName::parse("production").unwrap(),
            roles: vec![Role::AppServer],
            life: DEFAULT_INVITATION_LIFE,
            replace: false,
        };
        let invitation = self.app.node_invite(&admin(), request).await?;
        Ok(JoinToken::parse(invitation.token.expose_secret()).unwrap())
    }

    /// A host that has joined under this name.
    pub(crate) async fn join(&self, name: &str) -> Host {
        let token = self.invite(name).await.unwrap();
        let key = KeyPair::generate().unwrap();
        let answer =
            soon(self.strangers_enrolment().enrol(enrol_request(&token, &key))).await.unwrap().into_inner();
        let identity = answer.identity.unwrap();
        Host {
            key,
            node: NodeId::from_uuid(Uuid::from_slice(&answer.node_id).unwrap()),
            chain: identity.certificate_chain_der.into_iter().map(CertificateDer::from).collect(),
            root: identity.root_der.into(),
            assignment_keys: identity.assignment_keys,
        }
    }

    /// A channel that connects at its first call and again whenever it was cut.
    pub(crate) fn channel(&self, host: Option<&Host>) -> Channel {
        let mut roots = RootCertStore::empty();
        roots.add(self.app.identity().ca.root().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match host {
            None => builder.with_no_client_auth(),
            Some(host) => {
                let key = PrivatePkcs8KeyDer::from(host.key.serialize_der()).into();
                builder.with_client_auth_cert(host.chain.clone(), key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let (connector, address) = (TlsConnector::from(Arc::new(config)), self.address);
        Endpoint::from_static("http://localhost").connect_with_connector_lazy(tower::service_fn(move |_| {
            let connector = connector.clone();
            async move {
                let stream = TcpStream::connect(address).await?;
                let name = ServerName::try_from("localhost").unwrap();
                Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, stream).await?))
            }
        }))
    }

    pub(crate) fn strangers_enrolment(&self) -> EnrolmentServiceClient<Channel> {
        EnrolmentServiceClient::new(self.channel(None))
    }

    pub(crate) fn enrolment(&self, host: &Host) -> EnrolmentServiceClient<Channel> {
        EnrolmentServiceClient::new(self.channel(Some(host)))
    }

    pub(crate) fn agent(&self, host: &Host) -> AgentServiceClient<Channel> {
        AgentServiceClient::new(self.channel(Some(host)))
            .max_decoding_message_size(64 * 1024 * 1024)
            .max_encoding_message_size(64 * 1024 * 1024)
    }

    pub(crate) fn peer(&self, host: &Host) -> muster_identity::PeerNode {
        muster_identity::PeerNode::from_certificate(&host.chain[0], self.app.identity().ca.fleet_id())
            .unwrap()
    }

    /// Moves the controller's clock to the present.
    pub(crate) fn catch_up(&self) {
        self.clock.advance(Utc::now() - self.clock.now());
    }
}

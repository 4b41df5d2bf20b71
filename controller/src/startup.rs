//! Putting the controller on its feet, and off them again.
//!
//! Order: data folder and its lock, identity, database, first administrator, listeners, `addresses.json` (the sign that it
//! serves). At the stop the reverse, so that nobody is promised what is no longer there.

pub mod database;
mod first_admin;
pub mod instance;
pub mod options;

use crate::{
    background, grpc, http,
    install::{Install, Programs},
    listener,
};
use anyhow::{Context as _, bail};
use database::Database;
use instance::Instance;
use muster_app::{App, Clock as _, Settings, SystemClock};
use muster_artifact::ObjectStore;
use muster_domain::host_names;
use muster_identity::{FleetIdentity, Revocations, ServerCertificate, tls};
use options::{LogFormat, ServeOptions};
use std::{
    io::IsTerminal as _,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};

/// How often it is looked whether a certificate of a listener is due for renewal.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(3600);

/// Runs the controller until SIGTERM or SIGINT.
pub fn serve(options: ServeOptions) -> anyhow::Result<()> {
    logging(options.log_format);
    descriptors();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime did not start")?;
    runtime.block_on(run(options))
}

/// Takes every file descriptor that the system allows: each connected agent needs one, and the usual soft limit is 1,024.
fn descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is; raise it (LimitNOFILE=) for a large fleet");
    }
}

fn logging(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("MUSTER_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,sqlx=warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().init(),
    }
}

async fn run(options: ServeOptions) -> anyhow::Result<()> {
    if let Some(address) = options.http_listen
        && !address.ip().is_loopback()
    {
        bail!(
            "--http-listen {address}: plain HTTP is served on loopback addresses only, because passwords and tokens travel on it\n\
             hint: use 127.0.0.1:PORT behind a reverse proxy, or --listen with --tls-cert and --tls-key"
        );
    }
    // Before anything is started: a signal during a slow start must stop it in order as well.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let instance = Instance::claim(&options.data.data_dir)?;
    let listeners = Listeners::bind(&options).await?;
    let database = Database::open(&options.data).await?;
    let (stop, shutdown) = watch::channel(false);
    let outcome = async {
        let mut parts = start(&options, &instance, listeners, &database, &shutdown).await?;
        tracing::info!("the controller serves");
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
            ended = parts.join_next() => bail!("a part of the controller ended by itself: {ended:?}"),
        }
        instance.withdraw_addresses();
        stop.send_replace(true);
        while let Some(ended) = parts.join_next().await {
            if let Err(error) = ended {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a part of the controller ended badly"
                );
            }
        }
        anyhow::Ok(())
    }
    .await;
    database.close().await;
    outcome
}

async fn start(
    options: &ServeOptions,
    instance: &Instance,
    listeners: Listeners,
    database: &Database,
    shutdown: &watch::Receiver<bool>,
) -> anyhow::Result<JoinSet<()>> {
    let clock = SystemClock;
    let (identity, _) = FleetIdentity::open_or_create(&options.data.data_dir, clock.now())
        .context("the identity of the fleet cannot be used")?;
    let addresses = listeners.addresses()?;
    let agent_url = options.agent_url.clone().unwrap_or_else(|| addresses.agent_url());
    let certificates = Certificates {
        names: server_names(&agent_url, options)?,
        brought: options.tls_cert.clone().zip(options.tls_key.clone()),
    };
    let people = tls::ServingCertificate::new(certificates.people(&identity)?)?;
    let agents = tls::ServingCertificate::new(certificates.agents(&identity)?)?;
    let objects = ObjectStore::open(options.data.data_dir.join("objects"))
        .context("the store of releases cannot be used")?;
    let settings = Settings {
        heartbeat_interval_ms: options.heartbeat_interval * 1000,
        poll_interval_ms: options.poll_interval * 1000,
        rollout_node_deadline_ms: options.rollout_node_deadline * 1000,
        ..Settings::new(agent_url)
    };
    let revocations = Revocations::new([]);
    let app =
        App::new(database.db.clone(), Arc::new(clock), identity, revocations.clone(), objects, settings);
    app.revocations_load().await.context("the withdrawn certificates could not be read")?;
    first_admin::ensure(&app, options.admin_password_file.as_deref()).await?;
    // Partitions for figures have to be there before the first beat arrives.
    app.metrics_maintain(app.now()).await.context("the tables of figures could not be prepared")?;

    let mut parts = JoinSet::new();
    let install = Install::new(agent_dir(options.agents.agent_dir.clone())?);
    let router = http::router(app.clone(), install.clone());
    let people_config = tls::people_config(Arc::clone(&people))?;
    parts.spawn(listener::serve(listeners.people, Some(people_config), router.clone(), shutdown.clone()));
    if let Some(plain) = listeners.people_http {
        parts.spawn(listener::serve(plain, None, router, shutdown.clone()));
    }
    let agents_config = tls::agents_config(&app.identity().ca, Arc::clone(&agents), revocations)?;
    parts.spawn(grpc::serve(listeners.agents, agents_config, app.clone(), install.clone(), shutdown.clone()));
    parts.spawn(background::run(app.clone(), shutdown.clone()));
    parts.spawn(renew(app, certificates, people, agents, shutdown.clone()));
    tokio::spawn(look_for_programs(install));
    instance.publish_addresses(&addresses)?;
    tracing::info!(people = addresses.people, agents = addresses.agents, "listening");
    Ok(parts)
}

/// Where the programs for hosts are: as the operator says, else beside this one.
pub(crate) fn agent_dir(chosen: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    match chosen {
        Some(folder) => std::path::absolute(&folder)
            .with_context(|| format!("--agent-dir {} is not a path", folder.display())),
        None => Programs::default_folder().context("the folder of this program cannot be found"),
    }
}

/// Reads them once, so that the first invitation does not have to wait for that; and says early that they are missing.
async fn look_for_programs(install: Install) {
    match install.catalogue().await {
        Ok(catalogue) => {
            for flaw in &catalogue.flaws {
                tracing::warn!("some programs for hosts are not handed out: {flaw}");
            }
        }
        Err(problem) => {
            tracing::warn!("invitations cannot offer to install the agent: {problem}; {}", problem.mend);
        }
    }
}

/// The sockets, bound before anything else is started: a port that is taken is the commonest mistake, and costs nothing yet.
struct Listeners {
    people: TcpListener,
    people_http: Option<TcpListener>,
    agents: TcpListener,
}

impl Listeners {
    async fn bind(options: &ServeOptions) -> anyhow::Result<Self> {
        Ok(Self {
            people: bind("--listen", options.listen).await?,
            people_http: match options.http_listen {
                Some(address) => Some(bind("--http-listen", address).await?),
                None => None,
            },
            agents: bind("--agent-listen", options.agent_listen).await?,
        })
    }

    fn addresses(&self) -> anyhow::Result<instance::Addresses> {
        Ok(instance::Addresses {
            people: format!("https://{}", reachable(self.people.local_addr()?)),
            people_http: match &self.people_http {
                Some(listener) => Some(format!("http://{}", listener.local_addr()?)),
                None => None,
            },
            agents: format!("https://{}", reachable(self.agents.local_addr()?)),
            agents_port: self.agents.local_addr()?.port(),
        })
    }
}

async fn bind(option: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "{option} {address} cannot be listened on; is another controller running, or another program on that port?\n\
             hint: `ss -ltnp 'sport = :{}'` shows who has it; choose another with {option}",
            address.port()
        )
    })
}

/// An address that this machine itself can connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The certificates of the listeners, and how to make them anew.
struct Certificates {
    names: Vec<String>,
    brought: Option<(std::path::PathBuf, std::path::PathBuf)>,
}

impl Certificates {
    fn people(&self, identity: &FleetIdentity) -> anyhow::Result<ServerCertificate> {
        let now = SystemClock.now();
        Ok(match &self.brought {
            Some((certificate, key)) => tls::brought_certificate(certificate, key, now)?,
            None => identity.server_certificate("people", &self.names, now)?,
        })
    }

    fn agents(&self, identity: &FleetIdentity) -> anyhow::Result<ServerCertificate> {
        Ok(identity.server_certificate("agents", &self.names, SystemClock.now())?)
    }
}

/// Looks after the certificates of the listeners: renews its own, and takes up a brought one that was replaced on disk.
async fn renew(
    app: App,
    certificates: Certificates,
    people: Arc<tls::ServingCertificate>,
    agents: Arc<tls::ServingCertificate>,
    mut shutdown: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(CERTIFICATE_CHECK) => {}
            _ = shutdown.wait_for(|stop| *stop) => return,
        }
        let renewed = certificates
            .people(app.identity())
            .and_then(|certificate| Ok(people.replace(certificate)?))
            .and_then(|()| certificates.agents(app.identity()))
            .and_then(|certificate| Ok(agents.replace(certificate)?));
        if let Err(error) = renewed {
            tracing::error!(
                error = format!("{error:#}"),
                "a certificate of a listener could not be renewed; the former one stays"
            );
        }
    }
}

/// The names that the listeners' certificates hold: what agents are told, what people type, and the fixed name that
/// agents ask for.
fn server_names(agent_url: &str, options: &ServeOptions) -> anyhow::Result<Vec<String>> {
    let uri: ::http::Uri =
        agent_url.parse().with_context(|| format!("--agent-url {agent_url:?} is not a URL"))?;
    if uri.scheme_str() != Some("https") {
        bail!("--agent-url {agent_url:?} must begin with https://, because agents speak only TLS");
    }
    let host = uri.host().with_context(|| format!("--agent-url {agent_url:?} names no host"))?;
    let mut names: Vec<String> =
        [host_names::CONTROLLER, "localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    names.push(host.trim_matches(['[', ']']).to_owned());
    names.extend(
        [options.listen.ip(), options.agent_listen.ip()]
            .iter()
            .filter(|ip| !ip.is_unspecified())
            .map(ToString::to_string),
    );
    names.push(instance::host_name());
    names.sort();
    names.dedup();
    Ok(names)
}

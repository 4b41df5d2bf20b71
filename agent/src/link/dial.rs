//! Connects to a controller: TCP, TLS, HTTP/2, in this order, with one reason when it does not work.

use super::farewell::{Farewell, Watched};
use super::tls::{SERVER_NAME, WRONG_FLEET};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

/// Notices a peer that is gone without a word (a VPS that was switched off, a firewall that forgot us).
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes in flight for one call: enough for 100 Mbit/s at 40 ms, little enough for an idle agent.
const STREAM_WINDOW_BYTES: u32 = 512 * 1024;

/// Where a controller answers agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerAddress {
    host: String,
    port: u16,
}

/// A text that is no address of a controller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is not the address of a controller; write https://host or https://host:port, the port is 8444 unless given"
)]
pub struct InvalidAddress {
    given: String,
}

impl ControllerAddress {
    /// The port of the listener for agents.
    pub const DEFAULT_PORT: u16 = 8444;

    /// A name or an address, the latter of IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Reads `https://host[:port]`.
    pub fn parse(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress { given: text.chars().take(200).collect() };
        let uri: Uri = text.trim().parse().map_err(|_| invalid())?;
        let plain = uri.path_and_query().is_none_or(|rest| rest.as_str() == "/");
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let (Some("https"), true, Some(authority)) = (uri.scheme_str(), plain, authority) else {
            return Err(invalid());
        };
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => Self::DEFAULT_PORT,
            // The library reads a port that is no number as none.
            rest => rest.and_then(|rest| rest.strip_prefix(':')?.parse().ok()).ok_or_else(invalid)?,
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || port == 0 { Err(invalid()) } else { Ok(Self { host, port }) }
    }
}

impl std::fmt::Display for ControllerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "https://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "https://{}:{}", self.host, self.port)
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody answered.
    #[error("cannot reach the controller at {address}: {source}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// Nobody answered in time.
    #[error("the controller at {address} did not answer within {after_ms} ms")]
    TimedOut {
        /// Where.
        address: String,
        /// How long was waited.
        after_ms: u64,
    },
    /// Somebody answered, who is not this fleet's controller.
    #[error("the server at {address} is not the controller of this fleet: {reason}")]
    WrongController {
        /// Where.
        address: String,
        /// What gave it away.
        reason: String,
    },
    /// The controller's certificate is not valid at the time that this host believes it is.
    #[error(
        "the certificate of the controller at {address} is not valid now: {reason}; if the clock of this host is wrong, set it right"
    )]
    Clock {
        /// Where.
        address: String,
        /// Since or until when it is.
        reason: String,
    },
    /// TLS failed for another reason.
    #[error("no secure connection with {address}: {reason}")]
    Tls {
        /// Where.
        address: String,
        /// Why.
        reason: String,
    },
    /// The controller does not take the node's certificate.
    #[error("the controller refuses this node: {reason}")]
    Refused {
        /// Why, and what to do.
        reason: &'static str,
    },
    /// The connection was made and lost at once.
    #[error("the connection with {address} was lost: {reason}")]
    Lost {
        /// Where.
        address: String,
        /// Why.
        reason: String,
    },
}

/// A connection, and what the controller says if it ends it.
#[derive(Debug, Clone)]
pub struct Connection {
    /// For calls.
    pub channel: Channel,
    /// For when they fail.
    pub farewell: Farewell,
}

/// Connects and verifies the controller. The channel does not connect again by itself: whoever uses it notices the end
/// and dials anew, with the identity of that time.
pub async fn dial(
    address: &ControllerAddress,
    config: Arc<ClientConfig>,
    timeout: Duration,
) -> Result<Connection, DialError> {
    let connecting = connect(address, config);
    tokio::time::timeout(timeout, connecting).await.unwrap_or_else(|_| Err(timed_out(address, timeout)))
}

/// TCP and TLS, with whoever is a controller of the fleet that `config` knows.
pub(crate) async fn secure(
    address: &ControllerAddress,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, DialError> {
    let unreachable = |source| DialError::Unreachable { address: address.to_string(), source };
    let tcp = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    let name = ServerName::try_from(SERVER_NAME).expect("the name is a valid one");
    TlsConnector::from(config).connect(name, tcp).await.map_err(|error| tls_error(address, &error))
}

/// Why the controller does not take our certificate; `None` when it does. Nothing is sent: a server that hangs up on what
/// it did not read takes its own last words back.
pub(crate) async fn refusal(
    address: &ControllerAddress,
    config: Arc<ClientConfig>,
    timeout: Duration,
) -> Result<Option<&'static str>, DialError> {
    let looking = async {
        let farewell = Farewell::default();
        let mut stream = Watched::new(secure(address, config).await?, farewell.clone());
        let mut first = [0; 1];
        // The beginning of HTTP/2, which the server sends unasked; or the end, with or without words.
        let heard = stream.read(&mut first).await;
        match (heard, farewell.refusal()) {
            (_, Some(reason)) => Ok(Some(reason)),
            (Ok(1..), None) => Ok(None),
            (Ok(_), None) => {
                Err(DialError::Lost { address: address.to_string(), reason: "it hung up".to_owned() })
            }
            (Err(error), None) => {
                Err(DialError::Lost { address: address.to_string(), reason: error.to_string() })
            }
        }
    };
    tokio::time::timeout(timeout, looking).await.unwrap_or_else(|_| Err(timed_out(address, timeout)))
}

fn timed_out(address: &ControllerAddress, timeout: Duration) -> DialError {
    let after_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    DialError::TimedOut { address: address.to_string(), after_ms }
}

async fn connect(address: &ControllerAddress, config: Arc<ClientConfig>) -> Result<Connection, DialError> {
    let shown = || address.to_string();
    let tls = secure(address, config).await?;
    let farewell = Farewell::default();
    let once = Arc::new(Mutex::new(Some(TokioIo::new(Watched::new(tls, farewell.clone())))));
    let connector = tower::service_fn(move |_: Uri| {
        let stream = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move { stream.ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, "the connection is gone")) }
    });
    // TLS is our own; the scheme here only fills a header.
    let connected = Endpoint::from_static("http://muster-controller")
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(STREAM_WINDOW_BYTES)
        .connect_with_connector(connector)
        .await;
    match (connected, farewell.refusal()) {
        (Ok(channel), _) => Ok(Connection { channel, farewell }),
        (Err(_), Some(reason)) => Err(DialError::Refused { reason }),
        (Err(error), None) => Err(DialError::Lost { address: shown(), reason: crate::chain(&error) }),
    }
}

fn tls_error(address: &ControllerAddress, error: &io::Error) -> DialError {
    use rustls::{CertificateError as Certificate, Error as Tls};
    let address = address.to_string();
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Tls>()) {
        Some(Tls::InvalidCertificate(
            reason @ (Certificate::NotValidYet
            | Certificate::NotValidYetContext { .. }
            | Certificate::Expired
            | Certificate::ExpiredContext { .. }),
        )) => DialError::Clock { address, reason: reason.to_string() },
        Some(Tls::InvalidCertificate(reason)) => {
            DialError::WrongController { address, reason: reason.to_string() }
        }
        Some(Tls::General(reason)) if reason == WRONG_FLEET => {
            DialError::WrongController { address, reason: reason.clone() }
        }
        Some(other) => DialError::Tls { address, reason: other.to_string() },
        None => DialError::Tls { address, reason: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_https_with_a_host() {
        for (given, shown) in [
            ("https://muster.example", "https://muster.example:8444"),
            ("https://10.0.0.1:9000/", "https://10.0.0.1:9000"),
            ("https://[::1]:8444", "https://[::1]:8444"),
        ] {
            assert_eq!(ControllerAddress::parse(given).unwrap().to_string(), shown);
        }
        for bad in [
            "",
            "muster.example",
            "http://a",
            "https://",
            "https://a/b",
            "https://u@a",
            "https://a:",
            "https://a:99999",
        ] {
            assert!(ControllerAddress::parse(bad).is_err(), "{bad:?}");
        }
    }
}

//! Addresses the supervisor listens on in the name of an application.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// One of [`super::AppSpec::listen_fds`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// `3000`, `127.0.0.1:3000` or `[::1]:3000`; without an address all of this machine. Port 0 is picked once.
    Tcp {
        /// Address of this machine.
        ip: Option<IpAddr>,
        /// Port.
        port: u16,
    },
    /// An absolute path.
    Unix(PathBuf),
}

/// The text is no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidListenAddress(String);

impl fmt::Display for InvalidListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no address to listen on: write 3000, 127.0.0.1:3000, [::1]:3000 or the absolute path of a unix socket",
            self.0
        )
    }
}

impl std::error::Error for InvalidListenAddress {}

impl FromStr for ListenAddress {
    type Err = InvalidListenAddress;

    fn from_str(text: &str) -> Result<Self, InvalidListenAddress> {
        if text.starts_with('/') && !text.contains('\0') {
            return Ok(Self::Unix(text.into()));
        }
        if let Ok(port) = text.parse() {
            return Ok(Self::Tcp { ip: None, port });
        }
        match text.parse::<SocketAddr>() {
            Ok(address) => Ok(Self::Tcp { ip: Some(address.ip()), port: address.port() }),
            Err(_) => Err(InvalidListenAddress(text.to_owned())),
        }
    }
}

impl ListenAddress {
    /// Its name in `LISTEN_FDNAMES`: the port, or the file name of the unix socket.
    #[must_use]
    pub fn fd_name(&self) -> String {
        match self {
            Self::Tcp { port, .. } => port.to_string(),
            Self::Unix(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                // The names are separated by colons.
                name.chars().map(|c| if c == ':' || c.is_control() { '_' } else { c }).collect()
            }
        }
    }

    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp { port, .. } => Some(*port),
            Self::Unix(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        let tcp = |ip: Option<&str>, port| ListenAddress::Tcp { ip: ip.map(|ip| ip.parse().unwrap()), port };
        for (text, wanted) in [
            ("3000", tcp(None, 3000)),
            ("127.0.0.1:3000", tcp(Some("127.0.0.1"), 3000)),
            ("[::1]:80", tcp(Some("::1"), 80)),
            ("/run/shop.sock", ListenAddress::Unix("/run/shop.sock".into())),
        ] {
            assert_eq!(text.parse(), Ok(wanted), "{text}");
        }
        for text in ["", "70000", "localhost:3000", "::1:3000", "run/shop.sock", ":3000", "/run/\0"] {
            assert!(text.parse::<ListenAddress>().is_err(), "{text}");
        }
        assert_eq!(ListenAddress::Unix("/run/a:b.sock".into()).fd_name(), "a_b.sock");
    }
}

//! Tells systemd how the agent stands, where it runs as its unit (`Type=notify`). `systemctl status` shows it, and whoever
//! restarted the unit (an installation, an upgrade) sees whether the agent came back.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// How the status of a connected agent begins.
pub(crate) const CONNECTED: &str = "connected to ";

/// The agent has what it needs and does its work.
pub(crate) fn ready() {
    tell("READY=1");
}

/// What it is about, in a line.
pub(crate) fn status(text: &str) {
    let line = text.lines().next().unwrap_or_default();
    tell(&format!("STATUS={line}"));
}

fn tell(message: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    // Nothing depends on it but what people see.
    if let Err(error) = send(&socket, message) {
        tracing::debug!("systemd could not be told {message:?}: {error}");
    }
}

fn send(socket: &OsString, message: &str) -> io::Result<()> {
    let name = socket.as_bytes();
    let address = match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_arrives_by_path_and_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("muster-notify-test-{}", std::process::id());
        for (listener, address) in [
            (UnixDatagram::bind(&path), path.clone().into_os_string()),
            (
                UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()),
                OsString::from(format!("@{name}")),
            ),
        ] {
            send(&address, "READY=1").unwrap();
            let mut heard = [0; 32];
            let length = listener.unwrap().recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"READY=1");
        }
        assert!(send(&dir.path().join("nobody").into_os_string(), "READY=1").is_err());
    }
}

//! The listening sockets of pm2's daemon, and who is connected through it.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

/// Copies of every listening TCP socket of a process. pm2's own unix sockets are no business of applications.
///
/// `Err`: the kernel does not let us (another user, or Yama lets only ancestors look into a process).
pub(super) fn take(pid: u32) -> Result<Vec<OwnedFd>, Errno> {
    let process = pidfd_open(pid_of(pid)?, PidfdFlags::empty())?;
    let mut taken = Vec::new();
    for (descriptor, _) in sockets_of(pid) {
        let socket = match pidfd_getfd(&process, descriptor, PidfdGetfdFlags::empty()) {
            Ok(socket) => socket,
            // Closed since we looked.
            Err(Errno::BADF) => continue,
            Err(errno) => return Err(errno),
        };
        let tcp = matches!(sockopt::socket_domain(&socket), Ok(AddressFamily::INET | AddressFamily::INET6))
            && matches!(sockopt::socket_type(&socket), Ok(SocketType::STREAM));
        if tcp && sockopt::socket_acceptconn(&socket).unwrap_or(false) {
            taken.push(socket);
        }
    }
    Ok(taken)
}

/// Addresses of listening sockets, for people.
pub(super) fn addresses(sockets: &[OwnedFd]) -> Vec<String> {
    let address = |socket: &OwnedFd| {
        let name = rustix::net::getsockname(socket).ok()?;
        std::net::SocketAddr::try_from(name).ok().map(|address| address.to_string())
    };
    sockets.iter().filter_map(address).collect()
}

/// How many established TCP connections these processes hold in which they are the server, on these ports.
pub(super) fn connections(pids: &[u32], ports: &BTreeSet<u16>) -> usize {
    pids.iter()
        .map(|pid| {
            let held: BTreeSet<u64> = sockets_of(*pid).into_iter().map(|(_, inode)| inode).collect();
            ["tcp", "tcp6"]
                .iter()
                .filter_map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")).ok())
                .map(|table| table.lines().skip(1).filter(|line| established(line, ports, &held)).count())
                .sum::<usize>()
        })
        .sum()
}

/// How many connections wait to be accepted on these ports of a process.
pub(super) fn queued(pid: u32, ports: &BTreeSet<u16>) -> u32 {
    const LISTEN: &str = "0A";
    let tables = ["tcp", "tcp6"]
        .map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default());
    let waiting = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, local, _, LISTEN, queues, ..] = fields.as_slice() else { return None };
        let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
        let (_, received) = queues.split_once(':')?;
        ports.contains(&port).then(|| u32::from_str_radix(received, 16).unwrap_or(0))
    };
    tables.iter().flat_map(|table| table.lines().skip(1)).filter_map(waiting).sum()
}

/// The ports of listening sockets.
pub(super) fn ports(sockets: &[OwnedFd]) -> BTreeSet<u16> {
    let port = |socket: &OwnedFd| {
        let name = rustix::net::getsockname(socket).ok()?;
        std::net::SocketAddr::try_from(name).ok().map(|address| address.port())
    };
    sockets.iter().filter_map(port).collect()
}

/// A line of `/proc/net/tcp`: `sl local rem st tx:rx tr:when retr uid timeout inode …`.
fn established(line: &str, ports: &BTreeSet<u16>, held: &BTreeSet<u64>) -> bool {
    const ESTABLISHED: &str = "01";
    /// The client has said that it sends no more; it still waits for the answer.
    const CLOSE_WAIT: &str = "08";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, local, _, state, _, _, _, _, _, inode, ..] = fields.as_slice() else { return false };
    let port = local.rsplit_once(':').and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
    matches!(*state, ESTABLISHED | CLOSE_WAIT)
        && port.is_some_and(|port| ports.contains(&port))
        && inode.parse().is_ok_and(|inode| held.contains(&inode))
}

/// Descriptors of a process that are sockets, with their inodes.
fn sockets_of(pid: u32) -> Vec<(i32, u64)> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let socket = |entry: fs::DirEntry| {
        let target = fs::read_link(entry.path()).ok()?;
        let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()?;
        Some((entry.file_name().to_str()?.parse().ok()?, inode))
    };
    entries.flatten().filter_map(socket).collect()
}

pub(super) fn pid_of(pid: u32) -> Result<Pid, Errno> {
    i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_a_process_are_counted_by_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = [std::process::id()];
        let ports = BTreeSet::from([port]);
        assert_eq!(connections(&own, &ports), 0);
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        // The client's end has another local port.
        assert_eq!(connections(&own, &ports), 1);
        assert_eq!(connections(&own, &BTreeSet::from([1])), 0);
        assert_eq!(queued(own[0], &ports), 0);
        let waiting = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(queued(own[0], &ports), 1);
        drop((waiting, listener.accept().unwrap()));
        drop(server);
        drop(client);
        assert_eq!(connections(&own, &ports), 0);
    }

    #[test]
    fn a_listening_socket_is_copied_from_a_process() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken = take(std::process::id()).unwrap();
        assert!(ports(&taken).contains(&port), "{:?}", addresses(&taken));
        drop(listener);
        // The copy keeps it open.
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        drop(taken);
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}

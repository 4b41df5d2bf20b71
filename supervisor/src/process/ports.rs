//! Who listens on a port: a process of ours, or a stranger whose answer would prove nothing. All of it is read from
//! `/proc`; no process is touched.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::tree;

/// `st` of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";
/// `accept` and `accept4`.
#[cfg(target_arch = "x86_64")]
const ACCEPT_CALLS: [&str; 2] = ["43", "288"];
#[cfg(not(target_arch = "x86_64"))]
const ACCEPT_CALLS: [&str; 2] = ["202", "242"];
/// `poll`, `ppoll`, `select` and `pselect6`: what they wait for is in the memory of the process.
#[cfg(target_arch = "x86_64")]
const POLL_CALLS: [&str; 4] = ["7", "271", "23", "270"];
#[cfg(not(target_arch = "x86_64"))]
const POLL_CALLS: [&str; 2] = ["73", "72"];

/// Whether a process waits for connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepts {
    /// On one of the sockets.
    Yes,
    /// For something that cannot be seen.
    Perhaps,
    /// It does something else.
    No,
}

/// Who took a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acceptor {
    /// Nobody yet.
    Nobody,
    /// The process that was meant.
    It,
    /// Somebody else, or it is closed already.
    Another,
}

/// Whether a process or something it started listens on a TCP port.
pub(crate) fn listens(root: u32, port: u16) -> bool {
    let sockets: BTreeSet<u64> = tables()
        .iter()
        .flat_map(|table| rows(table))
        .filter(|row| row.state == LISTEN && row.local_port == port)
        .map(|row| row.inode)
        .collect();
    !sockets.is_empty() && family(root).any(|pid| owned(pid, &sockets).next().is_some())
}

/// Who took the connection to `port` on loopback that comes from the port `from`.
pub(crate) fn acceptor(root: u32, port: u16, from: u16) -> Acceptor {
    let tables = tables();
    let row = tables
        .iter()
        .flat_map(|table| rows(table))
        .find(|row| row.local_port == port && row.remote_port == from && row.state != LISTEN);
    match row {
        // The kernel lets the client go on before the connection is in the queue.
        None => Acceptor::Another,
        Some(row) if row.inode == 0 => Acceptor::Nobody,
        Some(row) => {
            let sockets = BTreeSet::from([row.inode]);
            let its = family(root).any(|pid| owned(pid, &sockets).next().is_some());
            if its { Acceptor::It } else { Acceptor::Another }
        }
    }
}

/// Whether a process, or something it started, waits for connections on one of these sockets.
pub(crate) fn accepts(root: u32, sockets: &[u64]) -> Accepts {
    let sockets: BTreeSet<u64> = sockets.iter().copied().collect();
    let mut answer = Accepts::No;
    for pid in family(root) {
        let fds: BTreeSet<u32> = owned(pid, &sockets).collect();
        if fds.is_empty() {
            continue;
        }
        if polls(pid, &fds) {
            return Accepts::Yes;
        }
        for call in calls(pid) {
            let mut words = call.split_ascii_whitespace();
            let (Some(number), first) = (words.next(), words.next()) else {
                // Where the kernel does not show it.
                answer = Accepts::Perhaps;
                continue;
            };
            let fd = first.and_then(|hex| u32::from_str_radix(hex.trim_start_matches("0x"), 16).ok());
            if ACCEPT_CALLS.contains(&number) && fd.is_some_and(|fd| fds.contains(&fd)) {
                return Accepts::Yes;
            }
            if POLL_CALLS.contains(&number) {
                answer = Accepts::Perhaps;
            }
        }
    }
    answer
}

/// Whether one of the descriptors is in an epoll set of the process.
fn polls(pid: u32, fds: &BTreeSet<u32>) -> bool {
    descriptors(pid).any(|(number, target)| {
        target == "anon_inode:[eventpoll]"
            && std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).is_ok_and(|info| {
                info.lines()
                    .filter_map(|line| {
                        line.strip_prefix("tfd:")?.split_ascii_whitespace().next()?.parse().ok()
                    })
                    .any(|fd: u32| fds.contains(&fd))
            })
    })
}

/// The system call each thread of the process is in; empty where that cannot be read.
fn calls(pid: u32) -> Vec<String> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    threads
        .filter_map(Result::ok)
        .map(|thread| std::fs::read_to_string(thread.path().join("syscall")).unwrap_or_default())
        .collect()
}

fn family(root: u32) -> impl Iterator<Item = u32> {
    std::iter::once(root).chain(tree::descendants(root))
}

struct Row {
    local_port: u16,
    remote_port: u16,
    state: String,
    inode: u64,
}

fn tables() -> [String; 2] {
    ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| std::fs::read_to_string(table).unwrap_or_default())
}

fn rows(table: &str) -> impl Iterator<Item = Row> {
    let port = |address: &str| u16::from_str_radix(address.rsplit(':').next()?, 16).ok();
    table.lines().filter_map(move |line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
        let inode = fields.nth(5)?.parse().ok()?;
        Some(Row { local_port: port(local)?, remote_port: port(remote)?, state: state.to_owned(), inode })
    })
}

/// Descriptors of a process that are one of these sockets.
fn owned(pid: u32, sockets: &BTreeSet<u64>) -> impl Iterator<Item = u32> {
    descriptors(pid).filter_map(move |(number, target)| {
        let inode: u64 = target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()?;
        sockets.contains(&inode).then_some(number)
    })
}

fn descriptors(pid: u32) -> impl Iterator<Item = (u32, String)> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
    entries.filter_map(Result::ok).filter_map(|entry| {
        let target: PathBuf = std::fs::read_link(entry.path()).ok()?;
        Some((entry.file_name().to_str()?.parse().ok()?, target.to_str()?.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn our_own_listener_is_ours_and_nobody_elses() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = std::net::TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            assert!(listens(std::process::id(), port));
            let mut stranger = std::process::Command::new("sleep").arg("60").spawn().unwrap();
            assert!(!listens(stranger.id(), port));
            let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let from = client.local_addr().unwrap().port();
            assert_eq!(acceptor(std::process::id(), port, from), Acceptor::Nobody);
            let accepted = listener.accept().unwrap();
            assert_eq!(acceptor(std::process::id(), port, from), Acceptor::It);
            assert_eq!(acceptor(stranger.id(), port, from), Acceptor::Another);
            drop(accepted);
            stranger.kill().unwrap();
            stranger.wait().unwrap();
        }
    }

    #[test]
    fn who_waits_in_accept_is_told_from_who_does_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let inode = {
            use std::os::fd::AsRawFd;
            std::fs::metadata(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap().ino()
        };
        assert_ne!(accepts(std::process::id(), &[inode]), Accepts::Yes);
        let waiting = std::thread::spawn(move || listener.accept().unwrap());
        // Where the system call of a thread is not shown, it stays a guess.
        let bound = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let shown = calls(std::process::id()).iter().all(|call| !call.is_empty());
        while shown && accepts(std::process::id(), &[inode]) != Accepts::Yes {
            assert!(std::time::Instant::now() < bound);
            std::thread::yield_now();
        }
        drop(std::net::TcpStream::connect(address).unwrap());
        waiting.join().unwrap();
    }

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0\n\
            1: 0100007F:0BB8 0100007F:1234 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0 100 0\n";
        let found: Vec<_> =
            rows(table).map(|row| (row.local_port, row.remote_port, row.state, row.inode)).collect();
        assert_eq!(found, [(3000, 0, "0A".to_owned(), 111), (3000, 0x1234, "01".to_owned(), 222)]);
    }
}

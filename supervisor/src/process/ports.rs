//! Who listens on a port: a process of ours, or a stranger whose answer would prove nothing.

use std::collections::BTreeSet;

use super::tree;

/// `st` of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// Whether a process or something it started listens on a TCP port.
pub(crate) fn listens(root: u32, port: u16) -> bool {
    let mut sockets = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        sockets.extend(listeners(&std::fs::read_to_string(table).unwrap_or_default(), port));
    }
    if sockets.is_empty() {
        return false;
    }
    std::iter::once(root).chain(tree::descendants(root)).any(|pid| owns(pid, &sockets))
}

/// Inodes of the sockets that listen on the port.
fn listeners(table: &str, port: u16) -> Vec<u64> {
    table
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            let local_port = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
            if *state == LISTEN && local_port == port { inode.parse().ok() } else { None }
        })
        .collect()
}

fn owns(pid: u32, sockets: &BTreeSet<u64>) -> bool {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries.filter_map(Result::ok).any(|entry| {
        std::fs::read_link(entry.path()).is_ok_and(|target| {
            target
                .to_str()
                .and_then(|name| name.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok())
                .is_some_and(|inode| sockets.contains(&inode))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_listener_is_ours_and_nobody_elses() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = std::net::TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            assert!(listens(std::process::id(), port));
            let mut stranger = std::process::Command::new("sleep").arg("60").spawn().unwrap();
            assert!(!listens(stranger.id(), port));
            stranger.kill().unwrap();
            stranger.wait().unwrap();
        }
    }

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0\n\
            1: 0100007F:0BB8 0100007F:1234 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0 100 0\n\
            2: 0100007F:0BB9 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100 0\n";
        assert_eq!(listeners(table, 3000), [111]);
    }
}

//! `inspect`: the debugger of a Node.js process.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use muster_supervisor_protocol::Request;
use tokio::time::Instant;

use crate::context::refused;
use crate::selector::select;
use crate::{Context, Failure};

/// Arguments.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Name or id
    pub name: String,
}

/// Node.js opens the debugger when it next comes to its event loop.
const OPEN_LIMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// Runs it.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let mut client = context.connect().await?;
    let processes = context.processes(&mut client).await?;
    let specs = client.specs(None).await.map_err(refused)?;
    let mut opened = 0;
    for place in select(&processes, &args.name)? {
        let process = &processes[place];
        let Some(pid) = process.instance.pid else { continue };
        let spec = specs.iter().find(|spec| spec.name == process.name);
        let interpreter = spec.and_then(|spec| spec.interpreter.as_deref()).unwrap_or_default();
        // Any other program would be ended by the signal.
        if !Path::new(interpreter).file_name().is_some_and(|name| name.to_string_lossy().starts_with("node"))
        {
            context.output.warn(format!("{} is not run by Node.js and has no debugger", process.name));
            continue;
        }
        let before = listening(pid);
        let request = Request::Signal { target: process.target(), signal: "SIGUSR1".to_owned() };
        client.carry_out(&request).await.map_err(refused)?;
        let deadline = Instant::now() + OPEN_LIMIT;
        let address = loop {
            if let Some(address) = listening(pid).difference(&before).next() {
                break Some(address.clone());
            }
            if Instant::now() >= deadline {
                break None;
            }
            tokio::time::sleep(PAUSE).await;
        };
        let id = process.id();
        match address {
            Some(address) => {
                opened += 1;
                let port = address.rsplit_once(':').map_or("9229", |(_, port)| port);
                context.output.message(format!(
                    "Inspect enabled on {} (id {id}) at {address} => go to chrome : chrome://inspect !!!",
                    process.name
                ));
                context
                    .output
                    .message(format!("From another machine: ssh -L {port}:{address} <this machine>"));
            }
            None => context
                .output
                .warn(format!("{} (id {id}) opened no debugger; it may be open already", process.name)),
        }
    }
    if opened == 0 {
        return Err(Failure::new(format!("Unable to activate inspect mode on {} !!!", args.name)));
    }
    Ok(())
}

/// TCP addresses on loopback that a process listens on.
fn listening(pid: u32) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return BTreeSet::new() };
    let inode = |entry: fs::DirEntry| {
        let target = fs::read_link(entry.path()).ok()?;
        Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    };
    let held: BTreeSet<String> = entries.flatten().filter_map(inode).collect();
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    table.lines().skip(1).filter_map(|line| address(line, &held)).collect()
}

/// A line of `/proc/net/tcp` in the state of listening.
fn address(line: &str, held: &BTreeSet<String>) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, local, _, "0A", _, _, _, _, _, inode, ..] = fields.as_slice() else { return None };
    let (ip, port) = local.split_once(':')?;
    let ip = u32::from_str_radix(ip, 16).ok()?.swap_bytes();
    let port = u16::from_str_radix(port, 16).ok()?;
    held.contains(*inode).then(|| format!("{}:{port}", std::net::Ipv4Addr::from(ip)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_sockets_of_a_process_are_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert!(listening(std::process::id()).contains(&address));
        drop(listener);
        assert!(!listening(std::process::id()).contains(&address));
    }
}

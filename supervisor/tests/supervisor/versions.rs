//! Every supported major version of Node.js: its cluster protocol is internal to it, so each is tried.

use std::time::Instant;

use muster_supervisor_protocol::{AppSpec, ApplyOutcome, ExecMode, Readiness};

use crate::harness::{SERVER, Supervisor, free_port, tested_node, until};
use crate::load::{Load, get, get_path};

/// Listens in every way there is, and answers what it knows.
const EVERYTHING: &str = r"
import http from 'node:http';
import dgram from 'node:dgram';
import cluster from 'node:cluster';
import fs from 'node:fs';

const facts = { version: process.version, worker: cluster.isWorker, messages: [] };
const server = () => http.createServer((request, response) => {
  if (request.url === '/leave') cluster.worker.disconnect();
  response.end(JSON.stringify({ ...facts, pid: process.pid }));
});
const listening = (server, ...where) => new Promise((resolve, reject) => {
  server.once('listening', () => resolve(server.address())).once('error', reject).listen(...where);
});
const bound = (socket, ...where) => new Promise((resolve, reject) => {
  socket.once('listening', () => resolve(socket.address())).once('error', reject).bind(...where);
});
process.on('message', (message) => {
  if (message !== 'shutdown') return;
  fs.writeFileSync(process.env.SAID, 'bye');
  process.exit(0);
});
facts.v4 = await listening(server(), 0, '127.0.0.1');
facts.again = await listening(server(), 0, '127.0.0.1');
facts.v6 = await listening(server(), { port: 0, host: '::1', ipv6Only: true });
facts.dual = await listening(server(), 0);
facts.unix = await listening(server(), process.env.UNIX_PATH);
facts.udp = await bound(dgram.createSocket('udp4'), 0, '127.0.0.1');
facts.taken = await listening(server(), Number(process.env.TAKEN), '127.0.0.1').catch((error) => error.code);
facts.absent = await listening(server(), 0, '192.0.2.1').catch((error) => error.code);
process.send({ a: 'message of the application' });
process.send('ready');
";

async fn every_kind_of_listening_works(major: u32) {
    let Some(node) = tested_node(major) else { return };
    let supervisor = Supervisor::start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let path = |name: &str| supervisor.dir.path().join(name).to_str().unwrap().to_owned();
    let script = supervisor.script("everything.mjs", EVERYTHING);
    let mut spec = AppSpec {
        interpreter: Some(node),
        instances: 2,
        readiness: Readiness::ReadyMessage,
        shutdown_with_message: true,
        script,
        ..supervisor.app("shop", "1", "")
    };
    spec.env.insert("UNIX_PATH".into(), path("app.sock"));
    spec.env.insert("SAID".into(), path("said"));
    spec.env.insert("TAKEN".into(), taken.local_addr().unwrap().port().to_string());
    supervisor.run(&spec).await;
    let status = supervisor.status("shop").await;
    assert!(status.settled(), "{status:?}");
    // Two on loopback share one key, as they do under Node's own primary: same address, same port 0, same index.
    let ports: Vec<u16> = status
        .listening
        .iter()
        .filter_map(|address| address.strip_prefix("tcp ")?.rsplit(':').next()?.parse().ok())
        .collect();
    assert!(status.listening.iter().any(|address| address.starts_with("udp ")), "{status:?}");
    assert!(status.listening.iter().any(|address| address.starts_with("unix ")), "{status:?}");
    assert!(status.listening.iter().any(|address| address.starts_with("tcp [::1]")), "{status:?}");
    let v4 = *ports.first().unwrap();
    let facts: serde_json::Value = serde_json::from_str(&get(v4).await.unwrap()).unwrap();
    assert!(facts["version"].as_str().unwrap().starts_with(&format!("v{major}.")), "{facts}");
    assert_eq!(facts["worker"], true);
    assert_eq!(facts["taken"], "EADDRINUSE", "{facts}");
    assert_eq!(facts["absent"], "EADDRNOTAVAIL", "{facts}");
    assert_eq!(facts["unix"], path("app.sock"));
    // The dual socket answers to IPv4 and IPv6.
    let dual = facts["dual"]["port"].as_u64().unwrap().try_into().unwrap();
    get(dual).await.unwrap();
    assert_eq!(std::net::TcpStream::connect(("::1", dual)).map(drop).map_err(|error| error.kind()), Ok(()));

    // A worker may leave by its own decision; another one takes its place.
    let before: u64 = status.instances.iter().map(|instance| u64::from(instance.restarts)).sum();
    get_path(v4, "/leave").await.unwrap();
    supervisor
        .until("shop", "the worker that left was replaced", |status| {
            let restarts: u64 = status.instances.iter().map(|instance| u64::from(instance.restarts)).sum();
            status.settled() && restarts > before
        })
        .await;
    get(v4).await.unwrap();
    supervisor.client().await.stop("shop").await.unwrap();
    assert_eq!(std::fs::read_to_string(path("said")).unwrap(), "bye");
}

/// How often each worker is replaced; `MUSTER_TEST_SWAPS` asks for more.
fn rounds() -> usize {
    std::env::var("MUSTER_TEST_SWAPS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

/// Start-first replacements of two workers while clients (half keep-alive, half not) ask without a pause.
async fn swaps_lose_no_request(major: u32) {
    let Some(node) = tested_node(major) else { return };
    let supervisor = Supervisor::start().await;
    let spec = |release: usize| AppSpec {
        interpreter: Some(node.clone()),
        instances: 2,
        ..supervisor.app("shop", &format!("{release}"), SERVER)
    };
    supervisor.run(&spec(0)).await;
    let load = Load::start(supervisor.port("shop").await, 16);
    let started = Instant::now();
    for round in 1..=rounds() {
        assert_eq!(supervisor.run(&spec(round)).await, ApplyOutcome::Replaced);
        let answered = load.answered();
        until("load on the present release", async || (load.answered() > answered + 50).then_some(())).await;
    }
    let elapsed = started.elapsed();
    let seen = load.stop().await;
    println!(
        "Node.js {major}: {} swaps in {elapsed:.1?}, {} requests, {} failed",
        2 * rounds(),
        seen.answered,
        seen.failures.len()
    );
    assert_eq!(seen.failures, Vec::<String>::new(), "of {} requests", seen.answered);
}

/// A fork process that is handed its socket, and one that talks over the channel.
async fn fork_mode_works(major: u32) {
    let Some(node) = tested_node(major) else { return };
    let supervisor = Supervisor::start().await;
    let source = r"
        if (process.env.LISTEN_PID !== String(process.pid)) throw new Error('not for us');
        require('http').createServer((request, response) => response.end(process.env.LISTEN_FDNAMES))
          .listen({ fd: 3 }, () => process.send('ready'));
    ";
    let port = free_port();
    let spec = AppSpec {
        interpreter: Some(node),
        exec_mode: ExecMode::Fork,
        readiness: Readiness::ReadyMessage,
        listen_fds: vec![format!("127.0.0.1:{port}")],
        ..supervisor.app("shop", "1", source)
    };
    supervisor.run(&spec).await;
    assert_eq!(get(port).await.unwrap(), port.to_string());
}

macro_rules! versions {
    ($($name:ident = $major:literal),*) => {
        $(mod $name {
            #[tokio::test]
            async fn every_kind_of_listening_works() {
                super::every_kind_of_listening_works($major).await;
            }

            #[tokio::test]
            async fn swaps_lose_no_request() {
                super::swaps_lose_no_request($major).await;
            }

            #[tokio::test]
            async fn fork_mode_works() {
                super::fork_mode_works($major).await;
            }
        })*
    };
}

versions!(node_18 = 18, node_20 = 20, node_22 = 22, node_24 = 24);

//! Fork mode with sockets that the supervisor holds (`listen_fds`).

use std::os::unix::fs::MetadataExt as _;

use muster_supervisor_protocol::{
    AppSpec, AppStatus, ApplyOutcome, ExecMode, Limits, Readiness, Request, Target,
};

use crate::harness::{Supervisor, alive, free_port, until};
use crate::load::{Load, get};

/// An application as it would run under systemd's socket activation.
const NODE: &str = r"
const http = require('http');
const release = require('path').basename(__filename);
if (process.env.LISTEN_PID !== String(process.pid) || process.env.LISTEN_FDS !== '1') throw new Error('no sockets');
http.createServer((request, response) => {
  setTimeout(() => response.end(`${release} ${process.pid} ${process.env.NODE_APP_INSTANCE}`), 2);
}).listen({ fd: 3 });
";

/// One connection after the other, with a descriptor that waits in `accept`.
const PYTHON: &str = r"
import os, signal, socket, sys
assert os.environ['LISTEN_PID'] == str(os.getpid()), 'the sockets are not for us'
assert os.environ['LISTEN_FDS'] == '1'
stopping = False
def stop(*_):
    # The connection that comes next is the last one: leaving at once could drop one that was just taken.
    global stopping
    stopping = True
signal.signal(signal.SIGTERM, stop)
listening = socket.socket(fileno=3)
while not stopping:
    connection, _ = listening.accept()
    with connection:
        request = b''
        while b'\r\n\r\n' not in request:
            received = connection.recv(4096)
            if not received:
                break
            request += received
        body = f'{os.path.basename(sys.argv[0])} {os.getpid()} 0'.encode()
        connection.sendall(b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' % (len(body), body))
";

fn fork(supervisor: &Supervisor, release: &str, source: &str, address: &str) -> AppSpec {
    AppSpec {
        exec_mode: ExecMode::Fork,
        listen_fds: vec![address.to_owned()],
        ..supervisor.app("shop", release, source)
    }
}

async fn replaced_under_load(supervisor: &Supervisor, port: u16, spec: impl Fn(&str) -> AppSpec) {
    let load = Load::start(port, 8);
    for release in ["2", "3", "4"] {
        let answered = load.answered();
        until("load on the present release", async || (load.answered() > answered + 100).then_some(())).await;
        let applied = supervisor.apply(&spec(release)).await;
        assert_eq!(applied.outcome, ApplyOutcome::Replaced, "{applied:?}\n{}", supervisor.stderr());
        assert_eq!(applied.notes, Vec::<String>::new(), "nothing had to be stopped first");
    }
    let answered = load.answered();
    until("load on the last release", async || (load.answered() > answered + 100).then_some(())).await;
    let seen = load.stop().await;
    assert_eq!(seen.failures, Vec::<String>::new(), "of {} requests", seen.answered);
    assert!(seen.bodies.iter().any(|body| body.starts_with("shop-4")), "{:?}", seen.bodies);
}

#[tokio::test]
async fn node_on_a_handed_socket_is_replaced_without_a_failed_request() {
    let supervisor = Supervisor::start().await;
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let spec = |release: &str| AppSpec { instances: 2, ..fork(&supervisor, release, NODE, &address) };
    supervisor.run(&spec("1")).await;
    assert_eq!(supervisor.status("shop").await.listening, [format!("tcp {address}")]);
    replaced_under_load(&supervisor, port, spec).await;
}

#[tokio::test]
async fn python_on_a_handed_socket_is_replaced_without_a_failed_request() {
    let supervisor = Supervisor::start().await;
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let spec = |release: &str| AppSpec {
        script: supervisor.script(&format!("shop-{release}.py"), PYTHON),
        interpreter: Some("/usr/bin/python3".into()),
        kill_signal: "SIGTERM".into(),
        // When there is no load any longer nothing wakes it.
        kill_timeout_ms: 3_000,
        ..fork(&supervisor, release, "", &address)
    };
    if !std::path::Path::new("/usr/bin/python3").exists() {
        eprintln!("SKIPPED: there is no /usr/bin/python3");
        return;
    }
    supervisor.run(&spec("1")).await;
    replaced_under_load(&supervisor, port, spec).await;
}

#[tokio::test]
async fn whoever_never_takes_connections_leaves_the_old_instance_serving() {
    let supervisor = Supervisor::start().await;
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    supervisor.run(&fork(&supervisor, "1", NODE, &address)).await;
    let load = Load::start(port, 4);
    let silent = fork(&supervisor, "2", "setInterval(() => {}, 1000)", &address);
    let applied = supervisor.apply(&AppSpec { listen_timeout_ms: 1_000, ..silent }).await;
    let ApplyOutcome::Failed { reason, previous_kept, .. } = applied.outcome else { panic!("{applied:?}") };
    assert!(previous_kept);
    assert!(reason.contains("did not take connections on the sockets it was handed"), "{reason}");
    let http = fork(&supervisor, "3", "require('net').createServer().listen({ fd: 3 })", &address);
    let readiness = Readiness::Http { port: Some(port), path: "/".into(), timeout_ms: 200 };
    let applied = supervisor.apply(&AppSpec { listen_timeout_ms: 1_000, readiness, ..http }).await;
    assert!(
        matches!(applied.outcome, ApplyOutcome::Failed { previous_kept: true, .. }),
        "the old instance's answers do not make the new one ready: {applied:?}"
    );
    let seen = load.stop().await;
    assert_eq!(
        seen.bodies.iter().filter(|body| !body.starts_with("shop-1.js")).collect::<Vec<_>>(),
        Vec::<&String>::new()
    );
    assert!(get(port).await.unwrap().starts_with("shop-1.js"));
}

#[tokio::test]
async fn an_http_probe_of_a_shared_port_asks_the_new_instance() {
    let supervisor = Supervisor::start().await;
    let port = free_port();
    let readiness = Readiness::Http { port: Some(port), path: "/".into(), timeout_ms: 1_000 };
    for release in ["1", "2"] {
        let spec = fork(&supervisor, release, NODE, &format!("127.0.0.1:{port}"));
        supervisor.run(&AppSpec { readiness: readiness.clone(), ..spec }).await;
        assert!(get(port).await.unwrap().starts_with(&format!("shop-{release}.js")));
    }
}

#[tokio::test]
async fn a_handed_socket_outlives_the_supervisor() {
    let supervisor = Supervisor::start().await;
    let spec = fork(&supervisor, "1", NODE, "127.0.0.1:0");
    supervisor.run(&spec).await;
    let port = supervisor.port("shop").await;
    supervisor.upgrade().await;
    get(port).await.unwrap();
    let orphaned = supervisor.kill();
    get(port).await.unwrap();
    let supervisor = orphaned.start().await;
    supervisor.until("shop", "known again", |status| status.settled()).await;
    let second = fork(&supervisor, "2", NODE, "127.0.0.1:0");
    assert_eq!(supervisor.run(&second).await, ApplyOutcome::Replaced);
    assert!(get(port).await.unwrap().starts_with("shop-2.js"), "on the same port");
}

#[tokio::test]
async fn a_fork_application_can_move_to_handed_sockets_and_back() {
    let supervisor = Supervisor::start().await;
    let port = free_port();
    let own = AppSpec {
        port: Some(port),
        exec_mode: ExecMode::Fork,
        ..supervisor.app("shop", "1", crate::harness::SERVER)
    };
    supervisor.run(&own).await;
    let handed = AppSpec { port: Some(port), ..fork(&supervisor, "2", NODE, &format!("127.0.0.1:{port}")) };
    let applied = supervisor.apply(&handed).await;
    assert_eq!(applied.outcome, ApplyOutcome::Replaced, "{applied:?}");
    assert!(applied.notes[0].contains("listens in another way"), "{applied:?}");
    let back = AppSpec {
        port: Some(port),
        exec_mode: ExecMode::Fork,
        ..supervisor.app("shop", "3", crate::harness::SERVER)
    };
    assert_eq!(supervisor.run(&back).await, ApplyOutcome::Replaced);
    assert!(get(port).await.unwrap().starts_with("shop-3.js"));
}

/// Everything the launcher does, at once: sockets, limits, a user, standard input; and everything survives.
#[tokio::test]
async fn handed_sockets_go_together_with_limits_a_user_and_input() {
    let supervisor = Supervisor::start().await;
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(supervisor.dir.path(), readable).unwrap();
    // Only root can become somebody else.
    let root = std::fs::metadata(supervisor.dir.path()).unwrap().uid() == 0;
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let source = format!(
        "let heard = ''; process.stdin.on('data', (data) => {{ heard += data; }});\n{}",
        NODE.replace("NODE_APP_INSTANCE}", "NODE_APP_INSTANCE} ${process.getuid()} ${heard.trim()}")
    );
    let spec = |release: &str| AppSpec {
        instances: 2,
        stdin: true,
        user: root.then(|| "nobody".to_owned()),
        limits: Limits {
            memory_bytes: Some(1 << 30),
            pids: Some(500),
            open_files: Some(600),
            cpu_percent: None,
        },
        ..fork(&supervisor, release, &source, &address)
    };
    supervisor.run(&spec("1")).await;
    let limited = |status: &AppStatus| status.instances.iter().all(|one| one.limits_by.is_some());
    let status = supervisor.until("shop", "it is known what enforces its limits", limited).await;
    let pid = status.instances[0].pid.unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().nth(1), Some("600"), "{files}");
    replaced_under_load(&supervisor, port, &spec).await;
    supervisor.upgrade().await;
    let word = async |supervisor: &Supervisor, word: &str| {
        let request = Request::Input { target: Target::all("shop"), data: format!("{word}\n") };
        supervisor.client().await.carry_out(&request).await.unwrap();
        until("it heard that", async || get(port).await.ok().filter(|body| body.ends_with(word))).await
    };
    let body = word(&supervisor, "upgraded").await;
    if root {
        assert_eq!(body.split(' ').nth(3), Some("65534"), "{body}");
    }
    let orphaned = supervisor.kill();
    get(port).await.unwrap();
    let supervisor = orphaned.start().await;
    supervisor.until("shop", "known again", |status| status.settled() && limited(status)).await;
    word(&supervisor, "orphaned").await;
    supervisor.client().await.reload("shop").await.unwrap();
    word(&supervisor, "reloaded").await;
    let pids: Vec<u32> = supervisor.status("shop").await.instances.iter().filter_map(|one| one.pid).collect();
    supervisor.client().await.stop("shop").await.unwrap();
    assert!(!pids.is_empty() && pids.iter().all(|pid| !alive(*pid)));
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let supervisor = Supervisor::start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let applied = supervisor.apply(&fork(&supervisor, "1", NODE, &address)).await;
    let ApplyOutcome::Failed { reason, .. } = applied.outcome else { panic!("{applied:?}") };
    assert!(reason.contains("listen_fds") && reason.contains("is in use"), "{reason}");
}

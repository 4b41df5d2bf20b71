//! Unmodified applications as cluster workers.

use std::collections::BTreeSet;

use muster_supervisor_protocol::{AppSpec, AppStatus, ApplyOutcome, InstanceState, Readiness};

use crate::harness::{SERVER, Supervisor, free_port, signal, tested_node, until};
use crate::load::{Load, get};

#[tokio::test]
async fn two_instances_share_one_port_and_know_their_numbers() {
    let supervisor = Supervisor::start().await;
    let spec = AppSpec { instances: 2, ..supervisor.app("shop", "1", SERVER) };
    assert_eq!(supervisor.run(&spec).await, ApplyOutcome::Started);
    let status = supervisor.status("shop").await;
    assert!(status.settled(), "{status:?}");
    assert_eq!(status.instances.iter().map(|i| i.index).collect::<Vec<_>>(), [0, 1]);
    assert!(status.instances.iter().all(|instance| instance.memory_bytes > 1_000_000));
    let port = supervisor.port("shop").await;
    let seen: BTreeSet<String> = until("both instances answered", async || {
        let load = Load::start(port, 8);
        until("some load", async || (load.answered() > 200).then_some(())).await;
        Some(load.stop().await.bodies).filter(|bodies| bodies.len() == 2)
    })
    .await;
    let numbers: BTreeSet<_> = seen.iter().map(|body| body.rsplit(' ').next().unwrap()).collect();
    assert_eq!(numbers, BTreeSet::from(["0", "1"]));
    assert_eq!(supervisor.run(&spec).await, ApplyOutcome::Unchanged);
}

#[tokio::test]
async fn a_killed_worker_is_replaced_and_no_connection_is_refused() {
    let supervisor = Supervisor::start().await;
    supervisor.run(&supervisor.app("shop", "1", SERVER)).await;
    let port = supervisor.port("shop").await;
    let before = supervisor.status("shop").await.instances[0].pid.unwrap();
    signal(before, "KILL");
    // The only worker is dead: these connections wait in the held socket until its successor takes them.
    for _ in 0..20 {
        let body = get(port).await.unwrap();
        assert!(body.starts_with("shop-1.js"), "{body}");
    }
    let status = supervisor.until("shop", "ready again", |status| status.settled()).await;
    let instance = &status.instances[0];
    assert_ne!(instance.pid, Some(before));
    assert_eq!(instance.restarts, 1);
    assert_eq!(instance.last_exit.as_ref().unwrap().signal.as_deref(), Some("SIGKILL"));
}

#[tokio::test]
async fn a_taken_port_is_told_to_the_application_and_to_people() {
    let supervisor = Supervisor::start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let spec = AppSpec { port: Some(port), ..supervisor.app("shop", "1", SERVER) };
    let applied = supervisor.apply(&spec).await;
    let ApplyOutcome::Failed { reason, last_stderr, previous_kept } = applied.outcome else {
        panic!("{applied:?}")
    };
    assert!(reason.contains(&format!("127.0.0.1:{port} is in use")), "{reason}");
    assert!(last_stderr.iter().any(|line| line.contains("EADDRINUSE")), "{last_stderr:?}");
    assert!(!previous_kept);
    let status = supervisor.status("shop").await;
    assert!(status.instances.is_empty() && status.last_failure.is_some(), "{status:?}");
}

#[tokio::test]
async fn an_application_may_listen_late_and_on_several_addresses() {
    let supervisor = Supervisor::start().await;
    let source = format!(
        r"
        const http = require('http');
        const answer = (text) => (request, response) => response.end(text);
        http.createServer(answer('first')).listen(0, '127.0.0.1', () => setTimeout(() => {{
          http.createServer(answer('second')).listen({{ port: 0, host: '127.0.0.1' }}, () => {{
            http.createServer(answer('third')).listen('{}');
          }});
        }}, 50));
        require('dgram').createSocket('udp4').bind(0, '127.0.0.1');
        ",
        supervisor.dir.path().join("app.sock").display()
    );
    supervisor.run(&AppSpec { instances: 2, ..supervisor.app("shop", "1", &source) }).await;
    let status = supervisor.until("shop", "everything listens", |status| status.listening.len() == 4).await;
    for kind in ["tcp ", "udp ", "unix "] {
        assert!(status.listening.iter().any(|address| address.starts_with(kind)), "{status:?}");
    }
    let ports = status.listening.iter().filter_map(|a| a.strip_prefix("tcp 127.0.0.1:")?.parse::<u16>().ok());
    let mut bodies = BTreeSet::new();
    for port in ports {
        bodies.insert(get(port).await.unwrap());
    }
    assert_eq!(bodies, BTreeSet::from(["first".to_owned(), "second".to_owned()]));
    supervisor.client().await.stop("shop").await.unwrap();
    assert!(!supervisor.dir.path().join("app.sock").exists(), "the socket file is gone");
}

#[tokio::test]
async fn a_port_is_let_go_when_the_next_release_no_longer_uses_it() {
    let supervisor = Supervisor::start().await;
    let (first, second) = (free_port(), free_port());
    supervisor.run(&AppSpec { port: Some(first), ..supervisor.app("shop", "1", SERVER) }).await;
    supervisor.run(&AppSpec { port: Some(second), ..supervisor.app("shop", "2", SERVER) }).await;
    assert_eq!(supervisor.status("shop").await.listening, [format!("tcp 127.0.0.1:{second}")]);
    assert!(get(first).await.is_err());
}

#[tokio::test]
async fn ready_means_what_the_spec_says() {
    let supervisor = Supervisor::start().await;
    let slow = r"
        const http = require('http');
        let warm = false;
        http.createServer((request, response) => {
          response.statusCode = request.url === '/health' && !warm ? 503 : 200;
          response.end('ok');
        }).listen(Number(process.env.PORT), '127.0.0.1', () => setTimeout(() => {
          warm = true;
          if (process.send) process.send('ready');
        }, 300));
    ";
    for (release, readiness) in [
        ("http", Readiness::Http { port: None, path: "/health".into(), timeout_ms: 1_000 }),
        ("message", Readiness::ReadyMessage),
    ] {
        let spec = AppSpec { port: Some(free_port()), readiness, ..supervisor.app(release, "1", slow) };
        supervisor.run(&spec).await;
        let uptime_ms = supervisor.status(release).await.instances[0].uptime_ms;
        assert!(uptime_ms >= 300, "{release} was called ready after {uptime_ms} ms");
    }
}

#[tokio::test]
async fn a_crash_loop_ends_and_closes_the_port() {
    let supervisor = Supervisor::start().await;
    let marker = supervisor.dir.path().join("broken");
    let source = format!("if (require('fs').existsSync('{}')) process.exit(3);\n{SERVER}", marker.display());
    let spec = AppSpec { max_restarts: 3, ..supervisor.app("shop", "1", &source) };
    supervisor.run(&spec).await;
    let port = supervisor.port("shop").await;
    std::fs::write(&marker, "").unwrap();
    signal(supervisor.status("shop").await.instances[0].pid.unwrap(), "KILL");
    let status = supervisor
        .until("shop", "crash looping", |status| status.instances[0].state == InstanceState::CrashLooping)
        .await;
    assert_eq!(status.instances[0].last_exit.as_ref().unwrap().code, Some(3));
    until("the port is closed", async || get(port).await.err()).await;
    std::fs::remove_file(&marker).unwrap();
    supervisor.client().await.start("shop").await.unwrap();
    supervisor.until("shop", "ready again", |status| status.settled()).await;
}

#[tokio::test]
async fn listening_elsewhere_is_not_ready_and_the_reason_says_where() {
    let supervisor = Supervisor::start().await;
    // Time enough for Node.js to begin on a busy machine; both at once, because all of it is waited for.
    let never_ready = |name: &str, source: &str| AppSpec {
        port: Some(free_port()),
        listen_timeout_ms: 4_000,
        ..supervisor.app(name, "1", source)
    };
    let elsewhere = never_ready("elsewhere", "require('http').createServer().listen(0, '127.0.0.1')");
    let nowhere = never_ready("nowhere", "setInterval(() => {}, 1000)");
    let (elsewhere, nowhere) = tokio::join!(supervisor.apply(&elsewhere), supervisor.apply(&nowhere));
    let ApplyOutcome::Failed { reason, .. } = elsewhere.outcome else { panic!("ready") };
    assert!(reason.contains("it listened on port") && reason.contains("its port is"), "{reason}");
    let ApplyOutcome::Failed { reason, .. } = nowhere.outcome else { panic!("ready") };
    assert!(reason.contains("did not listen on anything"), "{reason}");
}

#[tokio::test]
async fn root_can_run_an_application_as_another_user() {
    use std::os::unix::fs::PermissionsExt;
    let supervisor = Supervisor::start().await;
    std::fs::set_permissions(supervisor.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let source = SERVER
        .replace("${process.pid}", "${process.getuid()}/${process.getgroups().length}/${process.env.USER}");
    let spec = AppSpec { user: Some("nobody".into()), ..supervisor.app("shop", "1", &source) };
    let is_root =
        std::fs::metadata("/proc/self").map(|meta| std::os::unix::fs::MetadataExt::uid(&meta)).unwrap() == 0;
    if !is_root {
        let refused = supervisor.client().await.apply(&spec).await.unwrap_err();
        assert!(refused.to_string().contains("needs a supervisor that runs as root"), "{refused}");
        return;
    }
    let applied = supervisor.apply(&spec).await;
    assert_eq!(applied.outcome, ApplyOutcome::Started, "{applied:?}");
    let body = get(supervisor.port("shop").await).await.unwrap();
    let identity = body.split(' ').nth(1).unwrap();
    assert!(!identity.starts_with("0/") && identity.ends_with("/nobody"), "{body}");
}

#[tokio::test]
async fn tls_servers_share_their_ticket_keys_and_hear_of_a_taken_port() {
    let supervisor = Supervisor::start().await;
    // Without the data they sent along coming back, TLS servers crash in listen().
    let source = r"
        const server = require('https').createServer({}, () => {});
        server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => console.log(server.getTicketKeys().toString('hex')));
    ";
    supervisor.run(&AppSpec { instances: 2, ..supervisor.app("shop", "1", source) }).await;
    let keys = until("both instances have written their keys", async || {
        let read = |index| {
            let path = supervisor.dir.path().join(format!("logs/shop/{index}-out.log"));
            std::fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'))
        };
        Some([read(0)?, read(1)?])
    })
    .await;
    assert_eq!(keys[0], keys[1]);
    let port = supervisor.port("shop").await;
    let applied =
        supervisor.apply(&AppSpec { port: Some(port), ..supervisor.app("second", "1", source) }).await;
    let ApplyOutcome::Failed { last_stderr, .. } = &applied.outcome else { panic!("{applied:?}") };
    assert!(last_stderr.iter().any(|line| line.contains("EADDRINUSE")), "{last_stderr:?}");
}

#[tokio::test]
async fn a_worker_that_stays_down_leaves_no_connection_waiting() {
    let supervisor = Supervisor::start().await;
    let marker = supervisor.dir.path().join("broken");
    let source = format!(
        "if (process.env.NODE_APP_INSTANCE === '1' && require('fs').existsSync('{}')) process.exit(3);\n{SERVER}",
        marker.display()
    );
    let spec = AppSpec { instances: 2, max_restarts: 2, ..supervisor.app("shop", "1", &source) };
    supervisor.run(&spec).await;
    let port = supervisor.port("shop").await;
    std::fs::write(&marker, "").unwrap();
    signal(supervisor.status("shop").await.instances[1].pid.unwrap(), "KILL");
    // While it dies, is started again and again, and when it is given up.
    for _ in 0..100 {
        assert!(get(port).await.unwrap().ends_with(" 0") || !marker.exists());
    }
    let down = |status: &AppStatus| status.instances[1].state == InstanceState::CrashLooping;
    supervisor.until("shop", "the second one is given up", down).await;
    for _ in 0..200 {
        assert!(get(port).await.unwrap().ends_with(" 0"));
    }
}

#[tokio::test]
async fn a_server_that_shares_with_nobody_is_ready_too_and_its_swap_fails_with_the_reason() {
    let supervisor = Supervisor::start().await;
    let source = SERVER.replace(
        "listen(Number(process.env.PORT || 0), '127.0.0.1')",
        "listen({ port: Number(process.env.PORT), host: '127.0.0.1', exclusive: true })",
    );
    assert_ne!(source, SERVER);
    let port = free_port();
    let http = Readiness::Http { port: None, path: "/".into(), timeout_ms: 1_000 };
    for readiness in [Readiness::Listening, http] {
        let spec = AppSpec { port: Some(port), readiness, ..supervisor.app("shop", "1", &source) };
        assert_eq!(supervisor.run(&spec).await, ApplyOutcome::Started);
        let applied =
            supervisor.apply(&AppSpec { spec_digest: "2".into(), release: "2".into(), ..spec }).await;
        let ApplyOutcome::Failed { reason, previous_kept, .. } = applied.outcome else {
            panic!("{applied:?}")
        };
        assert!(previous_kept && reason.contains("`exclusive`"), "{reason}");
        assert!(get(port).await.unwrap().starts_with("shop-1.js"));
        supervisor.client().await.delete("shop").await.unwrap();
    }
}

#[tokio::test]
async fn servers_with_a_socket_of_their_own_on_one_port_are_swapped_start_first() {
    let Some(node) = tested_node(24) else { return };
    let supervisor = Supervisor::start().await;
    let source = SERVER.replace(
        "listen(Number(process.env.PORT || 0), '127.0.0.1')",
        "listen({ port: Number(process.env.PORT), host: '127.0.0.1', reusePort: true })",
    );
    let port = free_port();
    for (release, outcome) in [("1", ApplyOutcome::Started), ("2", ApplyOutcome::Replaced)] {
        let spec = AppSpec {
            port: Some(port),
            instances: 2,
            interpreter: Some(node.clone()),
            ..supervisor.app("shop", release, &source)
        };
        assert_eq!(supervisor.run(&spec).await, outcome);
        assert_eq!(supervisor.status("shop").await.listening, Vec::<String>::new(), "none of them is ours");
        assert!(get(port).await.unwrap().starts_with(&format!("shop-{release}.js")));
    }
}

#[tokio::test]
async fn without_the_hook_a_server_of_its_own_is_found_by_its_port() {
    let Some(node) = tested_node(24) else { return };
    let supervisor = Supervisor::start().await;
    let source = SERVER.replace(
        "listen(Number(process.env.PORT || 0), '127.0.0.1')",
        "listen({ port: Number(process.env.PORT), host: '127.0.0.1', exclusive: true })",
    );
    let spec = AppSpec {
        port: Some(free_port()),
        interpreter: Some(node),
        // Node.js does not let the hook be read then.
        interpreter_args: vec!["--permission".into(), "--allow-fs-read=*".into()],
        ..supervisor.app("shop", "1", &source)
    };
    let applied = supervisor.apply(&spec).await;
    assert_eq!(applied.outcome, ApplyOutcome::Started, "{applied:?}");
}

#[tokio::test]
async fn a_worker_that_floods_its_channel_is_ended_and_told_why() {
    let supervisor = Supervisor::start().await;
    let marker = supervisor.dir.path().join("flood");
    let source = format!(
        "{SERVER}
         const fs = require('fs');
         const wait = setInterval(() => {{
           if (!fs.existsSync('{0}')) return;
           clearInterval(wait);
           const what = fs.readFileSync('{0}', 'utf8');
           fs.unlinkSync('{0}');
           if (what === 'garbage') fs.writeSync(3, 'GET / HTTP/1.1\\r\\n\\r\\n');
           else process.send('x'.repeat(100 * 1024 * 1024));
         }}, 20);",
        marker.display()
    );
    supervisor.run(&supervisor.app("shop", "1", &source)).await;
    for (restarts, what, why) in [(1, "garbage", "no JSON"), (2, "endless", "more than 32 MiB")] {
        let partial = supervisor.dir.path().join("partial");
        std::fs::write(&partial, what).unwrap();
        std::fs::rename(partial, &marker).unwrap();
        let status = supervisor
            .until("shop", "it was restarted", |status| {
                status.settled() && status.instances[0].restarts == restarts
            })
            .await;
        let reason = &status.instances[0].last_exit.as_ref().unwrap().reason;
        assert!(reason.contains(why), "{reason}");
    }
    let text = std::fs::read_to_string(format!("/proc/{}/status", supervisor.pid())).unwrap();
    let peak =
        text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    assert!(peak.is_some_and(|peak: u64| peak < 64 * 1024), "its memory stayed small: {peak:?} kB");
}

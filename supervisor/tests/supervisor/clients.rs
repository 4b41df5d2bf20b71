//! Clients that behave badly, or go away.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use muster_supervisor_protocol::{
    AppSpec, Client, ClientError, ErrorCode, ProcessEventKind, Readiness, Request, write_message,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::harness::{SERVER, Supervisor, until};

#[tokio::test]
async fn an_apply_goes_on_when_its_client_hangs_up() {
    let supervisor = Supervisor::start().await;
    let spec = supervisor.app("shop", "1", SERVER);
    let mut stream = UnixStream::connect(supervisor.socket()).await.unwrap();
    write_message(&mut stream, &Request::Apply { spec: Box::new(spec), progress: true }).await.unwrap();
    drop(stream);
    until("it runs", async || supervisor.try_status("shop").await.filter(|status| status.settled())).await;
}

#[tokio::test]
async fn garbage_is_answered_and_harms_nobody() {
    let supervisor = Supervisor::start().await;
    let mut hung: Vec<UnixStream> = vec![];
    for _ in 0..20 {
        let mut stream = UnixStream::connect(supervisor.socket()).await.unwrap();
        stream.write_all(b"{\"op\":\"li").await.unwrap();
        hung.push(stream);
    }
    let mut stream = UnixStream::connect(supervisor.socket()).await.unwrap();
    stream.write_all(b"\x00\xff garbage\n{\"op\":\"dance\"}\n{\"op\":\"ping\"}\n").await.unwrap();
    let mut text = String::new();
    while text.matches('\n').count() < 3 {
        let mut chunk = [0; 1024];
        let count = stream.read(&mut chunk).await.unwrap();
        text.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
    }
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("bad_request") && lines[1].contains("dance"), "{text}");
    assert!(lines[2].contains("pong"), "{text}");
    let mut stream = UnixStream::connect(supervisor.socket()).await.unwrap();
    let endless = vec![b'x'; 3 * 1024 * 1024];
    // The supervisor hangs up in the middle of it.
    drop(stream.write_all(&endless).await);
    supervisor.client().await.ping().await.unwrap();
}

#[tokio::test]
async fn a_spec_that_cannot_run_is_refused_with_every_reason() {
    let supervisor = Supervisor::start().await;
    let spec = AppSpec {
        kill_signal: "SIGNONSENSE".into(),
        user: Some("nobody-of-that-name".into()),
        instances: 0,
        ..supervisor.app("shop", "1", SERVER)
    };
    let Err(ClientError::Refused { code, message }) = supervisor.client().await.apply(&spec).await else {
        panic!("accepted")
    };
    assert_eq!(code, ErrorCode::InvalidSpec);
    for part in ["SIGNONSENSE", "nobody-of-that-name", "instances"] {
        assert!(message.contains(part), "{message}");
    }
    let Err(ClientError::Refused { code, message }) = supervisor.client().await.stop("shop").await else {
        panic!("accepted")
    };
    assert_eq!(
        (code, message.as_str()),
        (ErrorCode::UnknownApp, "there is no application \"shop\"; there are none")
    );
}

#[tokio::test]
async fn secrets_stay_out_of_logs_and_disk_and_the_socket_is_private() {
    let supervisor = Supervisor::start().await;
    let mut spec = supervisor.app("shop", "1", SERVER);
    spec.env.insert("DATABASE_URL".into(), "postgres://user:hunter2@db/shop".into());
    supervisor.run(&spec).await;
    for entry in std::fs::read_dir(supervisor.dir.path().join("state")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains("hunter2"), "{}", path.display());
    }
    assert!(!supervisor.stderr().contains("hunter2"));
    let mode = std::fs::metadata(supervisor.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_second_supervisor_is_refused_and_a_stale_socket_is_not_in_the_way() {
    let supervisor = Supervisor::start().await;
    let second = Supervisor::command(supervisor.dir.path()).stderr(Stdio::piped()).output().unwrap();
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("another supervisor already serves"));
    supervisor.client().await.ping().await.unwrap();
    let orphaned = supervisor.kill();
    assert!(orphaned.dir().join("state/supervisor.sock").exists(), "left behind by the kill");
    let supervisor = orphaned.start().await;
    supervisor.client().await.ping().await.unwrap();
}

#[tokio::test]
async fn watchers_are_told_what_happens_in_order() {
    let supervisor = Supervisor::start().await;
    let mut events = Client::connect(supervisor.socket()).await.unwrap().watch().await.unwrap();
    let spec = AppSpec { readiness: Readiness::Listening, ..supervisor.app("shop", "1", SERVER) };
    supervisor.run(&spec).await;
    supervisor.client().await.delete("shop").await.unwrap();
    let mut kinds = vec![];
    while kinds.last() != Some(&ProcessEventKind::Deleted) {
        kinds.push(events.next().await.unwrap().kind);
    }
    use ProcessEventKind::{Deleted, Exited, Ready, Replaced, Started, Stopped, Stopping};
    assert_eq!(kinds, [Started, Ready, Replaced, Stopping, Exited, Stopped, Deleted]);
    assert!(supervisor.client().await.list().await.unwrap().is_empty());
}

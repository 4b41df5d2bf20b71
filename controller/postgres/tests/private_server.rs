//! The launcher against real servers: what it promises about starts, crashes, kills and stops.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use muster_postgres::{Config, PostgresError, PrivatePostgres};
use tempfile::TempDir;

/// Generous: the machines of a pipeline stall.
const BOUND: Duration = Duration::from_secs(60);

fn scratch() -> TempDir {
    tempfile::Builder::new().prefix("muster-pg-").tempdir().unwrap()
}

async fn start(dir: &Path) -> PrivatePostgres {
    PrivatePostgres::start(Config::for_tests(dir)).await.unwrap()
}

fn query(postgres: &PrivatePostgres, sql: &str) -> Result<String, String> {
    query_url(&postgres.installation().program("psql"), &postgres.url(), sql)
}

fn query_url(psql: &Path, url: &str, sql: &str) -> Result<String, String> {
    let output =
        Command::new(psql).args(["-XqtA", "-v", "ON_ERROR_STOP=1", url, "-c", sql]).output().unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

async fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + BOUND;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn kill(signal: &str, pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    let signal = match signal {
        "KILL" => rustix::process::Signal::KILL,
        _ => rustix::process::Signal::INT,
    };
    rustix::process::kill_process(pid, signal).unwrap();
}

/// The development program: a parent that can be killed without killing the test.
struct Parent {
    child: Child,
    url: String,
}

impl Parent {
    async fn start(dir: &Path) -> Self {
        let url_file = dir.join("url");
        let child = Command::new(env!("CARGO_BIN_EXE_muster-private-postgres"))
            .args(["--no-fsync", "--data-dir"])
            .arg(dir)
            .arg("--url-file")
            .arg(&url_file)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let url = eventually("the url file is there", || std::fs::read_to_string(&url_file).ok()).await;
        Self { child, url }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn psql() -> std::path::PathBuf {
    muster_postgres::find_installation(None, None).unwrap().program("psql")
}

#[tokio::test]
async fn data_outlives_a_stop_and_the_socket_is_the_only_door() {
    let dir = scratch();
    let postgres = start(dir.path()).await;
    query(&postgres, "CREATE TABLE kept (n int)").unwrap();
    query(&postgres, "INSERT INTO kept VALUES (42)").unwrap();
    assert_eq!(query(&postgres, "SHOW listen_addresses").unwrap(), "");
    assert_eq!(query(&postgres, "SHOW data_checksums").unwrap(), "on");
    assert_eq!(query(&postgres, "SHOW server_encoding").unwrap(), "UTF8");
    assert!(postgres.create_database("another \"one\"").await.unwrap());
    assert!(!postgres.create_database("another \"one\"").await.unwrap(), "it exists already");
    postgres.drop_database("another \"one\"").await.unwrap();
    postgres.stop().await.unwrap();

    let postgres = start(dir.path()).await;
    assert_eq!(query(&postgres, "SELECT n FROM kept").unwrap(), "42");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_is_started_again_with_its_data() {
    let dir = scratch();
    let postgres = start(dir.path()).await;
    query(&postgres, "CREATE TABLE kept AS SELECT 7 AS n").unwrap();
    let before = postgres.pid().unwrap();
    kill("KILL", before);
    eventually("another server answers", || {
        (postgres.pid()? != before).then_some(())?;
        query(&postgres, "SELECT n FROM kept").ok().filter(|n| n == "7")
    })
    .await;
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn the_server_stops_when_its_parent_is_killed() {
    let dir = scratch();
    let parent = Parent::start(dir.path()).await;
    let url = parent.url.clone();
    assert_eq!(query_url(&psql(), &url, "SELECT 1").unwrap(), "1");
    parent.kill();
    let pid_file = dir.path().join("postgres/data/postmaster.pid");
    eventually("the server is gone", || (!pid_file.exists()).then_some(())).await;
    let log = std::fs::read_to_string(dir.path().join("postgres/server.log")).unwrap();
    assert!(log.contains("received fast shutdown request"), "{log}");
    assert!(query_url(&psql(), &url, "SELECT 1").is_err());
}

#[tokio::test]
async fn a_start_right_after_the_parent_was_killed_waits_for_the_old_server() {
    let dir = scratch();
    let parent = Parent::start(dir.path()).await;
    query_url(&psql(), &parent.url, "CREATE TABLE kept AS SELECT 9 AS n").unwrap();
    parent.kill();
    let postgres = start(dir.path()).await;
    assert_eq!(query(&postgres, "SELECT n FROM kept").unwrap(), "9");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_controller_in_the_same_directory_is_refused() {
    let dir = scratch();
    let first = start(dir.path()).await;
    let error = PrivatePostgres::start(Config::for_tests(dir.path())).await.unwrap_err();
    assert!(matches!(error, PostgresError::InUse(_)), "{error}");
    assert_eq!(query(&first, "SELECT 1").unwrap(), "1", "the first one is not disturbed");
    first.stop().await.unwrap();
}

#[tokio::test]
async fn a_pid_file_that_names_an_unrelated_process_does_not_stop_a_start() {
    let dir = scratch();
    start(dir.path()).await.stop().await.unwrap();
    let us = std::process::id();
    let home = dir.path().join("postgres");
    std::fs::write(home.join("data/postmaster.pid"), format!("{us}\n/elsewhere\n0\n5432\n\n\n\nready\n"))
        .unwrap();
    std::fs::write(home.join("run/.s.PGSQL.5432.lock"), format!("{us}\n/elsewhere\n0\n5432\n\n")).unwrap();
    let postgres = start(dir.path()).await;
    assert_eq!(query(&postgres, "SELECT 1").unwrap(), "1");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_cluster_of_another_major_version_is_left_alone() {
    let dir = scratch();
    start(dir.path()).await.stop().await.unwrap();
    std::fs::write(dir.path().join("postgres/data/PG_VERSION"), "9\n").unwrap();
    let error = PrivatePostgres::start(Config::for_tests(dir.path())).await.unwrap_err().to_string();
    assert!(error.contains("made by PostgreSQL 9") && error.contains("postgresql-9"), "{error}");
}

#[tokio::test]
async fn an_initdb_that_was_killed_is_begun_again() {
    let dir = scratch();
    start(dir.path()).await.stop().await.unwrap();
    let home = dir.path().join("postgres");
    std::fs::rename(home.join("data"), home.join("data.partial")).unwrap();
    let postgres = start(dir.path()).await;
    assert!(!home.join("data.partial").exists());
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_works_all_the_same() {
    let dir = scratch();
    if rustix::process::geteuid().is_root() {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    }
    let deep = dir.path().join("d".repeat(120));
    let postgres = start(&deep).await;
    assert!(!postgres.socket_dir().starts_with(dir.path()));
    assert_eq!(query(&postgres, "SELECT 1").unwrap(), "1");
    let socket_dir = postgres.socket_dir().to_owned();
    postgres.stop().await.unwrap();
    std::fs::remove_dir_all(socket_dir).unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_for_clients() {
    let dir = scratch();
    let postgres = start(dir.path()).await;
    let mut client = Command::new(postgres.installation().program("psql"))
        .args(["-Xq", &postgres.url(), "-c", "SELECT pg_sleep(3600)"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the client is at work", || {
        let busy = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'";
        query(&postgres, busy).ok().filter(|count| count == "1")
    })
    .await;
    postgres.stop().await.unwrap();
    assert!(!client.wait().unwrap().success(), "its session was cut");
}

#[tokio::test]
async fn a_dropped_server_goes_and_the_directory_is_free() {
    let dir = scratch();
    drop(start(dir.path()).await);
    let deadline = Instant::now() + BOUND;
    let again = loop {
        match PrivatePostgres::start(Config::for_tests(dir.path())).await {
            Ok(again) => break again,
            Err(error) => {
                assert!(matches!(error, PostgresError::InUse(_)) && Instant::now() < deadline, "{error}")
            }
        }
    };
    again.stop().await.unwrap();
}

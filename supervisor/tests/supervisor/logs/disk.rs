//! Disks that are full, and folders that vanish.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use muster_supervisor_protocol::LogRotation;

use super::talker;
use crate::harness::{Supervisor, until};

const TALKER: &str = "let n = 0; setInterval(() => console.log(`line ${n += 1} ${'x'.repeat(200)}`), 1);
    process.on('SIGINT', () => process.exit(0));";

/// A supervisor whose log folder is a disk of 4 MiB that only it sees; nothing where this cannot be had.
async fn on_a_small_disk() -> Option<(Supervisor, PathBuf)> {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let mount = format!("mount -t tmpfs -o size=4m tmpfs '{}'", logs.display());
    let private = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", script]);
        command
    };
    let possible = private(&mount).output().is_ok_and(|output| output.status.success());
    if !possible {
        eprintln!("skipped: needs root and a mount namespace of its own");
        return None;
    }
    let plain = Supervisor::command(dir.path());
    let mut command = private(&format!("{mount} && exec \"$0\" \"$@\""));
    command.arg(plain.get_program()).args(plain.get_args());
    let stderr = std::fs::File::options().append(true).create(true).open(dir.path().join("stderr.log"));
    command.stdin(std::process::Stdio::null()).stderr(stderr.unwrap()).process_group(0);
    let supervisor = Supervisor::start_by(dir, command).await;
    let seen = PathBuf::from(format!("/proc/{}/root{}", supervisor.pid(), logs.display()));
    Some((supervisor, seen))
}

fn numbers(text: &str) -> Vec<u64> {
    text.lines().filter_map(|line| line.strip_prefix("line ")?.split(' ').next()?.parse().ok()).collect()
}

async fn dropped(supervisor: &Supervisor) -> u64 {
    supervisor.status("talker").await.instances[0].dropped_log_lines
}

async fn the_rest_arrives(supervisor: &Supervisor, file: &PathBuf) {
    let text = until("it says what is missing and goes on", async || {
        let text = std::fs::read_to_string(file).ok()?;
        let (_, after) = text.rsplit_once("lines are missing here, the disk was too slow or full]\n")?;
        (numbers(after).len() > 3).then_some(text)
    })
    .await;
    let whole = |line: &str| line.starts_with("[muster: ") || line.len() > 205 && line.ends_with("xx");
    assert!(text.lines().all(whole), "no part of a line stays behind");
    let seen = numbers(&text);
    assert!(seen.is_sorted_by(|a, b| a < b), "in order, none twice");
    // Files that were deleted end where this one begins.
    let first = if seen[0] < 100 { 1 } else { seen[0] };
    let holes = seen.last().unwrap() + 1 - first - seen.len() as u64;
    let said: u64 = text
        .lines()
        .filter_map(|line| line.strip_prefix("[muster: ")?.split(' ').next()?.parse::<u64>().ok())
        .sum();
    assert_eq!(said, holes, "what is missing is counted");
    assert_eq!(dropped(supervisor).await, said);
    assert!(supervisor.stderr().contains("a log file can be written again"), "{}", supervisor.stderr());
}

#[tokio::test]
async fn a_full_disk_costs_lines_and_nothing_else() {
    let Some((supervisor, logs)) = on_a_small_disk().await else { return };
    let mut spec = talker(&supervisor, TALKER);
    spec.logs.rotation.min_free_bytes = 0;
    supervisor.run(&spec).await;
    let file = logs.join("talker/0-out.log");
    until("something is written", async || (std::fs::metadata(&file).ok()?.len() > 1_000).then_some(()))
        .await;
    // Somebody else fills the disk.
    let other = logs.join("other");
    let filled = Command::new("sh").arg("-c").arg(format!("cat /dev/zero > '{}'", other.display())).output();
    assert!(!filled.unwrap().status.success());
    until("lines are dropped", async || (dropped(&supervisor).await > 20).then_some(())).await;
    assert!(supervisor.status("talker").await.settled(), "the application goes on");
    let told = supervisor.stderr().matches("a log file cannot be written").count();
    assert_eq!(told, 1, "{}", supervisor.stderr());
    std::fs::remove_file(&other).unwrap();
    the_rest_arrives(&supervisor, &file).await;
}

#[tokio::test]
async fn below_the_floor_old_files_go_first() {
    let Some((supervisor, logs)) = on_a_small_disk().await else { return };
    let mut spec = talker(&supervisor, TALKER);
    spec.logs.rotation = LogRotation { max_bytes: 20_000, keep: 50, ..LogRotation::default() };
    supervisor.run(&spec).await;
    let rotated = logs.join("talker/0-out.log.3");
    until("some files were rotated", async || rotated.exists().then_some(())).await;
    let other = logs.join("other");
    std::fs::write(&other, vec![0; 3_900_000]).unwrap();
    until("old files are deleted", async || (!rotated.exists()).then_some(())).await;
    until("lines are dropped", async || (dropped(&supervisor).await > 20).then_some(())).await;
    std::fs::remove_file(&other).unwrap();
    the_rest_arrives(&supervisor, &logs.join("talker/0-out.log")).await;
}

#[tokio::test]
async fn a_folder_that_vanishes_is_made_again() {
    let supervisor = Supervisor::start().await;
    supervisor.run(&talker(&supervisor, TALKER)).await;
    let folder = supervisor.dir.path().join("logs");
    let file = folder.join("talker/0-out.log");
    for _ in 0..2 {
        until("something is written", async || {
            (numbers(&std::fs::read_to_string(&file).ok()?).len() > 3).then_some(())
        })
        .await;
        std::fs::remove_dir_all(&folder).unwrap();
    }
    until("it is there again", async || file.exists().then_some(())).await;
}

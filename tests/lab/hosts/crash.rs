//! Nothing of a lab is left on the machine, however its owner ends.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use muster_lab::{Lab, wait_for};

use crate::BOUND;

/// A process with a lab of two hosts, and the number of the lab.
fn owner() -> Result<(Child, u8)> {
    let own = std::env::current_exe()?;
    let build =
        own.ancestors().find(|folder| folder.join("deps").is_dir()).context("the folder of the build")?;
    let mut command = Command::new(build.join("examples/hosts"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
    let first = lines.next().context("it says the number of its lab")??;
    let number = first.strip_prefix("lab ").context("the number of its lab")?.parse()?;
    while lines.next().context("it gets ready")?? != "ready" {}
    Ok((child, number))
}

/// What the machine still has of a lab, wherever it could be.
fn remains(number: u8) -> Result<Vec<String>> {
    let mut remains: Vec<String> = muster_lab::leftovers()?
        .into_iter()
        .filter(|left| left.lab == number)
        .map(|left| left.what)
        .collect();
    // Asked for without the library as well.
    let (device, bridge) = (format!("ml{number}-"), format!("ml{number}"));
    for folder in ["/sys/class/net", "/run/netns"] {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        remains.extend(names.filter(|name| *name == bridge || name.starts_with(&device)));
    }
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&format!("--machine={device}")) {
            remains.push(line);
        }
    }
    let mounts = std::fs::read_to_string("/proc/mounts")?;
    remains
        .extend(mounts.lines().filter(|line| line.contains(&format!("/labs/{number}/"))).map(str::to_owned));
    Ok(remains)
}

fn gone(number: u8) -> Result<()> {
    wait_for("nothing to be left of the lab", BOUND, || {
        let remains = remains(number)?;
        anyhow::ensure!(remains.is_empty(), "{remains:?}");
        Ok(Some(()))
    })
}

fn watch_of(number: u8) -> Result<u32> {
    let wanted = format!("watch {number}");
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        if words.len() > 2 && words[0].ends_with("/muster-lab") && words[1..3].join(" ") == wanted {
            return entry.file_name().to_string_lossy().parse().context("a process id");
        }
    }
    anyhow::bail!("lab {number} has no watch")
}

fn kill(pid: u32) -> Result<()> {
    let killed = Command::new("kill").args(["-KILL", &pid.to_string()]).status()?;
    anyhow::ensure!(killed.success(), "cannot kill {pid}");
    Ok(())
}

#[test]
fn a_lab_that_ends_leaves_nothing() -> Result<()> {
    let (mut owner, number) = owner()?;
    assert!(!remains(number)?.is_empty(), "a lab that lives is on the machine");
    assert!(!muster_lab::leftovers()?.iter().any(|left| left.lab == number), "and is no leftover");
    // It was waiting for a line.
    drop(owner.stdin.take());
    assert!(owner.wait()?.success());
    assert_eq!(remains(number)?, Vec::<String>::new());
    Ok(())
}

#[test]
fn the_watch_removes_the_lab_of_a_killed_owner() -> Result<()> {
    let (mut owner, number) = owner()?;
    owner.kill()?;
    owner.wait()?;
    gone(number)
}

#[test]
fn the_next_lab_removes_what_a_killed_owner_and_a_killed_watch_left() -> Result<()> {
    let (mut owner, number) = owner()?;
    kill(watch_of(number)?)?;
    owner.kill()?;
    owner.wait()?;
    assert!(muster_lab::leftovers()?.iter().any(|left| left.lab == number));
    let next = Lab::new()?;
    // Its number may be taken again, and its folder with it; its hosts are gone.
    assert!(!Path::new("/run/netns").join(format!("ml{number}-web")).exists());
    assert!(!muster_lab::leftovers()?.iter().any(|left| left.lab == number));
    next.destroy()?;
    gone(number)
}

#[test]
fn a_host_whose_power_supply_was_killed_can_be_taken_down() -> Result<()> {
    let lab = Lab::new()?;
    let web = lab.host("web").up()?;
    let needle = format!("power {} web", lab.number());
    let pid = Command::new("pgrep").args(["--full", "--newest", &needle]).output()?.stdout;
    kill(String::from_utf8(pid)?.trim().parse()?)?;
    wait_for("the power supply to be gone", BOUND, || Ok((!web.running()?).then_some(())))?;
    web.down()?;
    assert!(!Path::new("/run/netns").join(format!("ml{}-web", lab.number())).exists());
    let again = lab.host("web").up()?;
    assert_eq!(again.run(["hostname"])?, "web\n");
    lab.destroy()
}

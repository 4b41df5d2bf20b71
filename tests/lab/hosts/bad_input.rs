//! Hosts that do not do as they are told: what fails is said, nothing is half-written, the rest goes on, and it heals.

use std::time::{Duration, Instant};

use anyhow::Result;
use muster_lab::wait_for;

use crate::BOUND;
use crate::scene::{NODE, Scene};

/// A file that cannot be and one that can.
fn two_files(bad: &str, content: &str) -> String {
    format!(
        "files:\n  bad: {{path: {bad}, content: \"{content}\\n\"}}\n  good: {{path: /etc/good, content: \"{content}\\n\"}}\n"
    )
}

#[test]
fn an_immutable_file_fails_alone_and_is_written_once_it_can_be() -> Result<()> {
    let scene = Scene::set()?;
    scene.converge(&two_files("/etc/bad", "one"))?;
    scene.host.run(["chattr", "+i", "/etc/bad"])?;
    scene.apply(&two_files("/etc/bad", "two"))?;
    scene.fails("file:/etc/bad", "cannot write")?;
    scene.succeeds("file:/etc/good")?;
    assert_eq!(scene.host.sh("cat /etc/bad /etc/good")?, "one\ntwo\n");
    scene.host.run(["chattr", "-i", "/etc/bad"])?;
    scene.fleet.look(NODE)?;
    scene.fleet.converged(&[NODE])?;
    assert_eq!(scene.host.read_file("/etc/bad")?, "two\n");
    Ok(())
}

#[test]
fn a_folder_in_the_place_of_a_file_is_not_thrown_away() -> Result<()> {
    let scene = Scene::set()?;
    scene.converge(&two_files("/etc/bad", "one"))?;
    scene.host.sh("rm /etc/bad && mkdir /etc/bad && echo precious > /etc/bad/inside")?;
    scene.apply(&two_files("/etc/bad", "two"))?;
    scene.fails("file:/etc/bad", "a folder is in the place of a file")?;
    scene.succeeds("file:/etc/good")?;
    assert_eq!(scene.host.read_file("/etc/bad/inside")?, "precious\n");
    scene.host.run(["rm", "-r", "/etc/bad"])?;
    scene.fleet.look(NODE)?;
    scene.fleet.converged(&[NODE])?;
    assert_eq!(scene.host.read_file("/etc/bad")?, "two\n");
    Ok(())
}

#[test]
fn a_read_only_file_system_fails_what_is_on_it_only() -> Result<()> {
    let scene = Scene::set()?;
    scene.host.sh("mkdir /srv/data && mount -t tmpfs -o ro none /srv/data")?;
    scene.apply(&two_files("/srv/data/bad", "one"))?;
    scene.fails("file:/srv/data/bad", "the file system is read-only")?;
    scene.succeeds("file:/etc/good")?;
    scene.host.run(["umount", "/srv/data"])?;
    scene.fleet.look(NODE)?;
    scene.fleet.converged(&[NODE])?;
    assert_eq!(scene.host.read_file("/srv/data/bad")?, "one\n");
    Ok(())
}

#[test]
fn a_full_disk_leaves_old_files_whole_and_the_agent_alive() -> Result<()> {
    let scene = Scene::set_on(|host| host.disk("700M"))?;
    let large = |folder: &str, letter: &str| {
        let content = letter.repeat(200_000);
        format!(
            "files:\n  large: {{path: {folder}/large, content: \"{content}\\n\"}}\n  good: {{path: /etc/good, content: \"{letter}\"}}\n"
        )
    };
    let content_of = |path: &str| -> Result<(usize, char)> {
        let content = scene.host.read_file(path)?;
        let first = content.chars().next().unwrap_or(' ');
        Ok((content.chars().filter(|letter| *letter == first).count(), first))
    };
    // Room for one of them, not for a second one beside it.
    scene.host.sh("mkdir /srv/data && mount -t tmpfs -o size=300k none /srv/data")?;
    scene.converge(&large("/srv/data", "a"))?;
    scene.apply(&large("/srv/data", "b"))?;
    scene.fails("file:/srv/data/large", "the disk is full")?;
    scene.succeeds("file:/etc/good")?;
    assert_eq!(content_of("/srv/data/large")?, (200_000, 'a'));
    assert_eq!(scene.host.sh("ls -A /srv/data")?, "large\n", "nothing is left over");
    scene.host.run(["mount", "-o", "remount,size=1m", "/srv/data"])?;
    scene.fleet.look(NODE)?;
    scene.fleet.converged(&[NODE])?;
    assert_eq!(content_of("/srv/data/large")?, (200_000, 'b'));
    // The disk with everything on it, the agent's own state included, to the last block.
    scene.converge(&large("/etc", "a"))?;
    let fill = "dd if=/dev/zero of=/var/filling bs=64k 2>/dev/null || dd if=/dev/zero of=/var/crumbs bs=512 2>/dev/null || true";
    scene.host.sh(fill)?;
    scene.apply(&large("/etc", "b"))?;
    scene.host.run(["systemctl", "kill", "--signal", "KILL", "muster-agent"])?;
    let before = scene.fleet.node(NODE)?["last_heartbeat_at"].clone();
    wait_for("the agent to be heard again", BOUND, || {
        Ok((scene.fleet.node(NODE)?["last_heartbeat_at"] != before).then_some(()))
    })?;
    assert_eq!(content_of("/etc/large")?, (200_000, 'a'));
    scene.host.run(["rm", "/var/filling", "/var/crumbs"])?;
    scene.fleet.look(NODE)?;
    scene.fleet.converged(&[NODE])?;
    assert_eq!(content_of("/etc/large")?, (200_000, 'b'));
    Ok(())
}

/// Files are small and many, so that the agent is killed between any two steps of writing them.
#[test]
fn an_agent_that_is_killed_at_any_point_of_a_run_converges_with_the_next() -> Result<()> {
    const FILES: usize = 150;
    const ROUNDS: usize = 8;
    let scene = Scene::set()?;
    let declared = |round: usize| {
        let files = (0..FILES)
            .map(|file| format!("  f{file}: {{path: /etc/many/{file}, content: \"round {round}\\n\"}}\n"));
        format!("files:\n  many: {{path: /etc/many, directory: true}}\n{}", files.collect::<String>())
    };
    let restart = b"[Service]\nRestartSec=100ms\n[Unit]\nStartLimitIntervalSec=0\n";
    scene.host.write_file("/etc/systemd/system/muster-agent.service.d/soon.conf", restart)?;
    scene.host.run(["systemctl", "daemon-reload"])?;
    scene.converge(&declared(0))?;
    for round in 1..=ROUNDS {
        scene.apply(&declared(round))?;
        // From at once until about when it is done.
        let pause = Duration::from_millis(12 * round as u64);
        let since = Instant::now();
        wait_for("the moment to kill it", BOUND, || Ok((since.elapsed() >= pause).then_some(())))?;
        scene.host.run(["systemctl", "kill", "--signal", "KILL", "muster-agent"])?;
        let found = scene.host.sh("cat /etc/many/* | sort | uniq -c")?;
        let whole: usize = found
            .lines()
            .filter(|line| {
                line.ends_with(&format!("round {round}")) || line.ends_with(&format!("round {}", round - 1))
            })
            .filter_map(|line| line.split_whitespace().next()?.parse::<usize>().ok())
            .sum();
        assert_eq!(whole, FILES, "each file is the old one or the new one: {found}");
        scene.fleet.converged(&[NODE])?;
        assert_eq!(
            scene.host.sh("cat /etc/many/* | uniq -c | awk '{print $1, $2, $3}'")?,
            format!("{FILES} round {round}\n")
        );
    }
    assert_eq!(scene.host.sh("ls -A /etc/many | wc -l")?.trim(), FILES.to_string(), "nothing is left over");
    Ok(())
}

#[test]
fn a_clock_that_is_two_hours_wrong_does_not_keep_a_node_from_converging() -> Result<()> {
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
    let scene = Scene::set()?;
    scene.host.sh("apt-get -qq update && apt-get -qq install --yes libfaketime > /dev/null")?;
    for (round, wrong) in ["-2h", "+2h"].iter().enumerate() {
        let content = format!("round {round}");
        let unit = format!(
            "[Service]\nEnvironment=LD_PRELOAD={library} FAKETIME={wrong} FAKETIME_DONT_FAKE_MONOTONIC=1\n"
        );
        scene.host.write_file("/etc/systemd/system/muster-agent.service.d/clock.conf", unit.as_bytes())?;
        scene.host.sh("systemctl daemon-reload && systemctl restart muster-agent")?;
        let faked = scene.host.sh(
            "grep -c faketime /proc/$(systemctl show --property MainPID --value muster-agent)/maps; true",
        )?;
        assert_ne!(faked.trim(), "0", "the clock of the agent is wrong");
        scene.converge(&two_files("/etc/other", &content))?;
        assert_eq!(scene.host.read_file("/etc/good")?, format!("{content}\n"));
    }
    Ok(())
}

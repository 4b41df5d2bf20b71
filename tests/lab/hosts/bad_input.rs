//! Hosts that do not do as they are told: what fails is said, nothing is half-written, the rest goes on, and it heals.

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
fn what_cannot_be_written_fails_alone_and_is_written_once_it_can_be() -> Result<()> {
    let scene = Scene::set()?;
    // Immutable.
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
    // A folder is in its place, which is not thrown away.
    scene.host.sh("rm /etc/bad && mkdir /etc/bad && echo precious > /etc/bad/inside")?;
    scene.apply(&two_files("/etc/bad", "three"))?;
    scene.fails("file:/etc/bad", "a folder is in the place of a file")?;
    scene.succeeds("file:/etc/good")?;
    assert_eq!(scene.host.read_file("/etc/bad/inside")?, "precious\n");
    scene.host.run(["rm", "-r", "/etc/bad"])?;
    scene.fleet.look(NODE)?;
    scene.fleet.converged(&[NODE])?;
    assert_eq!(scene.host.read_file("/etc/bad")?, "three\n");
    // A file system is read-only, as after an error of the disk.
    scene.host.sh("mkdir /srv/data && mount -t tmpfs -o ro none /srv/data")?;
    scene.apply(&two_files("/srv/data/bad", "four"))?;
    scene.fails("file:/srv/data/bad", "the file system is read-only")?;
    scene.succeeds("file:/etc/good")?;
    scene.host.run(["umount", "/srv/data"])?;
    scene.fleet.look(NODE)?;
    scene.fleet.converged(&[NODE])?;
    assert_eq!(scene.host.read_file("/srv/data/bad")?, "four\n");
    // So is all that the agent writes to, its own notes with it: it says so, lives, and goes on when that is over.
    let each =
        |options: &str| format!("for dir in /etc /var/lib/muster; do mount -o {options} $dir $dir; done");
    scene.host.sh(&format!("{}; {}", each("bind"), each("remount,bind,ro")))?;
    scene.apply(&two_files("/srv/data/bad", "five"))?;
    wait_for("the agent to say that it cannot keep what it is told", BOUND, || {
        let said =
            scene.host.run(["journalctl", "--unit", "muster-agent", "--no-pager", "--output", "cat"])?;
        Ok(said.to_lowercase().contains("read-only").then_some(()))
    })?;
    assert_eq!(scene.host.read_file("/srv/data/bad")?, "four\n");
    assert_eq!(scene.fleet.node(NODE)?["liveness"], "up");
    scene.host.sh(&each("remount,bind,rw"))?;
    scene.fleet.look(NODE)?;
    scene.fleet.converged(&[NODE])?;
    assert_eq!(scene.host.sh("cat /srv/data/bad /etc/good")?, "five\nfive\n");
    Ok(())
}

#[test]
fn a_user_with_processes_is_neither_killed_nor_forgotten() -> Result<()> {
    let scene = Scene::set()?;
    let user = |fields: &str, content: &str| {
        format!("users:\n  walter: {{{fields}}}\nfiles:\n  good: {{path: /etc/good, content: {content}}}\n")
    };
    scene.converge(&user("", "one"))?;
    let number = scene.host.run(["id", "--user", "walter"])?;
    scene.host.run(["systemd-run", "--quiet", "--unit", "his", "--uid", "walter", "sleep", "infinity"])?;
    // Deleted by hand while something runs as him: he is back under the number that he had, and it is still his.
    scene.host.run(["userdel", "--force", "walter"])?;
    scene.fleet.look(NODE)?;
    wait_for("the user to be back", BOUND, || {
        Ok((scene.host.exec(["id", "--user", "walter"])?.stdout == number).then_some(()))
    })?;
    scene.fleet.converged(&[NODE])?;
    assert_eq!(
        scene.host.sh("ps -o user= -p $(systemctl show --property MainPID --value his)")?.trim(),
        "walter"
    );
    // Declared absent while something runs as him: that is said, and nothing is killed.
    scene.apply(&user("ensure: absent", "two"))?;
    scene.fails("user:walter", "sleep (1) runs as it; end that first, it is not killed")?;
    scene.succeeds("file:/etc/good")?;
    scene.host.run(["systemctl", "is-active", "his"])?;
    scene.host.run(["systemctl", "stop", "his"])?;
    scene.fleet.look(NODE)?;
    scene.fleet.converged(&[NODE])?;
    assert_ne!(scene.host.exec(["id", "walter"])?.code, 0);
    scene.host.sh("test -d /home/walter")?;
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

//! An agent that is killed at any point of a run: nothing is half-written, nothing that has to follow is forgotten, and the
//! next run converges.

use std::io::{BufRead as _, BufReader};

use anyhow::{Context as _, Result};
use muster_lab::wait_for;

use crate::BOUND;
use crate::scene::{NODE, Scene};

const FILES: usize = 150;

/// A node whose agent is started again at once.
fn scene() -> Result<Scene> {
    let scene = Scene::set()?;
    let restart = b"[Service]\nRestartSec=100ms\n";
    scene.host.write_file("/etc/systemd/system/muster-agent.service.d/soon.conf", restart)?;
    scene.host.run(["systemctl", "daemon-reload"])?;
    Ok(scene)
}

/// Files are small and many; the agent is killed within microseconds after it made the one that is looked at.
#[test]
fn every_file_is_the_old_one_or_the_new_one_wherever_the_agent_is_killed() -> Result<()> {
    let scene = scene()?;
    let declared = |round: usize| {
        let files = (0..FILES)
            .map(|file| format!("  f{file}: {{path: /etc/many/{file}, content: \"round {round}\\n\"}}\n"));
        format!("files:\n  many: {{path: /etc/many, directory: true}}\n{}", files.collect::<String>())
    };
    scene.converge(&declared(0))?;
    let written = |file: usize| {
        (format!("file {file}"), format!("read -r found < /etc/many/{file}; [[ $found == \"$new\" ]]"))
    };
    let noted = |name: &str| (name.to_owned(), format!("[[ /var/lib/muster/ledger/{name} -nt /run/armed ]]"));
    let points = [noted("assignment.bin"), noted("state.bin")]
        .into_iter()
        .chain([0, 1, 37, 75, 112, 148, 149].map(written));
    for (round, (point, reached)) in points.enumerate() {
        let round = round + 1;
        // Only what the shell does by itself, so that it looks thousands of times while the agent works.
        let script = format!(
            "new='round {round}'; pid=$(systemctl show --property MainPID --value muster-agent); touch /run/armed; echo armed
             until {reached}; do :; done 2> /dev/null; kill -KILL $pid"
        );
        let mut killer = scene.host.spawn(["timeout", "60", "bash", "-c", &script])?;
        let mut said = BufReader::new(killer.stdout.take().context("its output is read")?);
        let mut armed = String::new();
        said.read_line(&mut armed)?;
        assert_eq!(armed, "armed\n");
        scene.apply(&declared(round))?;
        assert!(killer.wait()?.success(), "{point} was not seen");
        let found = scene.host.sh("cat /etc/many/* | sort | uniq -c")?;
        let whole: usize = found
            .lines()
            .filter(|line| [round, round - 1].iter().any(|round| line.ends_with(&format!("round {round}"))))
            .filter_map(|line| line.split_whitespace().next()?.parse::<usize>().ok())
            .sum();
        assert_eq!(whole, FILES, "killed at {point}: each file is the old one or the new one: {found}");
        scene.fleet.converged(&[NODE]).with_context(|| format!("killed at {point}"))?;
        let found = scene.host.sh("cat /etc/many/* | sort | uniq -c | awk '{print $1, $2, $3}'")?;
        assert_eq!(found, format!("{FILES} round {round}\n"), "killed at {point}");
    }
    assert_eq!(scene.host.sh("ls -A /etc/many | wc -l")?.trim(), FILES.to_string(), "nothing is left over");
    Ok(())
}

/// Holds up whoever comes by at the step that is to be stopped at, until that is taken back.
const GATE: &[u8] = b"#!/bin/sh
test \"$(cat /run/stop-at 2> /dev/null)\" = \"$1\" || exit 0
touch /run/stopped
while test -e /run/stop-at; do sleep 0.02; done
";

/// Where the agent is killed: while a file is judged, while services read what changed, while commands run.
const STEPS: [&str; 6] = ["validator", "restart", "reload", "guarded", "watching", "user"];

fn steps(round: usize) -> String {
    format!(
        "users:
  walter: {{comment: round {round}}}
files:
  judged: {{path: /etc/judged, content: \"{round}\\n\", validate: \"/usr/local/bin/gate validator {{}}\"}}
  read: {{path: /etc/read, content: \"{round}\\n\"}}
systemd_units:
  reloaded.service:
    content: |
      [Service]
      ExecStart=/bin/sh -c 'cp /etc/read /run/reloaded; exec sleep infinity'
      ExecReload=/usr/local/bin/gate reload
      ExecReload=/bin/cp /etc/read /run/reloaded
      [Install]
      WantedBy=multi-user.target
  restarted.service:
    content: |
      [Service]
      ExecStartPre=/usr/local/bin/gate restart
      ExecStart=/bin/sh -c 'cp /etc/judged /run/restarted; exec sleep infinity'
      [Install]
      WantedBy=multi-user.target
services:
  reloaded: {{reload_on: [\"file:/etc/read\"]}}
  restarted: {{restart_on: [\"file:/etc/judged\"]}}
commands:
  guarded: {{run: \"/usr/local/bin/gate guarded; echo {round} > /srv/guarded\", unless: grep -qx {round} /srv/guarded}}
  watching: {{run: \"/usr/local/bin/gate watching; cp /etc/read /srv/watching\", run_on: \"file:/etc/read\"}}
"
    )
}

#[test]
fn what_follows_from_a_change_follows_although_the_agent_was_killed_in_between() -> Result<()> {
    let scene = scene()?;
    let host = &scene.host;
    host.write_file("/usr/local/bin/gate", GATE)?;
    // Changing a user goes by here as well.
    host.sh("chmod 755 /usr/local/bin/gate; dpkg-divert --local --quiet --rename --add /usr/sbin/usermod; \
             printf '#!/bin/sh\\n/usr/local/bin/gate user; exec /usr/sbin/usermod.distrib \"$@\"\\n' > /usr/sbin/usermod; \
             chmod 755 /usr/sbin/usermod")?;
    scene.converge(&steps(0))?;
    for (round, step) in STEPS.iter().enumerate() {
        let round = round + 1;
        host.write_file("/run/stop-at", step.as_bytes())?;
        scene.apply(&steps(round))?;
        wait_for(&format!("the agent to come to {step}"), BOUND, || {
            Ok((host.exec(["test", "-e", "/run/stopped"])?.code == 0).then_some(()))
        })?;
        host.run(["systemctl", "kill", "--signal", "KILL", "muster-agent"])?;
        host.run(["rm", "/run/stop-at", "/run/stopped"])?;
        scene.fleet.converged(&[NODE]).with_context(|| format!("killed at {step}"))?;
        let found = host.sh("cat /etc/judged /etc/read /run/reloaded /run/restarted /srv/guarded /srv/watching; getent passwd walter | cut -d: -f5")?;
        let wanted = format!("{round}\n").repeat(6) + &format!("round {round}\n");
        assert_eq!(found, wanted, "killed at {step}");
    }
    assert_eq!(
        host.sh("ls -A /var/lib/muster/candidates 2> /dev/null || true")?,
        "",
        "no candidate is left over"
    );
    Ok(())
}

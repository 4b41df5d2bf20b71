//! What a node would change, shown before it happens, and without changing anything to find out.

use anyhow::{Context as _, Result};
use muster_lab::Host;
use serde_json::Value;

use crate::nginx;
use crate::scene::{NODE, declared};

const OLD_SECRET: &str = "kept-secret-one";
const NEW_SECRET: &str = "kept-secret-two";

struct Version {
    number: u8,
    packages: &'static str,
    files: &'static str,
}

/// What is in force, and what is to be looked at before it is.
const VERSIONS: [Version; 2] = [
    Version {
        number: 1,
        packages: "",
        files: "  going: {path: /etc/going, content: old, on_removal: remove}\n  staying: {path: /etc/staying, content: old}\n",
    },
    Version {
        number: 2,
        packages: ", tree: {}",
        files: "  coming: {path: /etc/coming/file, content: \"new\\n\"}\n  folder: {path: /etc/coming, directory: true}\n",
    },
];

fn sections(Version { number, packages, files }: &Version) -> String {
    format!(
        "packages: {{nginx-light: {{}}{packages}}}
files:
  site: {{path: /etc/nginx/conf.d/site.conf, content: \"server {{ listen 8080; return 20{number}; }}\\n\"}}
  plain: {{path: /etc/plain, content: \"same\\nversion {number}\\n\"}}
  secret: {{path: /etc/token, secret: TOKEN_{number}}}
{files}systemd_units:
  worker.service:
    content: |
      [Service]
      ExecStart=/bin/sleep 100{number}
      [Install]
      WantedBy=multi-user.target
services:
  nginx: {{reload_on: [\"file:/etc/nginx/conf.d/site.conf\"]}}
  worker: {{}}
users:
  walter: {{comment: version {number}}}
cron_jobs:
  nightly: {{schedule: \"{number} 4 * * *\", command: /bin/true}}
commands:
  told: {{run: \"echo {number} >> /srv/told\", run_on: [\"file:/etc/plain\"]}}
"
    )
}

/// Everything of a host that a plan could have touched: files with their times and folders with theirs, so that one that
/// was made and taken away again shows as well; what dpkg has; which processes serve.
fn trace(host: &Host) -> Result<String> {
    host.sh(
        "cd /; find etc srv home root usr/local var/lib/dpkg var/spool -xdev -printf '%p %y %m %u %g %s %T@ %l\\n' | sort; \
         find etc srv -xdev -type f -print0 | sort -z | xargs -0 md5sum; \
         systemctl show nginx worker --property Id,MainPID,ActiveEnterTimestampMonotonic,InvocationID; pgrep nginx | sort",
    )
}

fn changes(plan: &Value, key: &str) -> Result<Value> {
    let node = plan["nodes"].as_array().and_then(|nodes| nodes.iter().find(|node| node["node"] == NODE));
    let resources = node.and_then(|node| node["resources"].as_array());
    let found = resources.and_then(|all| all.iter().find(|resource| resource["key"] == key));
    found.cloned().with_context(|| format!("{key} is not in {plan}"))
}

#[test]
fn a_candidate_is_shown_whole_and_changes_nothing() -> Result<()> {
    let scene = nginx::scene()?;
    let (fleet, host) = (&scene.fleet, &scene.host);
    fleet.set_secret("TOKEN_1", OLD_SECRET)?;
    fleet.set_secret("TOKEN_2", NEW_SECRET)?;
    scene.converge(&sections(&VERSIONS[0]))?;
    // Its lists are there, so that what apt is asked shows the package.
    host.sh("apt-get -qq update; rm -f /srv/told")?;
    let before = trace(host)?;
    let generation = fleet.node(NODE)?["generation"].clone();
    let candidate = fleet.write(&declared(&sections(&VERSIONS[1])))?;
    let path = candidate.to_string_lossy().into_owned();

    let plan = fleet.cli().json(&["plan", "--file", &path])?;
    for (key, change) in [
        ("file:/etc/plain", "change"),
        ("file:/etc/nginx/conf.d/site.conf", "change"),
        ("secret_file:/etc/token", "change"),
        ("directory:/etc/coming", "change"),
        ("file:/etc/coming/file", "change"),
        ("package:tree", "change"),
        ("service:nginx.service", "reload"),
        ("systemd_unit:worker.service", "change"),
        ("service:worker.service", "restart"),
        ("user:walter", "change"),
        ("cron_job:nightly", "change"),
        ("command:told", "run"),
        ("file:/etc/going", "remove"),
        ("file:/etc/staying", "release"),
    ] {
        let planned = changes(&plan, key)?;
        assert_eq!(planned["change"], change, "{planned}");
        let cause = if change == "release" { Value::Null } else { "intentional".into() };
        assert_eq!(planned["cause"], cause, "{planned}");
    }
    for key in ["package:tree", "service:worker.service", "systemd_unit:worker.service"] {
        assert_eq!(changes(&plan, key)?["disruptive"], true, "{key} takes a turn");
    }
    for (key, lines) in [
        ("file:/etc/plain", &["-version 1", "+version 2", " same"][..]),
        ("file:/etc/nginx/conf.d/site.conf", &["-server { listen 8080; return 201; }"]),
        ("file:/etc/coming/file", &["+new"]),
        ("systemd_unit:worker.service", &["-ExecStart=/bin/sleep 1001", "+ExecStart=/bin/sleep 1002"]),
        ("cron_job:nightly", &["+2 4 * * *"]),
        ("package:tree", &["+tree"]),
    ] {
        let planned = changes(&plan, key)?;
        let diff = planned["diff"].as_str().with_context(|| format!("{planned} has no difference"))?;
        for line in lines {
            assert!(diff.lines().any(|found| found.starts_with(line)), "{line:?} is not in {diff}");
        }
    }
    // The same for people, with the exit code that they ask for.
    let said = fleet.cli().run(&["plan", "--file", &path, "--exit-code"])?;
    assert_eq!(said.code, 5, "{said:?}");
    for text in [
        "~ file:/etc/plain",
        "+version 2",
        "> service:nginx.service: reloaded",
        "- file:/etc/going: removed",
        "takes a turn",
    ] {
        assert!(said.stdout.contains(text), "{text:?} is not in {}", said.stdout);
    }
    assert!(said.stderr.contains("nothing was changed"), "{}", said.stderr);
    for shown in [plan.to_string(), format!("{said:?}")] {
        assert!(!shown.contains(OLD_SECRET) && !shown.contains(NEW_SECRET), "{shown}");
    }
    assert_eq!(fleet.cli().ok(&["plan", "--file", &path])?.code, 0, "to look is no failure");

    // One that is no fleet file, one of a node that is away: nobody takes either for "nothing to do".
    let broken = fleet.write(&declared("fils: {}\n"))?;
    let said = fleet.cli().run(&["plan", "--file", &broken.to_string_lossy()])?;
    assert!(said.code == 3 && said.stderr.contains("fils"), "{said:?}");
    host.run(["systemctl", "stop", "muster-agent"])?;
    let said = fleet.cli().run(&["plan", "--timeout", "20s"])?;
    assert!(said.code == 1 && said.stderr.contains("web-1 cannot say what it would change"), "{said:?}");
    host.run(["systemctl", "start", "muster-agent"])?;
    fleet.converged(&[NODE])?;

    let after = trace(host)?;
    let differing: Vec<_> = after.lines().filter(|line| !before.lines().any(|old| old == *line)).collect();
    assert_eq!(differing, Vec::<&str>::new(), "nothing was changed to find out");
    assert_eq!(before, after);
    assert_eq!(fleet.node(NODE)?["generation"], generation);
    let said = fleet.cli().run(&["plan", "--exit-code"])?;
    assert!(said.code == 0 && said.stderr.contains("0 changes"), "{said:?}");

    // It was the truth.
    scene.converge(&sections(&VERSIONS[1]))?;
    host.sh("test ! -e /etc/going -a -e /etc/staying && command -v tree && grep -qx 2 /srv/told && pgrep -f '^/bin/sleep 1002'")?;
    assert_eq!(host.read_file("/etc/token")?, NEW_SECRET);
    assert_eq!(fleet.cli().run(&["plan", "--exit-code"])?.code, 0);
    // Drift is told from what is new.
    host.write_file("/etc/plain", b"changed by hand\n")?;
    fleet.cli().ok(&["node", "mode", NODE, "report", "--reason", "a look"])?;
    fleet.until(NODE, "file:/etc/plain", |resource| resource["status"] == "drifted")?;
    let drift = changes(&fleet.cli().json(&["plan"])?, "file:/etc/plain")?;
    assert_eq!((&drift["cause"], &drift["mode"]), (&"corrective".into(), &"report".into()), "{drift}");
    Ok(())
}

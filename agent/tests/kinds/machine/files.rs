//! Jobs of cron and rules of logrotate.

use super::{eventually, machine, out, sh};
use crate::declare;
use muster_planning::convergence::{Action, Verdict};
use std::time::Duration;

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn cron_runs_what_was_declared_with_every_character_of_it() {
    let node = machine();
    sh("rm -rf /var/tmp/tcron");
    out("install -d -m 1777 /var/tmp/tcron; systemctl start cron");
    let command = r#"printf '%s|' 'a%b' 'c\d' 'e\\f' 'g\%h' "$GREETING" "$PATH" "$(id -un)" > /var/tmp/tcron/out.new && mv /var/tmp/tcron/out.new /var/tmp/tcron/out"#;
    let job = declare::cron("texact", "games", "* * * * *", command);
    assert_eq!(node.settle(&job), [Action::WriteFile]);
    assert_eq!(out("stat -c '%U:%G %a' /etc/cron.d/muster-texact"), "root:root 600");
    eventually("cron ran it", Duration::from_secs(150), || sh("ls /var/tmp/tcron/out").success());
    assert_eq!(
        out("cat /var/tmp/tcron/out"),
        r"a%b|c\d|e\\f|g\%h|it's me|/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin|games|"
    );
    out("chmod 666 /etc/cron.d/muster-texact");
    assert_eq!(node.settle(&job), [Action::SetAttributes]);
    node.remove(&job).unwrap().unwrap();
    assert_eq!(node.remove(&job).unwrap(), None);
    let nobody = declare::cron("tnobody", "tnosuch", "@daily", "true");
    assert!(node.refusal(&nobody).contains("the user tnosuch"));
    assert!(node.refusal(&declare::cron("tbad", "root", "0 0 L * *", "true")).contains("does not know"));
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn rules_that_logrotate_does_not_like_never_get_into_its_folder() {
    let node = machine();
    sh("rm -f /etc/logrotate.d/tshop /var/log/tshop.log*");
    let rules = |path: &str, word: &str| {
        declare::logrotate("tshop", &format!("{path} {{\n  {word}\n  rotate 2\n  missingok\n}}\n"))
    };
    for (bad, words) in [
        (rules("/var/log/tshop.log", "dayly"), "tshop:2 unknown option 'dayly'"),
        // Two rules for one file would make logrotate give up on both.
        (rules("/var/log/apt/term.log", "daily"), "duplicate log entry for /var/log/apt/term.log"),
    ] {
        let reason = node.converge(&bad).unwrap_err();
        assert!(reason.contains(words) && !reason.contains("/run/"), "{reason}");
        assert!(!sh("ls /etc/logrotate.d/tshop").success());
    }
    let good = rules("/var/log/tshop.log", "daily");
    assert_eq!(node.settle(&good), [Action::WriteFile]);
    // In its own place it is no duplicate of itself.
    out("echo '# by hand' >> /etc/logrotate.d/tshop");
    node.settle(&good);
    out("echo line > /var/log/tshop.log; logrotate --force /etc/logrotate.conf");
    assert_eq!(out("cat /var/log/tshop.log.1"), "line");
    assert_eq!(node.verdict(&good), Verdict::InPlace);
    node.remove(&good).unwrap().unwrap();
    sh("rm -f /var/log/tshop.log*");
}

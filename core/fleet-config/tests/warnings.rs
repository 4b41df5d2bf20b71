//! What is not wrong, and most likely not meant.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use muster_fleet_config::{SourceFile, parse};

fn warnings(application: &str) -> Vec<String> {
    let text = format!("applications:\n  web: {application}\n");
    let files = [SourceFile { path: "fleet.yaml".into(), content: text.into_bytes() }];
    let warnings = parse(&files).unwrap().warnings;
    assert!(warnings.iter().all(|warning| warning.hint.is_some()));
    warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn each_has_its_place_and_files_with_warnings_are_taken() {
    for (application, expected) in [
        ("{script: a.js, watch: true}", "2:23: a release never changes on a node"),
        ("{script: a.js, watch: [src, /etc/shop]}", "2:23: a release never changes on a node"),
        ("{script: a.js, ignore_watch: [tmp]}", "`ignore_watch` without `watch` does nothing"),
        ("{script: a.py, wait_ready: true}", "`wait_ready` needs a program that speaks over the channel"),
        ("{script: a.js, disable_logs: true, out_file: /var/log/a.log}", "nothing is written to `out_file`"),
        ("{script: a.js, merge_logs: true}", "`merge_logs` is for files that are named"),
        ("{script: a.js, time: true, log_date_format: HH}", "`time` wins"),
        ("{script: a.js, kill_signal: SIGKILL}", "in the midst of its requests"),
        ("{script: a.js, kill_signal: SIGTERM, shutdown_with_message: true}", "asked by a message"),
        ("{script: a.js, restart_delay: 1s, exp_backoff_restart_delay: 100}", "wins over `restart_delay`"),
        ("{script: a.js, autorestart: false, stop_exit_codes: 3}", "whatever its exit code is"),
        ("{script: a.js, max_memory_restart: 400M, max_memory: 400M}", "the kernel ends an instance before"),
    ] {
        let found = warnings(application);
        assert_eq!(found.len(), 1, "{application}: {found:?}");
        assert!(found[0].contains(expected), "{application}: {found:?}");
    }
}

#[test]
fn what_makes_sense_is_not_warned_of() {
    for application in [
        "{script: a.js, watch: /etc/shop, ignore_watch: tmp, watch_delay: 1s}",
        "{script: a.js, max_memory_restart: 300M, max_memory: 400M}",
        "{script: a.js, out_file: /dev/null, error_file: /var/log/a.log, merge_logs: false}",
        "{script: npm start, kill_signal: SIGTERM, exp_backoff_restart_delay: 100}",
        "{script: a.js, cron_restart: 0, stop_exit_codes: 0, log_file: true, merge_logs: true, time: true}",
    ] {
        assert_eq!(warnings(application), Vec::<String>::new(), "{application}");
    }
}

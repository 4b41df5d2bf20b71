use super::*;
use muster_domain::{ApplicationName, Digest, ReleaseId, ReleaseVersion};
use muster_platform::FakeHost;
use std::collections::BTreeSet;

fn wanted(process: ProcessSettings) -> Application {
    Application {
        name: ApplicationName::parse("web").unwrap(),
        release_id: ReleaseId::from_uuid(uuid::Uuid::from_u128(7)),
        release_version: ReleaseVersion::parse("v7").unwrap(),
        artifact_digest: Digest::from_bytes([7; 32]),
        nodejs_range: ">=20".into(),
        script: "server.js".into(),
        args: vec!["--verbose".into()],
        node_args: vec!["--max-old-space-size=512".into()],
        instances: 2,
        exec_mode: ExecMode::Cluster,
        port: Some(3000),
        env: BTreeMap::from([("A".to_owned(), "1".to_owned())]),
        secrets: BTreeSet::new(),
        readiness: Readiness::Listening,
        listen_timeout_ms: 3000,
        kill_timeout_ms: 1600,
        max_restarts: 16,
        min_uptime_ms: 1000,
        restart_delay_ms: 0,
        user: None,
        process,
    }
}

fn host() -> FakeHost {
    let host = FakeHost::new("app-1");
    host.set_runtimes(vec![NodeRuntime { version: "22.1.0".into(), path: "/usr/local/bin/node".into() }]);
    for program in ["bash", "python3", "ruby"] {
        host.set_program(program, muster_platform::CommandOutput::default());
    }
    host
}

fn state() -> StateDir {
    StateDir::new("/var/lib/muster")
}

const RELEASE: &str = "/var/lib/muster/applications/web/releases/00000000-0000-0000-0000-000000000007";

fn here(wanted: &Application) -> AppSpec {
    spec_here(&host(), &state(), wanted, 4).unwrap()
}

#[test]
fn without_a_word_everything_is_as_the_supervisor_has_it() {
    let spec = here(&wanted(ProcessSettings::default()));
    let usual = AppSpec::new("web", RELEASE, "server.js");
    let expected = AppSpec {
        spec_digest: spec.spec_digest.clone(),
        release: "v7".into(),
        release_id: "00000000-0000-0000-0000-000000000007".into(),
        interpreter: Some("/usr/local/bin/node".into()),
        interpreter_args: vec!["--max-old-space-size=512".into()],
        args: vec!["--verbose".into()],
        env: spec.env.clone(),
        exec_mode: protocol::ExecMode::Cluster,
        instances: 2,
        port: Some(3000),
        // pm2's default, which the supervisor leaves to its clients.
        source_map_support: true,
        logs: LogSettings { dir: Some(text(&state().logs())), ..LogSettings::default() },
        ..usual
    };
    assert_eq!(spec, expected);
    assert_eq!(spec.problems(), []);
}

#[test]
fn every_setting_reaches_the_supervisor() {
    let process = ProcessSettings {
        interpreter: Interpreter::Nodejs,
        namespace: "shop".into(),
        group: Some("www-data".into()),
        instance_var: "SLOT".into(),
        increment_var: Some("WORKER".into()),
        listen_fds: vec!["127.0.0.1:3000".into()],
        autostart: false,
        autorestart: false,
        stop_exit_codes: vec![0, 3],
        exp_backoff_restart_delay_ms: 100,
        cron_restart: Some("0 3 * * *".into()),
        max_memory_restart_bytes: Some(300 << 20),
        kill_signal: "SIGTERM".into(),
        treekill: false,
        shutdown_with_message: true,
        source_map_support: false,
        watch: Some(Watch {
            paths: vec!["/etc/shop".into()],
            ignore: Some(vec!["tmp".into()]),
            delay_ms: 50,
        }),
        limits: Limits {
            memory_bytes: Some(400 << 20),
            cpu_percent: Some(150),
            pids: Some(64),
            open_files: Some(1024),
        },
        pid_file: Some("/run/shop.pid".into()),
        logs: Logs {
            out_file: LogFile::Path("/var/log/shop/out.log".into()),
            error_file: LogFile::Nowhere,
            log_file: CombinedLog::Own,
            merge: true,
            disabled: false,
            json: true,
            date_format: Some("HH:mm".into()),
            rotation: LogRotation {
                max_bytes: Some(1 << 20),
                keep: None,
                schedule: Some("0 0 * * *".into()),
                compress: true,
                min_free_bytes: None,
            },
        },
    };
    let mut application = wanted(process);
    application.exec_mode = ExecMode::Fork;
    let spec = here(&application);
    assert_eq!(
        (
            spec.namespace.as_str(),
            spec.group.as_deref(),
            spec.instance_var.as_str(),
            spec.increment_var.as_deref()
        ),
        ("shop", Some("www-data"), "SLOT", Some("WORKER"))
    );
    assert_eq!(
        (spec.autostart, spec.autorestart, spec.treekill, spec.shutdown_with_message),
        (false, false, false, true)
    );
    assert_eq!((spec.source_map_support, spec.kill_signal.as_str()), (false, "SIGTERM"));
    assert_eq!(
        (spec.stop_exit_codes.as_slice(), spec.exp_backoff_restart_delay_ms),
        ([0, 3].as_slice(), 100)
    );
    assert_eq!(
        (spec.cron_restart.as_deref(), spec.max_memory_restart_bytes),
        (Some("0 3 * * *"), Some(300 << 20))
    );
    assert_eq!(spec.listen_fds, ["127.0.0.1:3000"]);
    let watch = spec.watch.clone().unwrap();
    assert_eq!(
        (watch.paths, watch.ignore, watch.delay_ms),
        (vec!["/etc/shop".into()], Some(vec!["tmp".into()]), 50)
    );
    let limits = spec.limits.clone();
    assert_eq!(
        (limits.memory_bytes, limits.cpu_percent, limits.pids, limits.open_files),
        (Some(400 << 20), Some(150), Some(64), Some(1024))
    );
    assert_eq!(spec.pid_file.as_deref(), Some("/run/shop.pid"));
    let usual = protocol::LogRotation::default();
    assert_eq!(
        spec.logs,
        LogSettings {
            dir: Some("/var/lib/muster/logs".into()),
            out_file: protocol::LogFile::Path("/var/log/shop/out.log".into()),
            error_file: protocol::LogFile::None,
            log_file: protocol::LogFile::Path("/var/lib/muster/logs/web/web.log".into()),
            merge: true,
            disabled: false,
            format: protocol::LogFormat::Json,
            date_format: Some("HH:mm".into()),
            rotation: protocol::LogRotation {
                max_bytes: 1 << 20,
                schedule: Some("0 0 * * *".into()),
                compress: true,
                ..usual
            },
        }
    );
    assert_eq!(spec.problems(), []);
}

#[test]
fn other_interpreters_are_found_and_get_what_they_need() {
    let run = |interpreter: Interpreter, script: &str, nodejs: &str| {
        let mut application = wanted(ProcessSettings { interpreter, ..ProcessSettings::default() });
        application.exec_mode = ExecMode::Fork;
        application.script = script.into();
        application.nodejs_range = nodejs.into();
        application.node_args.clear();
        spec_here(&host(), &state(), &application, 1)
    };
    let program = |name: &str| Interpreter::Program(name.into());
    let python = run(program("python"), "predict.py", "").unwrap();
    assert_eq!(python.interpreter.as_deref(), Some("/usr/bin/python3"), "a machine without `python`");
    assert_eq!(python.env["PYTHONUNBUFFERED"], "1");
    assert!(!python.source_map_support && python.env["PATH"].starts_with("/usr/local/sbin"));
    let own = run(program("venv/bin/python"), "predict.py", "").unwrap();
    assert_eq!(own.interpreter, Some(format!("{RELEASE}/venv/bin/python")));
    assert!(own.env["PATH"].starts_with(&format!("{RELEASE}/venv/bin:")));
    assert_eq!(run(program("/opt/deno"), "a.ts", "").unwrap().interpreter.as_deref(), Some("/opt/deno"));
    let itself = run(Interpreter::Itself, "run", ">=20").unwrap();
    assert_eq!((itself.interpreter, itself.env["PATH"].starts_with("/usr/local/bin:")), (None, true));
    let shell = run(Interpreter::Shell, "npm start", "*").unwrap();
    assert_eq!(
        (shell.interpreter.as_deref(), shell.interpreter_args.as_slice(), shell.script.as_str()),
        (Some("/usr/bin/bash"), ["-c".to_owned()].as_slice(), "npm start")
    );
    for spec in [python, own, shell] {
        assert_eq!(spec.problems(), []);
    }
    let missing = run(program("php"), "a.php", "").unwrap_err();
    assert!(missing.contains("no program \"php\"") && missing.contains("interpreter"), "{missing}");
    let node = run(Interpreter::Nodejs, "server.js", ">=99").unwrap_err();
    assert!(node.contains("satisfies >=99"), "{node}");
}

#[test]
fn any_setting_makes_another_spec() {
    let usual = here(&wanted(ProcessSettings::default())).spec_digest;
    assert_eq!(here(&wanted(ProcessSettings::default())).spec_digest, usual);
    let changed = [
        ProcessSettings { autostart: false, ..ProcessSettings::default() },
        ProcessSettings { kill_signal: "SIGTERM".into(), ..ProcessSettings::default() },
        ProcessSettings {
            limits: Limits { pids: Some(9), ..Limits::default() },
            ..ProcessSettings::default()
        },
        ProcessSettings { logs: Logs { json: true, ..Logs::default() }, ..ProcessSettings::default() },
    ];
    for process in changed {
        assert_ne!(here(&wanted(process.clone())).spec_digest, usual, "{process:?}");
    }
}

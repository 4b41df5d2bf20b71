//! Applications move from pm2 to us.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::machine::{Ends, Load, Machine, free_port, get, text, until};

/// Under pm2 it ends with the daemon, whose end is the end of the test.
const APP: &str = "if (!process.env.NODE_APP_INSTANCE) process.on('disconnect', () => process.exit())
require('http').createServer((request, response) => {
    setTimeout(() => response.end(`${process.env.NODE_APP_INSTANCE ? 'ours' : 'pm2'}`), 2)
}).listen(process.env.PORT, '127.0.0.1')";

/// A daemon like pm2's; gives the machine and what ends the daemon.
fn pm2_runs(machine: &Machine, apps: &Value) -> Ends {
    std::fs::create_dir_all(machine.home()).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pm2_tools/daemon.cjs");
    let child = Command::new("node")
        .arg(script)
        .arg(machine.home())
        .arg(apps.to_string())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    Ends(child)
}

fn app(machine: &Machine, name: &str, mode: &str, port: u16) -> Value {
    let script = machine.write(&format!("{name}.js"), APP);
    json!({"name": name, "script": script, "mode": mode, "instances": 2, "env": {"PORT": port.to_string()}})
}

fn answers(port: u16) {
    until("pm2's application answers", || get(port, "/").ok());
}

#[test]
fn a_cluster_application_moves_under_load_and_is_never_refused() {
    let machine = Machine::new();
    let port = free_port();
    let _pm2 = pm2_runs(&machine, &json!([app(&machine, "web", "cluster", port)]));
    answers(port);
    let plan = machine.run(&["adopt", "--dry-run"]);
    assert!(plan.contains("web (2 instances): start first on pm2's own sockets"), "{plan}");
    let load = Load::start(port, 8);
    load.answer(100);
    let said = machine.run(&["adopt"]);
    assert!(said.contains("web moved"), "{said}");
    load.answer(200);
    let (failures, bodies) = load.stop();
    // Never refused, never cut. What the daemon takes in the very instant in which it goes on, before it sees that its
    // workers are gone, is not answered: as a rule nothing, on a busy machine one connection.
    assert!(failures.iter().all(|failure| failure.contains("os error 11")), "{failures:?}");
    assert!(failures.len() <= 2, "{failures:?}");
    assert_eq!(bodies.into_iter().collect::<Vec<_>>(), ["ours", "pm2"]);
    let list = machine.jlist();
    assert_eq!(list.as_array().unwrap().len(), 2, "{list}");
    assert!(
        list.as_array().unwrap().iter().all(|process| process["pm2_env"]["status"] == "online"),
        "{list}"
    );
    assert!(machine.home().join("dump.pm2").exists());
}

#[test]
fn a_fork_application_is_stopped_first_and_only_when_that_is_wanted() {
    let machine = Machine::new();
    let port = free_port();
    let mut worker = app(&machine, "api", "fork", port);
    worker["instances"] = json!(1);
    let _pm2 = pm2_runs(&machine, &json!([worker]));
    answers(port);
    let refused = machine.try_run(&["adopt"]);
    assert!(!refused.status.success());
    assert!(text(&refused.stdout).contains("STOP FIRST"), "{}", text(&refused.stdout));
    assert_eq!(get(port, "/").unwrap().1, "pm2");
    machine.run(&["adopt", "--yes"]);
    until("ours answers", || get(port, "/").ok().filter(|(_, body)| body == "ours"));
    let none = machine.run(&["adopt"]);
    assert!(none.contains("pm2 runs no application"), "{none}");
}

#[test]
fn an_application_that_does_not_come_up_here_goes_back_to_pm2() {
    let machine = Machine::new();
    let port = free_port();
    let mut broken = app(&machine, "api", "fork", port);
    broken["instances"] = json!(1);
    // Refuses to run for us.
    broken["script"] = json!(machine.write(
        "broken.js",
        &format!(
            "if (process.env.NODE_APP_INSTANCE) {{ console.error('not here'); process.exit(1) }}\n{APP}"
        )
    ));
    let _pm2 = pm2_runs(&machine, &json!([broken]));
    answers(port);
    let failed = machine.try_run(&["adopt", "--yes", "api"]);
    assert!(!failed.status.success());
    let said = text(&failed.stderr);
    assert!(said.contains("api stays with pm2"), "{said}");
    until("pm2's application is back", || get(port, "/").ok().filter(|(_, body)| body == "pm2"));
    assert_eq!(machine.jlist(), json!([]));
}

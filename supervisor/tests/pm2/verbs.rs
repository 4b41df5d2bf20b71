//! Verbs about what is there, and selectors.

use serde_json::json;

use crate::harness::{IDLE, Pm2, until};

fn three() -> Pm2 {
    let pm2 = Pm2::new();
    pm2.file("a.js", IDLE);
    pm2.apps(&json!([
        {"name": "web-1", "script": "a.js"},
        {"name": "web-2", "script": "a.js", "namespace": "jobs"},
        {"name": "mail", "script": "a.js", "namespace": "jobs"},
    ]));
    pm2.run("start apps.json").ok();
    pm2
}

#[test]
fn names_ids_namespaces_expressions_and_lists_select() {
    let pm2 = three();
    let stopped = |pm2: &Pm2| -> Vec<String> {
        let all = pm2.jlist();
        let down = all.iter().filter(|record| record["pm2_env"]["status"] == "stopped");
        down.map(|record| record["name"].as_str().unwrap().to_owned()).collect()
    };
    for (selector, meant) in [
        ("0", &["web-1"][..]),
        ("mail", &["mail"]),
        ("jobs", &["web-2", "mail"]),
        ("/web/", &["web-1", "web-2"]),
        ("web-1,mail", &["web-1", "mail"]),
        ("all", &["web-1", "web-2", "mail"]),
    ] {
        pm2.run(&format!("stop {selector}")).ok().says("Applying action stopProcessId on app");
        assert_eq!(stopped(&pm2), meant, "{selector}");
        pm2.run(&format!("start {selector}")).ok().says("Process successfully started");
        assert_eq!(stopped(&pm2), Vec::<String>::new(), "{selector}");
    }
    pm2.run("stop 0 mail").ok();
    assert_eq!(stopped(&pm2), ["web-1", "mail"]);
    pm2.run("restart all").ok();
    pm2.run("delete /web/").ok();
    assert_eq!(pm2.jlist().len(), 1);
    pm2.run("delete all").ok();
    pm2.run("stop all").failed(1).says("No process found");
    pm2.run("stop nothing").failed(1).says("[PM2][ERROR] Process or Namespace nothing not found");
    pm2.run("restart 7").failed(1);
    pm2.run("bogus").failed(1).says("Command not found");
    // Ids begin anew when nothing is left.
    pm2.run("start a.js").ok();
    assert_eq!(pm2.jlist()[0]["pm_id"], 0);
}

#[test]
fn what_runs_is_not_started_twice_by_accident() {
    let pm2 = Pm2::new();
    pm2.file("a.js", IDLE);
    pm2.file("b.js", IDLE);
    pm2.run("start a.js").ok().says("[PM2] Done.");
    pm2.run("start a.js").failed(1).says("Script already launched, add -f option to force re-execution");
    pm2.run("start b.js --name a").failed(1).says("the name a is taken by");
    pm2.run("start nowhere/a.js").failed(1).says("Script not found");
    pm2.run("start a.js -f").ok();
    assert_eq!(pm2.of("a").len(), 2);
    pm2.run("stop a").ok();
    pm2.run("start a.js").ok().says("Applying action restartProcessId on app [a](ids: [ 0, 1 ])");
    assert_eq!(pm2.states("a"), ["online", "online"]);
}

#[test]
fn signals_messages_and_actions_arrive() {
    let pm2 = Pm2::new();
    pm2.file(
        "a.js",
        "process.on('SIGUSR2', () => require('fs').writeFileSync('signal', ''));
         process.send({type: 'axm:action', data: {action_name: 'double', arity: 2}});
         process.send({type: 'axm:monitor', data: {Orders: {value: 3, unit: 'x'}}});
         process.on('message', (m) => {
           if (m && m.msg === 'double') process.send({type: 'axm:reply', data: {action_name: 'double', return: m.opts + m.opts}});
         });
         setInterval(() => {}, 1000);",
    );
    pm2.run("start a.js").ok();
    pm2.run("sendSignal SIGUSR2 a").ok().says("successfully sent signal SIGUSR2 to process name a");
    until("the signal arrived", || pm2.app().join("signal").exists().then_some(()));
    pm2.run("trigger a double 21")
        .ok()
        .says("1 processes have received command double")
        .says("[a:0:default]=\"2121\"");
    pm2.run("trigger a unknown").failed(1).says("Not any process has received a command");
    assert_eq!(pm2.of("a")[0]["pm2_env"]["axm_monitor"]["Orders"]["value"], 3);
    pm2.run("describe a").ok().says("double").says("Orders");
    pm2.run("reset a").ok().says("Resetting meta for process id 0");
}

#[test]
fn verbs_of_the_hosted_service_are_answered() {
    let pm2 = Pm2::new();
    for verb in ["link", "plus", "login", "monitor web", "install pm2-logrotate", "deepUpdate"] {
        pm2.run(verb).failed(1).says("[PM2][ERROR]");
    }
    pm2.run("start app.js --container").failed(1).says("containers");
    pm2.run("profile:cpu 1").failed(1).says("pm2 inspect");
    pm2.run("-v").ok();
    assert_eq!(pm2.with(&[]).code, 1);
}

#[test]
fn silent_commands_say_nothing() {
    let pm2 = Pm2::new();
    pm2.file("a.js", IDLE);
    let said = pm2.run("start a.js -s").ok();
    assert_eq!((said.out.as_str(), said.err.as_str()), ("", ""));
    let said = pm2.run("stop nothing --silent").failed(1);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("", ""));
    assert!(pm2.run("jlist -s").ok().out.starts_with("[{"));
}

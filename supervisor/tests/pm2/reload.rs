//! Reloads: nothing is lost, and a version that does not work does not come in.

use serde_json::json;

use crate::harness::{Pm2, SERVER, free_port, get};

#[test]
fn a_version_that_never_listens_does_not_replace_one_that_does() {
    let pm2 = Pm2::new();
    let port = free_port();
    pm2.file("web.js", SERVER);
    pm2.apps(&json!([{
        "name": "web", "script": "web.js", "instances": 2, "listen_timeout": 1500, "env": {"PORT": port},
    }]));
    pm2.run("start apps.json").ok();
    assert_eq!(get(port).as_deref(), Some("one"));
    pm2.file("web.js", "setInterval(() => {}, 1000);");
    pm2.run("reload web").failed(1).says("what ran before still serves");
    assert_eq!(get(port).as_deref(), Some("one"));
    assert_eq!(pm2.states("web"), ["online", "online"]);
    pm2.file("web.js", &SERVER.replace("one", "two"));
    pm2.run("reload web").ok().says("[web](0) ✓");
    assert_eq!(get(port).as_deref(), Some("two"));
}

#[test]
fn a_restart_takes_the_release_that_the_link_means_now() {
    let pm2 = Pm2::new();
    let port = free_port();
    for release in ["one", "two"] {
        pm2.file(&format!("releases/{release}/web.js"), &SERVER.replace("one", release));
        pm2.file(&format!("releases/{release}/package.json"), &json!({"version": release}).to_string());
    }
    let link = pm2.app().join("current");
    std::os::unix::fs::symlink("releases/one", &link).unwrap();
    pm2.apps(&json!([{
        "name": "web", "script": "web.js", "cwd": link, "instances": 1, "env": {"PORT": port},
    }]));
    pm2.run("start apps.json").ok();
    assert_eq!(get(port).as_deref(), Some("one"));
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("releases/two", &link).unwrap();
    pm2.run("reload web").ok();
    assert_eq!(get(port).as_deref(), Some("two"));
    let record = &pm2.of("web")[0]["pm2_env"];
    assert_eq!((record["version"].as_str(), record["pm_cwd"].as_str()), (Some("two"), link.to_str()));
}

#[test]
fn a_change_of_environment_reaches_workers_without_a_pause() {
    let pm2 = Pm2::new();
    let port = free_port();
    pm2.file(
        "web.js",
        "require('http').createServer((q, s) => s.end(process.env.STAGE || 'none')).listen(+process.env.PORT, '127.0.0.1');",
    );
    pm2.apps(&json!([{
        "name": "web", "script": "web.js", "instances": 2, "env": {"PORT": port},
        "env_production": {"STAGE": "production"},
    }]));
    pm2.run("startOrReload apps.json").ok().says("Applications web not running, starting...");
    assert_eq!(get(port).as_deref(), Some("none"));
    pm2.run("startOrReload apps.json --env production").ok().says("reloadProcessId");
    assert_eq!(get(port).as_deref(), Some("production"));
    pm2.run("reload web --env production").failed(1).says("without passing the ecosystem.config.js");
}

#[test]
fn what_is_not_online_is_restarted_instead_of_reloaded() {
    let pm2 = Pm2::new();
    pm2.file(
        "a.js",
        "if (require('fs').existsSync('fine')) process.send('ready'); setInterval(() => {}, 1000);",
    );
    pm2.file("fine", "");
    pm2.apps(&json!([{"name": "a", "script": "a.js", "wait_ready": true, "listen_timeout": 3000}]));
    pm2.run("start apps.json").ok();
    std::fs::remove_file(pm2.app().join("fine")).unwrap();
    pm2.run("restart a").failed(1).says("was not ready within");
    // It has nothing that could be handed over, or brought back: the answer is there after one attempt.
    pm2.run("reload a").failed(1).says("was not ready within");
    pm2.file("fine", "");
    pm2.run("reload a").ok().says("[a](0) ✓");
    assert_eq!(pm2.states("a"), ["online"]);
}

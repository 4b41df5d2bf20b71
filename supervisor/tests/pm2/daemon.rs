//! The supervisor behind the command: started on demand, once, by whatever name.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{IDLE, Pm2, said, until};

fn daemon_pid(pm2: &Pm2) -> String {
    std::fs::read_to_string(pm2.home().join("pm2.pid")).unwrap()
}

#[test]
fn two_commands_at_once_start_one_daemon() {
    let pm2 = Pm2::new();
    let commands: Vec<_> = (0..4)
        .map(|_| {
            let mut command = pm2.command(&Pm2::program(), &["pm2", "ping"]);
            command.stdout(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for command in commands {
        assert!(command.wait_with_output().unwrap().status.success());
    }
    pm2.file("a.js", IDLE);
    pm2.run("start a.js").ok();
    assert_eq!(pm2.jlist().len(), 1);
    let pid = daemon_pid(&pm2);
    pm2.run("kill").ok().says("[v] PM2 Daemon Stopped");
    until("the daemon is gone", || (!Path::new(&format!("/proc/{pid}/cwd")).exists()).then_some(()));
    assert!(!pm2.home().join("pm2.pid").exists());
    pm2.run("kill").ok();
}

#[test]
fn it_works_under_the_name_pm2_and_survives_an_update() {
    let pm2 = Pm2::new();
    let program = pm2.home().parent().unwrap().join("pm2");
    std::os::unix::fs::symlink(Pm2::program(), &program).unwrap();
    let run = |arguments: &[&str]| said(pm2.command(&program, arguments).output().unwrap());
    pm2.file("a.js", IDLE);
    run(&["start", "a.js"]).ok();
    let before = pm2.of("a")[0]["pid"].clone();
    let daemon = daemon_pid(&pm2);
    run(&["update"]).ok().says("PM2 updated");
    assert_eq!((pm2.of("a")[0]["pid"].clone(), daemon_pid(&pm2)), (before, daemon));
    assert_eq!(pm2.states("a"), ["online"]);
}

#[test]
fn when_it_is_killed_applications_go_on_and_the_next_command_takes_them_back() {
    let pm2 = Pm2::new();
    pm2.file("a.js", IDLE);
    pm2.run("start a.js -i 2").ok();
    pm2.run("start a.js --name b").ok();
    pm2.run("restart b").ok();
    let facts = |pm2: &Pm2| -> Vec<Value> {
        let of = |it: Value| json!([it["pm_id"], it["name"], it["pid"], it["pm2_env"]["restart_time"]]);
        pm2.jlist().into_iter().map(of).collect()
    };
    let before = facts(&pm2);
    let killed = daemon_pid(&pm2);
    let pid = rustix::process::Pid::from_raw(killed.parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    until("the daemon is gone", || (!Path::new(&format!("/proc/{killed}/cwd")).exists()).then_some(()));
    pm2.run("list").ok().says("PM2 Successfully daemonized");
    assert_eq!(facts(&pm2), before);
    assert_eq!((pm2.states("a"), pm2.states("b")), (vec!["online".into(); 2], vec!["online".into()]));
    assert_ne!(daemon_pid(&pm2), killed);
}

#[test]
fn its_log_does_not_grow_for_ever() {
    let pm2 = Pm2::new();
    std::fs::create_dir_all(pm2.home()).unwrap();
    let log = pm2.home().join("pm2.log");
    std::fs::write(&log, "what was said long ago\n".repeat(300_000)).unwrap();
    pm2.run("ping").ok();
    let text = until("the log is new", || {
        let text = std::fs::read_to_string(&log).ok()?;
        text.contains("supervisor serves").then_some(text)
    });
    assert!(!text.contains("long ago"));
    let files = std::fs::read_dir(pm2.home()).unwrap().map(|file| file.unwrap());
    let largest = files.map(|file| file.metadata().unwrap().len()).max().unwrap();
    assert!(largest > 6_000_000, "what was said before is kept: {largest}");
    pm2.run("flush").ok();
    assert_eq!(std::fs::metadata(&log).unwrap().len(), 0);
}

#[test]
fn a_folder_that_cannot_be_used_is_said() {
    let mut pm2 = Pm2::new();
    pm2.file("file", "");
    let home = pm2.app().join("file/home").to_str().unwrap().to_owned();
    pm2.env.insert("PM2_HOME".to_owned(), home);
    pm2.run("list").failed(1).says("set PM2_HOME to a folder");
    pm2.env.clear();
}

#[test]
fn the_daemon_does_not_hold_the_shell_s_secrets() {
    let mut pm2 = Pm2::new();
    pm2.env.insert("DEPLOY_TOKEN".to_owned(), "hunter2".to_owned());
    pm2.run("ping").ok();
    let env = std::fs::read(format!("/proc/{}/environ", daemon_pid(&pm2))).unwrap();
    assert!(!String::from_utf8_lossy(&env).contains("hunter2"));
}

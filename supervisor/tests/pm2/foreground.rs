//! `pm2-runtime`: applications in the foreground, as in a container.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::Pm2;

fn spawn(pm2: &Pm2, arguments: &[&str]) -> Child {
    let mut command = pm2.command(&Pm2::program(), arguments);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_signal_ends_the_applications_and_the_command() {
    let pm2 = Pm2::new();
    pm2.file(
        "a.js",
        "process.on('SIGINT', () => { require('fs').writeFileSync('asked', ''); process.exit(0); });
         console.log('here I am'); setInterval(() => {}, 1000);",
    );
    let mut child = spawn(&pm2, &["pm2-runtime", "start", "a.js", "--json"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.find_map(|line| line.ok().filter(|line| line.contains("here I am"))).unwrap();
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((object["app_name"].as_str(), object["type"].as_str()), (Some("a"), Some("out")));
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(pm2.app().join("asked").exists());
    assert!(!pm2.home().join("muster/supervisor.sock").exists());
}

#[test]
fn it_ends_when_nothing_is_online() {
    let pm2 = Pm2::new();
    pm2.file("a.js", "console.log('done');");
    let mut child = spawn(&pm2, &["pm2-runtime", "a.js", "--no-autorestart"]);
    assert_eq!(child.wait().unwrap().code(), Some(2));
}

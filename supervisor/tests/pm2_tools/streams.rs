//! What is streamed: logs, and standard input.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::mpsc;

use crate::machine::{Ends, Machine, until};

const ECHO: &str = "console.log('begin'); console.error('oops')
process.stdin.on('data', (data) => console.log('got ' + data.toString().trim()))
setInterval(() => {}, 1000)";

fn lines(child: &mut Ends) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    let out = BufReader::new(child.0.stdout.take().unwrap());
    std::thread::spawn(move || out.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok()));
    lines
}

#[test]
fn logs_look_as_those_of_pm2_and_end_when_asked_to() {
    let machine = Machine::new();
    machine.write("app.js", ECHO);
    machine.run(&["start", "app.js", "--name", "web"]);
    let said = until("both lines are there", || {
        let said = machine.run(&["logs", "--nostream"]);
        (said.contains("0|web  | begin\n") && said.contains("0|web  | oops\n")).then_some(said)
    });
    let header =
        "[TAILING] Tailing last 15 lines for [all] processes (change the value with --lines option)\n";
    assert!(said.contains(header), "{said}");
    assert_eq!(machine.run(&["logs", "web", "--nostream", "--raw", "--out"]).lines().last(), Some("begin"));
    assert_eq!(machine.run(&["logs", "/^we/", "--nostream", "--raw", "--err"]).lines().last(), Some("oops"));
    let json = machine.run(&["logs", "0", "--nostream", "--json", "--out"]);
    let line: serde_json::Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&line["message"], &line["type"], &line["process_id"]),
        (&"begin".into(), &"out".into(), &0.into())
    );
    assert!(!machine.try_run(&["logs", "nobody", "--nostream"]).status.success());
}

#[test]
fn somebody_talks_to_a_process() {
    let machine = Machine::new();
    machine.write("app.js", ECHO);
    machine.run(&["start", "app.js", "--name", "web"]);
    let mut attached =
        Ends(machine.pm2(&["attach", "0"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    let heard = lines(&mut attached);
    let mut stdin = attached.0.stdin.take().unwrap();
    until("the process answers", || {
        // Lines from before somebody attached are not shown, so ask until it is heard.
        writeln!(stdin, "hello").unwrap();
        heard.try_iter().any(|line| line == "got hello").then_some(())
    });
    machine.run(&["send", "0", "another line"]);
    until("it got the other line", || heard.try_iter().any(|line| line == "got another line").then_some(()));
    drop(stdin);
    assert!(attached.0.wait().unwrap().success());
}

#[test]
fn the_shell_is_told_the_names() {
    let machine = Machine::new();
    machine.write("app.js", ECHO);
    machine.run(&["start", "app.js", "--name", "webshop"]);
    let complete = |words: &[&str]| {
        let mut command = machine.pm2(&["completion", "--", "pm2"]);
        command.args(words).env("COMP_CWORD", words.len().to_string());
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert_eq!(complete(&["restart", "webs"]), "webshop\n");
    assert!(complete(&["resta"]).contains("restart\n"));
}

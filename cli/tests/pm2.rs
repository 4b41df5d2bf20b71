//! `muster pm2 import` as a person runs it: no controller, no sign-in, the real Node.js.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

/// Someone's shell in a folder, with a home beside it.
struct Person(tempfile::TempDir);

impl Person {
    fn with(files: &[(&str, &str)]) -> Self {
        let person = Self(tempfile::tempdir().unwrap());
        for folder in ["work", "home/.pm2"] {
            fs::create_dir_all(person.0.path().join(folder)).unwrap();
        }
        for (name, text) in files {
            fs::write(person.0.path().join(name), text).unwrap();
        }
        person
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.args(["pm2", "import"]).args(arguments).current_dir(self.0.path().join("work"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.0.path().join("home")).stdin(Stdio::null());
        let output = command.output().unwrap();
        Ran {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

const ECOSYSTEM: &str = "console.log('noise');
module.exports = {apps: [{name: 'web', script: 'web.js', instances: 2, max_memory_restart: '300M', waitReady: true, watch: true, colour: 1,
  env: {NODE_ENV: 'production', STRIPE_KEY: 'hunter2'}, env_staging: {NODE_ENV: 'staging'}}]}";

#[test]
fn the_fragment_goes_to_stdout_and_everything_else_to_stderr() {
    let person = Person::with(&[("work/ecosystem.config.js", ECOSYSTEM), ("work/web.js", "")]);
    let ran = person.run(&[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    insta::assert_snapshot!(ran.stdout, @r#"
    applications:
      # not carried over: watch
      # environments to declare: staging
      # muster secret set STRIPE_KEY
      web:
        env:
          NODE_ENV: production
        exec_mode: cluster
        instances: 2
        max_memory_restart: "300M"
        nodejs: "*"
        overrides:
          staging:
            env:
              NODE_ENV: staging
        script: web.js
        secrets: [STRIPE_KEY]
        wait_ready: true
    "#);
    for part in [
        "read ecosystem.config.js: 1 application",
        "`colour`: pm2 knows no such key",
        "max_memory_restart",
        "lost:",
        "STRIPE_KEY",
    ] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("hunter2") && !ran.stdout.contains("hunter2"));
    assert!(!ran.stdout.contains("noise"));

    let staging = person.run(&["--env", "staging", "ecosystem.config.js"]);
    assert!(
        staging.stdout.contains("NODE_ENV: staging") && !staging.stdout.contains("overrides"),
        "{}",
        staging.stdout
    );
}

#[test]
fn programs_get_one_object() {
    let person = Person::with(&[("work/ecosystem.config.js", ECOSYSTEM)]);
    let ran = person.run(&["-o", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.stderr, "");
    let object: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(object["applications"], serde_json::json!(["web"]));
    assert_eq!(object["secrets"], serde_json::json!(["STRIPE_KEY"]));
    assert!(object["fragment"].as_str().unwrap().starts_with("applications:\n"));
    let difference = &object["differences"][0];
    assert_eq!((difference["app"].as_str(), difference["severity"].as_str()), (Some("web"), Some("lost")));
    assert!(
        object["warnings"].as_array().is_some_and(|warnings| warnings.len() == 2),
        "{}",
        object["warnings"]
    );
    assert!(!ran.stdout.contains("hunter2"));
}

#[test]
fn without_a_file_it_takes_what_is_there() {
    let dump = "[{\"name\": \"saved\", \"pm_exec_path\": \"/srv/a.js\", \"pm_cwd\": \"/srv\", \"status\": \"online\"}]";
    let person = Person::with(&[("home/.pm2/dump.pm2", dump)]);
    let ran = person.run(&[]);
    assert!(ran.code == 0 && ran.stdout.contains("  saved:\n"), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(person.run(&[&person.path("home/.pm2")]).stdout, ran.stdout, "a folder of pm2's will do");
    fs::write(person.path("work/ecosystem.config.yaml"), "apps:\n  - script: yaml.js\n").unwrap();
    assert!(person.run(&[]).stdout.contains("  yaml:\n"), "what is here comes first");
    fs::write(person.path("work/ecosystem.config.js"), "module.exports = [{script: 'javascript.js'}]")
        .unwrap();
    assert!(person.run(&[]).stdout.contains("  javascript:\n"), "JavaScript comes before YAML");
}

#[test]
fn exit_codes_tell_usage_from_failure() {
    let person = Person::with(&[
        ("work/bad.json", "{apps: [{script: 'a.js', kill_timeout: '5s'}]}"),
        ("work/throws.config.js", "throw new Error('no \\u001b[31mSTAGE')"),
        ("work/server.js", ""),
    ]);
    for (arguments, code, part) in [
        (&[][..], 2, "there is no ecosystem file here"),
        (&["."], 2, "there is no ecosystem file in ."),
        (&["server.js"], 2, "would not take this for a configuration file"),
        (&["--nonsense"], 2, "unexpected argument"),
        (&["gone.json"], 1, "cannot read gone.json"),
        (&["bad.json"], 1, "bad.json: application 1: kill_timeout: `5s` is text; valid: a number"),
        (&["throws.config.js"], 1, "it throws an error: Error: no STAGE"),
    ] {
        let ran = person.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(part), "{arguments:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "");
    }
    assert!(Path::new(&person.path("work/bad.json")).exists(), "nothing is changed");
}

//! Configurations in JavaScript, with the real Node.js: every kind of module, and everything that they do wrong.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_pm2::{ImportError, Loaded, Surroundings, load};

/// A folder of its own, with files.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn surroundings() -> Surroundings {
    // A test machine may be busy; what hangs is tried with a shorter time.
    Surroundings { evaluation_timeout: Duration::from_secs(120), ..Surroundings::of_this_process() }
}

fn read(name: &str, text: &str) -> Result<Loaded, ImportError> {
    let folder = Folder::with(&[(name, text)]);
    load(&folder.path(name), &surroundings())
}

fn names(loaded: &Loaded) -> Vec<&str> {
    loaded.apps.iter().map(|app| app.name.as_str()).collect()
}

fn error(name: &str, text: &str) -> String {
    read(name, text).unwrap_err().to_string()
}

#[test]
fn every_kind_of_module_is_read() {
    let common = "module.exports = {apps: [{script: 'shop.js'}]}";
    for (name, text) in [
        ("ecosystem.config.js", common),
        ("ecosystem.config.cjs", common),
        ("ecosystem.config.js", "exports.apps = {script: 'shop.js'}"),
        ("ecosystem.config.js", "exports.__esModule = true; exports.default = [{script: 'shop.js'}]"),
        ("ecosystem.config.mjs", "export default {apps: [{script: 'shop.js'}]}"),
        ("ecosystem.config.mjs", "export const apps = [{script: 'shop.js'}]"),
        (
            "ecosystem.config.mjs",
            "const name = await Promise.resolve('shop'); export default [{script: name + '.js'}]",
        ),
    ] {
        let loaded = read(name, text).unwrap();
        assert_eq!(names(&loaded), ["shop"], "{name}: {text}");
    }
    let folder = Folder::with(&[
        ("package.json", "{\"type\": \"module\"}"),
        ("ecosystem.config.js", "export default {apps: [{script: 'shop.js'}]}"),
    ]);
    assert_eq!(names(&load(&folder.path("ecosystem.config.js"), &surroundings()).unwrap()), ["shop"]);
}

#[test]
fn a_configuration_sees_what_it_would_see_under_pm2() {
    let folder = Folder::with(&[
        ("shared.js", "module.exports = {A: '1'}"),
        (
            "ecosystem.config.js",
            "const shared = require('./shared');
             if (process.stdin.read() !== null) throw new Error('stdin');
             module.exports = [{script: 'a.js', env: {...shared, CWD: process.cwd(), ARGV: process.argv.slice(2).join(' '),
               CI: process.env.MUSTER_TEST_SWITCH, RE: [/a.b/], UNSET: undefined}}]",
        ),
    ]);
    let mut surroundings = surroundings();
    surroundings.env.insert("MUSTER_TEST_SWITCH".to_owned(), "on".to_owned());
    surroundings.env_name = Some("production".to_owned());
    let file = folder.path("ecosystem.config.js");
    let loaded = load(&file, &surroundings).unwrap();
    let env = &loaded.apps[0].env;
    assert_eq!((env["A"].as_str(), env["CI"].as_str(), env["RE"].as_str()), ("1", "on", "[\"a.b\"]"));
    assert_eq!(Path::new(&env["CWD"]), fs::canonicalize(folder.0.path()).unwrap());
    assert_eq!(env["ARGV"], format!("start {} --env production", file.display()));
    assert!(!env.contains_key("UNSET"));
}

#[test]
fn what_it_prints_does_no_harm() {
    let loaded = read(
        "ecosystem.config.js",
        "console.log('{\"value\": 5}'); console.error('noise'); process.stdout.write('x'.repeat(5000000));
         for (let i = 0; i < 100; i++) process.stderr.write('y'.repeat(10000));
         setInterval(() => console.log('still here'), 1); require('net').createServer().listen(0, '127.0.0.1');
         module.exports = [{script: 'shop.js'}]",
    );
    assert_eq!(names(&loaded.unwrap()), ["shop"]);
}

#[test]
fn what_it_throws_is_shown_with_its_place() {
    let text = error("ecosystem.config.js", "module.exports = {};\nthrow new Error('no DATABASE_URL');");
    assert!(text.contains("throws an error") && text.contains("no DATABASE_URL"), "{text}");
    assert!(text.contains("ecosystem.config.js:2"), "{text}");
    assert!(!text.contains("node:internal") && !text.contains("[eval]"), "{text}");
    let text = error("ecosystem.config.js", "module.exports = {apps: [");
    assert!(text.contains("SyntaxError"), "{text}");
    let text = error("ecosystem.config.js", "require('./not-there')");
    assert!(text.contains("Cannot find module './not-there'"), "{text}");
    assert!(error("ecosystem.config.js", "throw 'plain text'").contains("plain text"));
}

#[test]
fn one_that_exits_says_how() {
    let text = error("ecosystem.config.js", "console.error('set STAGE first'); process.exit(7)");
    assert!(text.contains("exit code 7 before it exported anything"), "{text}");
    assert!(text.contains("set STAGE first"), "{text}");
    let text = error("ecosystem.config.js", "process.exit(0)");
    assert!(text.contains("exit code 0"), "{text}");
    let text = error("ecosystem.config.js", "process.kill(process.pid, 'SIGKILL')");
    assert!(text.contains("signal 9"), "{text}");
}

#[test]
fn one_that_never_ends_is_ended_with_everything_that_it_started() {
    let folder = Folder::with(&[(
        "ecosystem.config.js",
        "const child = require('child_process').spawn('sleep', ['600']);
         require('fs').writeFileSync('pids', process.pid + ' ' + child.pid);
         for (;;) {}",
    )]);
    let mut surroundings = surroundings();
    // Long enough for Node.js to start on a busy machine, so that there is something to end.
    surroundings.evaluation_timeout = Duration::from_secs(5);
    let error = load(&folder.path("ecosystem.config.js"), &surroundings).unwrap_err();
    assert!(error.to_string().contains("did not finish within 5 s"), "{error}");
    assert!(error.hint().is_some());
    let pids = fs::read_to_string(folder.path("pids")).unwrap();
    for pid in pids.split(' ') {
        // A killed child of somebody else may stay a zombie for a moment, or for ever where nobody reaps.
        let gone = |pid: &str| match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')),
            Err(_) => true,
        };
        let tries = (0..500).find(|_| {
            gone(pid) || {
                std::thread::sleep(Duration::from_millis(10));
                false
            }
        });
        assert!(tries.is_some(), "process {pid} lives on");
    }
}

#[test]
fn what_is_no_plain_data_is_refused_with_a_reason() {
    for (text, reason) in [
        ("module.exports = () => ({apps: []})", "exports a function"),
        ("module.exports = Promise.resolve({})", "exports a promise"),
        ("const a = {}; a.a = a; module.exports = {apps: [a]}", "not plain data"),
        ("module.exports = undefined", "exports nothing"),
        ("", "describes no application"),
        ("module.exports = {apps: []}", "empty"),
        ("module.exports = {apps: [5]}", "a number stands in the list"),
        ("module.exports = 'app.js'", "text stands where"),
    ] {
        let error = read("ecosystem.config.js", text).unwrap_err();
        assert!(error.to_string().contains(reason), "{text}: {error}");
        assert!(error.hint().is_some(), "{text}");
    }
}

#[test]
fn huge_results_are_refused() {
    let text =
        error("ecosystem.config.js", "module.exports = [{script: 'a.js', args: ['x'.repeat(20000000)]}]");
    assert!(text.contains("more than 8 MiB"), "{text}");
}

#[test]
fn without_nodejs_it_says_so() {
    let folder = Folder::with(&[("ecosystem.config.js", "module.exports = []")]);
    let mut surroundings = surroundings();
    surroundings.env.insert("PATH".to_owned(), "/nowhere".to_owned());
    let error = load(&folder.path("ecosystem.config.js"), &surroundings).unwrap_err();
    assert!(error.to_string().contains("no `node` on PATH"), "{error}");
}

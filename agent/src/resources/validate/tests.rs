use super::*;
use crate::config::StateDir;
use muster_domain::resource::{Package, Resource, ResourceKey};
use muster_platform::{FakeHost, Host};
use std::path::Path;

fn file(path: &str, content: &str, validate: Validator) -> File {
    File {
        path: path.into(),
        content: content.into(),
        mode: 0o644,
        owner: None,
        group: None,
        sensitive: false,
        validate: Some(validate),
    }
}

fn on(host: &FakeHost, assigned: &[Resource], file: &File) -> Result<(), String> {
    let state = tempfile::tempdir().unwrap();
    let state = StateDir::new(state.path());
    check(Look { host, state: &state, assigned }, file)
}

fn failed(stderr: &str) -> CommandOutput {
    CommandOutput { code: Some(1), stdout: Vec::new(), stderr: stderr.into() }
}

/// `nginx -t` for a language with one word: a file is good when it holds no `bad`. Like the real one, it ends at the first.
fn nginx(host: &FakeHost) {
    host.set_judge("nginx", |read, _| {
        for path in ["/etc/nginx/a", "/etc/nginx/b"] {
            let content = read(Path::new(path)).unwrap_or_default();
            if content.windows(3).any(|word| word == b"bad") {
                return failed(&format!(
                    "2026/11/22 18:59:39 [emerg] 15#15: unknown directive \"bad\" in {path}:1\nnginx: configuration file /etc/nginx/nginx.conf test failed\n"
                ));
            }
        }
        CommandOutput { code: Some(0), ..CommandOutput::default() }
    });
}

#[test]
fn a_bad_file_is_refused_in_the_words_of_the_daemon_and_nothing_is_touched() {
    let host = FakeHost::default();
    nginx(&host);
    host.tamper("/etc/nginx/a", "good");
    let writes = host.writes();
    let error = on(&host, &[], &file("/etc/nginx/b", "bad", Validator::Nginx)).unwrap_err();
    assert_eq!(
        error,
        "nginx refuses it: unknown directive \"bad\" in /etc/nginx/b:1; nginx: configuration file /etc/nginx/nginx.conf test failed; what was there before stays in place"
    );
    on(&host, &[], &file("/etc/nginx/b", "fine", Validator::Nginx)).unwrap();
    assert_eq!((host.writes(), host.stat(Path::new("/etc/nginx/b")).unwrap()), (writes, None));
}

#[test]
fn programs_are_asked_in_the_language_that_their_answers_are_read_in() {
    let host = FakeHost::default();
    host.tamper("/etc/sudoers.d/broken", "bad");
    // Of each file it says what it thinks; elsewhere it would say "Analyse OK" of the good ones.
    host.set_judge("visudo", |_, command| {
        let english = command.env.iter().any(|(name, value)| name == "LC_ALL" && value == "C");
        let fine = if english { "parsed OK" } else { "Analyse OK" };
        failed(&format!("/etc/sudoers.d/broken:1:4: syntax error\n/etc/sudoers.d/ops: {fine}\n"))
    });
    on(&host, &[], &file("/etc/sudoers.d/ops", "good", Validator::Sudoers)).unwrap();
}

#[test]
fn two_files_that_were_broken_by_hand_do_not_wait_for_each_other() {
    let host = FakeHost::default();
    nginx(&host);
    host.tamper("/etc/nginx/a", "bad");
    host.tamper("/etc/nginx/b", "bad");
    // The complaint is about the other file, with and without this one.
    on(&host, &[], &file("/etc/nginx/b", "good", Validator::Nginx)).unwrap();
    let error = on(&host, &[], &file("/etc/nginx/a", "still bad", Validator::Nginx)).unwrap_err();
    assert!(error.contains("/etc/nginx/a:1"), "{error}");
}

#[test]
fn a_file_that_breaks_another_one_is_refused() {
    let host = FakeHost::default();
    host.set_judge("nginx", |read, _| {
        let duplicate = read(Path::new("/etc/nginx/b")).is_some();
        if duplicate {
            failed("duplicate default server in /etc/nginx/a:1")
        } else {
            CommandOutput { code: Some(0), ..CommandOutput::default() }
        }
    });
    assert!(
        on(&host, &[], &file("/etc/nginx/b", "x", Validator::Nginx))
            .unwrap_err()
            .contains("duplicate default")
    );
}

#[test]
fn a_program_that_is_missing_is_named_unless_its_package_is_still_to_come() {
    let host = FakeHost::default();
    let wanted = file("/etc/nginx/a", "x", Validator::Nginx);
    let error = on(&host, &[], &wanted).unwrap_err();
    assert!(error.contains("declare the package nginx"), "{error}");
    let package = |ensure| {
        let package = Package { name: "nginx-light".into(), ensure, hold: false };
        [Resource::new(ResourceKey::new("package", "nginx-light"), vec![], DesiredState::Package(package))]
    };
    on(&host, &package(PackageEnsure::Present), &wanted).unwrap();
    on(&host, &package(PackageEnsure::Absent), &wanted).unwrap_err();
}

#[test]
fn a_command_of_ones_own_finds_the_content_under_the_name_of_the_file() {
    let state = tempfile::tempdir().unwrap();
    let state = StateDir::new(state.path());
    let host = muster_platform::LinuxHost::system(state.root());
    let look = Look { host: &host, state: &state, assigned: &[] };
    let judge = |content: &str, line: &str| {
        check(look, &file("/srv/it's.conf", content, Validator::Command(line.into())))
    };
    let killed = state.candidates().join("of-an-agent-that-was-killed");
    durable::private_folder(&killed).unwrap();
    std::fs::write(killed.join("secret"), "s3cret").unwrap();
    judge("good\n", "grep -q good {} && test $(basename {}) = \"it's.conf\"").unwrap();
    let error = judge("bad\n", "grep -q good {} || { echo \"no good in\" {} >&2; exit 3; }").unwrap_err();
    assert_eq!(
        error,
        "its validator refuses it: no good in /srv/it's.conf; what was there before stays in place"
    );
    let left = std::fs::read_dir(state.candidates()).unwrap().count();
    assert_eq!(left, 0, "what was judged is still there");
}

#[test]
fn what_a_killed_agent_was_about_to_have_judged_is_taken_away_by_the_next() {
    let state = tempfile::tempdir().unwrap();
    let state = StateDir::new(state.path());
    let left = state.candidates().join("some");
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("token"), "secret").unwrap();
    clear(&state);
    assert!(!state.candidates().exists());
    clear(&state);
}

#[test]
fn the_words_of_a_program_about_a_secret_are_not_told() {
    let host = FakeHost::default();
    host.set_judge("nginx", |_, _| failed("unexpected \"s3cret\" in /etc/nginx/a:1"));
    let secret = File { sensitive: true, ..file("/etc/nginx/a", "s3cret", Validator::Nginx) };
    let error = on(&host, &[], &secret).unwrap_err();
    assert!(!error.contains("s3cret") && error.starts_with("nginx refuses it"), "{error}");
}

#[test]
fn files_of_cron_are_read_as_cron_reads_them() {
    let host = FakeHost::default();
    let judge =
        |name: &str, text: &str| on(&host, &[], &file(&format!("/etc/cron.d/{name}"), text, Validator::Cron));
    judge("good", "# why\nMAILTO=\"\"\nPATH = /bin\n*/5 0-23/2 1,15 jan-mar mon-fri root run --at=5\n@daily www-data x\n\n").unwrap();
    for (text, why) in [
        ("61 * * * * root x\n", "x:1:"),
        ("a=b\n* * * * root x\n", "x:2:"),
        ("* * * * L root x\n", "\"L\" is not"),
        ("*/2 * * * * * root x\n", "user \"*\" does not exist"),
        ("@dayly root x\n", "@dayly is no time"),
        ("* * * * * nobody-knows x\n", "does not exist"),
        ("* * * * * root\n", "the command is missing"),
        ("* * * * * root x", "does not end"),
    ] {
        let error = judge("x", text).unwrap_err();
        assert!(error.contains(why), "{text:?}: {error}");
    }
    assert!(judge("a.b", "").unwrap_err().contains("passes over"));
}

#[test]
fn logrotate_and_systemd_are_taken_by_what_they_say_of_the_file() {
    let host = FakeHost::default();
    host.set_judge("logrotate", |_, _| {
        failed("warning: debug\nerror: other:3 unknown option 'rotat' -- ignoring line\nerror: stat of /var/log/x failed: No such file or directory\n")
    });
    on(&host, &[], &file("/etc/logrotate.d/shop", "x", Validator::Logrotate)).unwrap();
    let error = on(&host, &[], &file("/etc/logrotate.d/other", "x", Validator::Logrotate)).unwrap_err();
    assert!(error.contains("other:3 unknown option 'rotat'") && !error.contains("stat of"), "{error}");
    host.set_judge("systemd-analyze", |_, _| CommandOutput {
        code: Some(0),
        stdout: Vec::new(),
        stderr: "/etc/systemd/system/y.service:1: Unknown section 'Foo'. Ignoring.\nx.service: Command /srv/x is not executable: No such file or directory\n/etc/systemd/system/x.service.d/a.conf:2: Unknown key 'Nicee' in section [Service], ignoring.\n".into(),
    });
    let unit = |path: &str| on(&host, &[], &file(path, "x", Validator::SystemdUnit));
    unit("/etc/systemd/system/x.service").unwrap();
    assert!(unit("/etc/systemd/system/y.service").unwrap_err().contains("Unknown section 'Foo'"));
    assert!(unit("/etc/systemd/system/x.service.d/a.conf").unwrap_err().contains("Nicee"));
    assert!(unit("/etc/systemd/system/x").unwrap_err().contains("not where systemd looks"));
}

#[test]
fn a_configuration_of_stunnel_is_tried_in_the_foreground_and_keeps_its_lines() {
    let made = stunnel::for_trial(
        b"foreground = no\nPID=/run/x\nsetuid = stunnel4\n[redis]\naccept = 1\noutput = x\n",
    )
    .unwrap();
    let made = String::from_utf8(made).unwrap();
    let lines: Vec<&str> = made.lines().collect();
    assert_eq!(lines[4..], [";", ";", "setuid = stunnel4", "[redis]", "accept = 1", "output = x"]);
    let said =
        stunnel::real_line("/etc/stunnel/a.conf:9: \"acept = 1\": not valid here", "/etc/stunnel/a.conf");
    assert_eq!(said, "/etc/stunnel/a.conf:5: \"acept = 1\": not valid here");
}

#[test]
fn sudo_passes_over_some_names_and_says_so_nowhere() {
    let host = FakeHost::default();
    host.set_program("visudo", CommandOutput { code: Some(0), ..CommandOutput::default() });
    on(&host, &[], &file("/etc/sudoers.d/ops", "x", Validator::Sudoers)).unwrap();
    assert!(on(&host, &[], &file("/etc/sudoers.d/ops.conf", "x", Validator::Sudoers)).is_err());
}

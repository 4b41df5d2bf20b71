//! What every host does, real or not: each check runs on the real one in a folder of its own, on the real one in
//! rootless mode, and on the one in memory.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use muster_domain::Digest;
use muster_platform::{
    CommandLine, FakeHost, Fault, FileKind, FileStat, Host, HostError, LinuxHost, Ownership, WriteFile,
};
use std::path::{Path, PathBuf};

/// Runs a check on each kind of host, with the folder that it may use.
fn on_every_host(check: impl Fn(&dyn Host, &Path)) {
    let dir = tempfile::tempdir().unwrap();
    let real = dir.path().join("real");
    std::fs::create_dir(&real).unwrap();
    check(&LinuxHost::system(dir.path()), &real);

    let rootless = LinuxHost::rootless(dir.path().join("host"), dir.path());
    rootless.make_directory(Path::new("/srv/area"), 0o755, Ownership::default()).unwrap();
    check(&rootless, Path::new("/srv/area"));

    check(&FakeHost::default(), Path::new("/srv"));
}

fn write(host: &dyn Host, path: &Path, content: &str, mode: u32) -> Result<(), HostError> {
    host.write(&WriteFile { path, content: content.as_bytes(), mode, ownership: Ownership::default() })
}

fn stat(host: &dyn Host, path: &Path) -> FileStat {
    host.stat(path).unwrap().unwrap_or_else(|| panic!("{} is missing", path.display()))
}

#[test]
fn a_file_is_written_with_its_mode_and_replaced() {
    on_every_host(|host, dir| {
        let path = dir.join("motd");
        assert_eq!(host.stat(&path).unwrap(), None);
        write(host, &path, "one", 0o640).unwrap();
        let found = stat(host, &path);
        assert_eq!((found.kind, found.mode, found.size_bytes), (FileKind::File, 0o640, 3));
        write(host, &path, "two!", 0o4755).unwrap();
        assert_eq!(stat(host, &path).mode, 0o4755);
        assert_eq!(host.read(&path, 100).unwrap(), b"two!");
        assert_eq!(
            host.digest(&path, 4).unwrap(),
            Some(Digest::from_bytes(*blake3::hash(b"two!").as_bytes()))
        );
        assert_eq!(host.digest(&path, 3).unwrap(), None);
        assert_eq!(host.read(&path, 3).unwrap_err().fault, Fault::TooLarge { max_bytes: 3 });
    });
}

#[test]
fn a_file_found_where_others_can_write_does_not_say_who_owns_the_next_one() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped, because only root can give files away");
        return;
    }
    on_every_host(|host, dir| {
        let theirs = Ownership { uid: Some(1234), gid: Some(1234) };
        for (name, mode, keeps) in [("ours", 0o755, true), ("open", 0o777, false), ("group", 0o775, false)] {
            let folder = dir.join(name);
            host.make_directory(&folder, mode, Ownership::default()).unwrap();
            let path = folder.join("file");
            let file = WriteFile { path: &path, content: b"theirs", mode: 0o644, ownership: theirs };
            host.write(&file).unwrap();
            write(host, &path, "secret", 0o600).unwrap();
            let expected = if keeps { (1234, 1234) } else { (0, 0) };
            let found = stat(host, &path);
            assert_eq!((found.uid, found.gid), expected, "{name}");
        }
    });
}

#[test]
fn a_link_in_the_place_of_a_file_is_replaced_and_never_followed() {
    on_every_host(|host, dir| {
        let (victim, path) = (dir.join("victim"), dir.join("motd"));
        write(host, &victim, "precious", 0o600).unwrap();
        host.make_symlink(&path, "victim").unwrap();
        assert_eq!(host.digest(&path, 4).unwrap_err().fault, Fault::NotAFile);
        write(host, &path, "new", 0o644).unwrap();
        assert_eq!(stat(host, &path).kind, FileKind::File);
        assert_eq!(host.read(&victim, 100).unwrap(), b"precious");
    });
}

#[test]
fn the_mode_of_a_links_target_is_not_changed() {
    on_every_host(|host, dir| {
        write(host, &dir.join("victim"), "", 0o600).unwrap();
        host.make_symlink(&dir.join("link"), "victim").unwrap();
        let error = host.set_attributes(&dir.join("link"), 0o777, Ownership::default()).unwrap_err();
        assert!(matches!(error.fault, Fault::UnsafeLink { .. }), "{error}");
        assert_eq!(stat(host, &dir.join("victim")).mode, 0o600);
    });
}

#[test]
fn another_name_of_somebodys_file_is_not_given_away_where_others_can_write() {
    let dir = tempfile::tempdir().unwrap();
    let host = LinuxHost::system(dir.path());
    let victim = dir.path().join("victim");
    for (name, mode, refused) in [("ours", 0o755, false), ("open", 0o777, true)] {
        write(&host, &victim, "precious", 0o600).unwrap();
        let folder = dir.path().join(name);
        host.make_directory(&folder, mode, Ownership::default()).unwrap();
        std::fs::hard_link(&victim, folder.join("planted")).unwrap();
        let done = host.set_attributes(&folder.join("planted"), 0o666, Ownership::default());
        assert_eq!(
            done.map_err(|error| error.fault),
            if refused { Err(Fault::SeveralNames) } else { Ok(()) }
        );
        assert_eq!(stat(&host, &victim).mode, if refused { 0o600 } else { 0o666 });
        // What is written there is a file of its own.
        write(&host, &folder.join("planted"), "new", 0o644).unwrap();
        assert_eq!(host.read(&victim, 100).unwrap(), b"precious");
        host.set_attributes(&folder.join("planted"), 0o666, Ownership::default()).unwrap();
    }
}

#[test]
fn what_is_denied_even_to_root_is_told_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let host = LinuxHost::system(dir.path());
    let folder = dir.path().join("held");
    host.make_directory(&folder, 0o755, Ownership::default()).unwrap();
    write(&host, &folder.join("file"), "x", 0o644).unwrap();
    let log = dir.path().join("log");
    write(&host, &log, "x", 0o644).unwrap();
    let chattr = |args: &[&str]| {
        let command = std::process::Command::new("chattr").args(args).arg(&folder).status();
        let log = std::process::Command::new("chattr")
            .args(args.iter().map(|arg| arg.replace('i', "a")))
            .arg(&log)
            .status();
        [command, log].into_iter().all(|ended| ended.is_ok_and(|ended| ended.success()))
    };
    if !chattr(&["+i"]) {
        chattr(&["-i"]);
        eprintln!("skipped, because chattr does not work here");
        return;
    }
    let faults = [
        host.make_directory(&folder.join("new"), 0o755, Ownership::default()),
        host.make_symlink(&folder.join("new"), "x"),
        write(&host, &folder.join("file"), "y", 0o644),
        host.remove(&folder.join("file")),
        write(&host, &log, "y", 0o644),
    ]
    .map(|done| done.map_err(|error| error.fault));
    assert!(chattr(&["-i"]), "the folder of the test cannot be removed");
    assert_eq!(faults, [(); 5].map(|()| Err(Fault::Immutable)));
}

#[test]
fn a_folder_in_the_place_of_a_file_or_link_is_never_deleted() {
    on_every_host(|host, dir| {
        let path = dir.join("thing");
        host.make_directory(&path, 0o750, Ownership::default()).unwrap();
        assert_eq!(write(host, &path, "x", 0o644).unwrap_err().fault, Fault::IsADirectory);
        assert_eq!(host.make_symlink(&path, "elsewhere").unwrap_err().fault, Fault::IsADirectory);
        let again = host.make_directory(&path, 0o750, Ownership::default()).unwrap_err();
        assert_eq!(again.fault, Fault::AlreadyExists);
        assert_eq!((stat(host, &path).kind, stat(host, &path).mode), (FileKind::Directory, 0o750));
    });
}

#[test]
fn a_path_through_a_file_or_nothing_is_an_error_to_write_and_nothing_to_see() {
    on_every_host(|host, dir| {
        write(host, &dir.join("file"), "x", 0o644).unwrap();
        let below = dir.join("file/below");
        assert_eq!(host.stat(&below).unwrap(), None);
        assert_eq!(write(host, &below, "x", 0o644).unwrap_err().fault, Fault::NotADirectory);
        assert_eq!(host.stat(&dir.join("no/where")).unwrap(), None);
        host.remove(&dir.join("no/where")).unwrap();
    });
}

#[test]
fn links_are_made_replaced_and_removed() {
    on_every_host(|host, dir| {
        let link = dir.join("current");
        host.make_symlink(&link, "releases/1").unwrap();
        host.make_symlink(&link, "releases/2").unwrap();
        assert_eq!(stat(host, &link).kind, FileKind::Symlink { target: "releases/2".into() });
        host.remove(&link).unwrap();
        assert_eq!(host.stat(&link).unwrap(), None);
    });
}

#[test]
fn a_folder_that_holds_something_is_not_removed() {
    on_every_host(|host, dir| {
        let folder = dir.join("folder");
        host.make_directory(&folder, 0o755, Ownership::default()).unwrap();
        write(host, &folder.join("x"), "x", 0o644).unwrap();
        assert!(host.remove(&folder).is_err());
        host.remove(&folder.join("x")).unwrap();
        host.remove(&folder).unwrap();
        assert_eq!(host.stat(&folder).unwrap(), None);
    });
}

#[test]
fn paths_that_are_not_plain_are_refused() {
    on_every_host(|host, dir| {
        for path in [dir.join("../x"), PathBuf::from("relative")] {
            assert!(write(host, &path, "x", 0o644).is_err(), "{}", path.display());
        }
    });
}

#[test]
fn a_folder_of_the_path_may_be_a_link_of_the_system_but_not_in_rootless_mode() {
    let dir = tempfile::tempdir().unwrap();
    let check = |host: &dyn Host, base: &Path| {
        host.make_directory(&base.join("real"), 0o755, Ownership::default()).unwrap();
        host.make_symlink(&base.join("alias"), "real").unwrap();
        write(host, &base.join("alias/file"), "x", 0o644)
    };
    check(&LinuxHost::system(dir.path()), dir.path()).unwrap();
    check(&FakeHost::default(), Path::new("/srv")).unwrap();

    let root = dir.path().join("host");
    let rootless = LinuxHost::rootless(&root, dir.path());
    write(&rootless, Path::new("/etc/app/made-with-its-folders"), "x", 0o644).unwrap();
    let outside = dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, root.join("etc/out")).unwrap();
    let error = write(&rootless, Path::new("/etc/out/file"), "x", 0o644).unwrap_err();
    assert!(matches!(error.fault, Fault::UnsafeLink { .. }), "{error}");
    assert!(!outside.join("file").exists());
}

#[test]
fn a_link_of_another_user_is_not_followed() {
    if !rustix_is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("etc")).unwrap();
    let link = dir.path().join("app");
    std::os::unix::fs::symlink("etc", &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(12_345), None).unwrap();
    let host = LinuxHost::system(dir.path());
    let error = write(&host, &link.join("shadow"), "x", 0o644).unwrap_err();
    assert_eq!(error.fault, Fault::UnsafeLink { link: link.display().to_string(), owner: 12_345 });
    assert!(!dir.path().join("etc/shadow").exists());
}

fn rustix_is_root() -> bool {
    LinuxHost::system(Path::new("/")).own_account().uid == 0
}

#[test]
fn what_a_killed_write_left_behind_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let host = LinuxHost::system(dir.path());
    let path = dir.path().join("motd");
    let digest = Digest::from_bytes(*blake3::hash(b"motd").as_bytes());
    std::fs::write(dir.path().join(format!(".muster-{}.tmp", digest.short())), "half").unwrap();
    write(&host, &path, "whole", 0o644).unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_eq!(std::fs::read(&path).unwrap(), b"whole");
}

#[test]
fn owner_and_group_of_a_replaced_file_stay_unless_given() {
    if !rustix_is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let check = |host: &dyn Host, path: &Path| {
        let ownership = Ownership { uid: Some(33), gid: Some(33) };
        host.write(&WriteFile { path, content: b"1", mode: 0o644, ownership }).unwrap();
        write(host, path, "2", 0o644).unwrap();
        let found = stat(host, path);
        assert_eq!((found.uid, found.gid), (33, 33));
    };
    check(&LinuxHost::system(dir.path()), &dir.path().join("file"));
    check(&FakeHost::default(), Path::new("/srv/file"));
}

#[test]
fn faults_of_the_fake_read_like_the_real_ones_and_change_nothing() {
    let host = FakeHost::default();
    let path = Path::new("/etc/motd");
    write(&host, path, "one", 0o644).unwrap();
    for (fault, text) in [
        (Fault::ReadOnly, "cannot write \"/etc/motd\": the file system is read-only"),
        (Fault::DiskFull, "cannot write \"/etc/motd\": the disk is full"),
        (Fault::PermissionDenied, "cannot write \"/etc/motd\": permission denied"),
    ] {
        host.set_faults(|faults| {
            *faults = Default::default();
            match fault {
                Fault::ReadOnly => faults.read_only = true,
                Fault::DiskFull => faults.disk_full = true,
                _ => drop(faults.denied.insert("/etc".into())),
            }
        });
        assert_eq!(write(&host, path, "two", 0o644).unwrap_err().to_string(), text);
        assert_eq!(host.read(path, 10).unwrap(), b"one");
    }
    host.set_faults(|faults| *faults = Default::default());
    write(&host, path, "two", 0o644).unwrap();
}

#[test]
fn a_program_is_run_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let host = LinuxHost::system(dir.path());
    let shell = host.find_program("sh").unwrap();
    let run = |script: &str, timeout_ms| {
        host.run(&CommandLine {
            program: shell.clone(),
            args: vec!["-c".into(), script.into()],
            timeout_ms,
            ..CommandLine::default()
        })
    };
    let output = run("echo out; echo err >&2; exit 3", 60_000).unwrap();
    assert_eq!((output.code, output.stdout, output.stderr), (Some(3), b"out\n".to_vec(), "err\n".to_owned()));
    let flood = run("head -c 3000000 /dev/zero", 60_000).unwrap();
    assert!(flood.success() && flood.stdout.len() < 1_000_000);
    let error = run("sleep 1000 & sleep 1000", 50).unwrap_err();
    assert_eq!(error.fault, Fault::TimedOut { after_ms: 50 });
    assert!(host.find_program("no-such-program-here").is_none());
}

#[test]
fn accounts_facts_and_figures_are_those_of_the_system() {
    let dir = tempfile::tempdir().unwrap();
    let host = LinuxHost::system(dir.path());
    assert_eq!(host.user("root").unwrap().unwrap().uid, 0);
    assert_eq!(host.user("no-such-user-here").unwrap(), None);
    assert_eq!(host.group("root").unwrap(), Some(0));
    let facts = host.facts("1.2.3");
    assert!(facts.cpus >= 1 && facts.memory_bytes > 0 && !facts.kernel.is_empty() && !facts.rootless);
    let metrics = host.metrics(chrono::DateTime::UNIX_EPOCH);
    assert!(metrics.memory_total_bytes > 0 && metrics.disk_total_bytes > 0);
    assert!((0.0..=100.0).contains(&metrics.cpu_percent));
}

#[test]
fn runtimes_side_by_side_are_found_and_unfinished_ones_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let host = LinuxHost::system(dir.path());
    for (name, version) in [("22.1.0", "v22.1.0"), (".partial-23.0.0", "v23.0.0")] {
        let bin = dir.path().join(name).join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        // Written by another process: a test that forks meanwhile would hold our handle, and the file stay busy.
        let script = format!("printf '#!/bin/sh\\necho {version}\\n' > node && chmod 755 node");
        let (program, args) = (host.find_program("sh").unwrap(), vec!["-c".into(), script]);
        let command =
            CommandLine { program, args, cwd: Some(bin), timeout_ms: 60_000, ..CommandLine::default() };
        assert!(host.run(&command).unwrap().success());
    }
    let found: Vec<String> = host
        .node_runtimes(dir.path())
        .into_iter()
        .filter(|runtime| runtime.path.starts_with(dir.path()))
        .map(|runtime| runtime.version)
        .collect();
    assert_eq!(found, ["22.1.0"]);
}

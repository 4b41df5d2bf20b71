use std::fs::File;
use std::os::unix::fs::symlink;
use std::time::SystemTime;

use super::*;
use crate::digest::digest_of;

fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn paths(packed: &Packed) -> Vec<&str> {
    packed.manifest.entries().iter().map(|entry| entry.path.as_str()).collect()
}

fn packed(root: &Path) -> Packed {
    pack(root, &PackOptions::default()).unwrap()
}

fn sample(root: &Path) {
    write(root, "server.js", "require('./lib/a')");
    write(root, "lib/a.js", "a");
    write(root, "lib/same.js", "a");
    write(root, "node_modules/x/bin.js", "#!/usr/bin/env node");
    fs::create_dir_all(root.join("node_modules/.bin")).unwrap();
    symlink("../x/bin.js", root.join("node_modules/.bin/x")).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    fs::set_permissions(root.join("node_modules/x/bin.js"), PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn the_same_tree_elsewhere_has_the_same_digest() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    sample(one.path());
    sample(two.path());
    let old = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    File::options().write(true).open(two.path().join("lib/a.js")).unwrap().set_modified(old).unwrap();
    fs::set_permissions(two.path().join("lib/a.js"), PermissionsExt::from_mode(0o600)).unwrap();
    fs::set_permissions(two.path().join("lib"), PermissionsExt::from_mode(0o700)).unwrap();
    let (first, second) = (packed(one.path()), packed(two.path()));
    assert_eq!(first.manifest.encode(), second.manifest.encode());
    assert_eq!(first.sources.len(), 3, "equal files are one object");
    for (digest, source) in &first.sources {
        assert_eq!(digest_of(&fs::read(&source.path).unwrap()), *digest);
    }

    fs::set_permissions(two.path().join("lib/a.js"), PermissionsExt::from_mode(0o700)).unwrap();
    assert_ne!(packed(two.path()).manifest.digest(), first.manifest.digest(), "the executable bit counts");
}

#[test]
fn links_and_empty_directories_are_kept() {
    let root = tempfile::tempdir().unwrap();
    sample(root.path());
    let packed = packed(root.path());
    let kind = |path: &str| {
        packed
            .manifest
            .entries()
            .iter()
            .find(|entry| entry.path == path)
            .map(|entry| entry.kind.clone())
            .unwrap()
    };
    assert_eq!(kind("node_modules/.bin/x"), EntryKind::Symlink { target: "../x/bin.js".to_owned() });
    assert_eq!(kind("empty"), EntryKind::Directory);
    assert!(matches!(kind("node_modules/x/bin.js"), EntryKind::File { executable: true, .. }));
    assert!(matches!(kind("server.js"), EntryKind::File { executable: false, .. }));
}

#[test]
fn built_in_rules_leave_out_secrets_and_version_control() {
    let root = tempfile::tempdir().unwrap();
    for path in [
        "a.js",
        ".env",
        "sub/.env.production",
        ".git/config",
        "npm-debug.log.1",
        ".DS_Store",
        ".musterignore",
    ] {
        write(root.path(), path, "");
    }
    write(root.path(), ".gitignore", "a.js\n");
    let packed = packed(root.path());
    assert_eq!(paths(&packed), [".gitignore", "a.js", "sub"], ".gitignore is not honoured");
    assert_eq!(
        packed.excluded,
        [".DS_Store", ".env", ".git", ".musterignore", "npm-debug.log.1", "sub/.env.production"]
    );
}

#[test]
fn own_rules_win_over_built_in_ones_and_options_over_both() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), ".musterignore", "# comment\n/coverage/\n*.map\n!keep.map\n!.env\n");
    for path in ["a.js", "a.map", "keep.map", "coverage/x", "sub/coverage/x", ".env", "b.tmp"] {
        write(root.path(), path, "");
    }
    let options = PackOptions { exclude: vec!["*.tmp".to_owned(), "/a.js".to_owned()] };
    let packed = pack(root.path(), &options).unwrap();
    assert_eq!(paths(&packed), [".env", "keep.map", "sub", "sub/coverage", "sub/coverage/x"]);
}

#[test]
fn a_broken_rule_is_named_with_its_line() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "a.js", "");
    write(root.path(), ".musterignore", "ok\n{unclosed\n");
    let text = pack(root.path(), &PackOptions::default()).unwrap_err().to_string();
    assert!(text.contains(".musterignore:2"), "{text}");
}

#[test]
fn links_that_leave_the_tree_are_refused_by_name() {
    for target in ["/etc/passwd", "../outside", "sub/../../outside"] {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "sub/a.js", "");
        symlink(target, root.path().join("bad-link")).unwrap();
        let text = pack(root.path(), &PackOptions::default()).unwrap_err().to_string();
        assert!(text.contains("bad-link") && text.contains(target), "{text}");
    }
}

#[test]
fn a_link_to_a_directory_is_not_followed() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "real/a.js", "");
    symlink("real", root.path().join("alias")).unwrap();
    symlink(".", root.path().join("real/self")).unwrap();
    assert_eq!(paths(&packed(root.path())), ["alias", "real", "real/a.js", "real/self"]);
}

#[test]
fn special_files_are_refused_by_name() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "a.js", "");
    let pipe = root.path().join("the-pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let text = pack(root.path(), &PackOptions::default()).unwrap_err().to_string();
    assert!(text.contains("the-pipe") && text.contains("named pipe"), "{text}");
    fs::remove_file(&pipe).unwrap();

    let socket = std::os::unix::net::UnixListener::bind(root.path().join("the-socket")).unwrap();
    let text = pack(root.path(), &PackOptions::default()).unwrap_err().to_string();
    assert!(text.contains("the-socket") && text.contains("socket"), "{text}");
    drop(socket);
    fs::remove_file(root.path().join("the-socket")).unwrap();

    // Only root may create a device; for others the pipe above takes the same branch.
    let device = root.path().join("the-device");
    let number = rustix::fs::makedev(1, 3);
    if rustix::fs::mknodat(rustix::fs::CWD, &device, rustix::fs::FileType::CharacterDevice, mode, number)
        .is_ok()
    {
        let text = pack(root.path(), &PackOptions::default()).unwrap_err().to_string();
        assert!(text.contains("the-device") && text.contains("device"), "{text}");
    }
}

#[test]
fn names_that_cannot_be_kept_are_refused() {
    use std::os::unix::ffi::OsStrExt;
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "").unwrap();
    let text = pack(root.path(), &PackOptions::default()).unwrap_err().to_string();
    assert!(text.contains("not UTF-8"), "{text}");
    let options = PackOptions { exclude: vec!["caf*".to_owned()] };
    assert!(matches!(pack(root.path(), &options), Err(PackError::Empty { .. })));

    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("two\nlines"), "").unwrap();
    let text = pack(root.path(), &PackOptions::default()).unwrap_err().to_string();
    assert!(text.contains("two\\nlines") && text.contains("control"), "{text}");
}

#[test]
fn nothing_to_pack_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    assert!(matches!(pack(root.path(), &PackOptions::default()), Err(PackError::Empty { .. })));
    let missing = root.path().join("missing");
    assert!(matches!(pack(&missing, &PackOptions::default()), Err(PackError::NotADirectory { .. })));
}

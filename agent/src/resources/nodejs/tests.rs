use super::*;
use crate::test_site::Site;
use base64::Engine;
use muster_platform::LinuxHost;
use sha2::{Digest, Sha256, Sha512};
use std::collections::BTreeMap;
use std::process::Command;

/// Pages on this machine, for as long as the test runs.
fn serve(pages: impl FnOnce(&str) -> BTreeMap<String, Vec<u8>>) -> String {
    let site = Site::bind();
    let pages = pages(&site.base);
    site.serve(move |path| pages.get(path).cloned())
}

/// An archive in which a script says that it is this version.
fn archive(top: &str, version: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join(top).join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join("node"), format!("#!/bin/sh\necho v{version}\n")).unwrap();
    fs::set_permissions(bin.join("node"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let packed = dir.path().join("x.tgz");
    let status = Command::new("tar").args(["-czf"]).arg(&packed).arg("-C").arg(dir.path()).arg(top).status();
    assert!(status.unwrap().success());
    fs::read(packed).unwrap()
}

fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "linux-arm64" } else { "linux-x64" }
}

/// A place in the layout of Node.js's own distribution.
fn distribution(archive: Vec<u8>, digest: Option<&str>) -> String {
    serve(|_| {
        let architecture = architecture();
        let file = format!("node-v22.5.1-{architecture}.tar.gz");
        let index = format!(
            r#"[{{"version":"v23.0.0","files":["aix-ppc64"]}},{{"version":"v22.5.1","files":["{architecture}","src"]}},{{"version":"v20.1.0","files":["{architecture}"]}}]"#
        );
        let found = hex::encode(Sha256::digest(&archive));
        let checksums = format!("{}  {file}\n", digest.unwrap_or(&found));
        BTreeMap::from([
            ("/index.json".to_owned(), index.into_bytes()),
            ("/v22.5.1/SHASUMS256.txt".to_owned(), checksums.into_bytes()),
            (format!("/v22.5.1/{file}"), archive),
        ])
    })
}

fn install_from(mirror: &str, range: &str) -> (Result<String, String>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let host = LinuxHost::rootless(dir.path().join("host"), dir.path());
    let wanted = Nodejs { range: range.into(), mirror: Some(mirror.to_owned()) };
    (install(&host, &StateDir::new(dir.path()), &wanted), dir)
}

/// What is below the folder of runtimes.
fn runtimes(dir: &tempfile::TempDir) -> Vec<String> {
    let entries = fs::read_dir(dir.path().join("nodejs")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_mirror_gives_the_newest_version_that_is_built_for_this_machine() {
    let mirror = distribution(archive("node-v22.5.1", "22.5.1"), None);
    let (installed, dir) = install_from(&mirror, ">=20");
    assert_eq!(installed, Ok("22.5.1".into()));
    assert_eq!(runtimes(&dir), ["22.5.1"]);
    assert!(dir.path().join("nodejs/22.5.1/bin/node").is_file());
    let (installed, dir) = install_from(&format!("{mirror}/"), "23");
    assert_eq!(installed, Err("no published version of Node.js satisfies 23".into()));
    assert!(runtimes(&dir).is_empty());
}

#[test]
fn an_archive_with_another_digest_is_not_unpacked() {
    let mirror = distribution(archive("x", "22.5.1"), Some(&"ab".repeat(32)));
    let (installed, dir) = install_from(&mirror, "22");
    let reason = installed.unwrap_err();
    assert!(reason.contains("instead of abab") && reason.contains("nothing of it was unpacked"), "{reason}");
    assert!(runtimes(&dir).is_empty());
}

#[test]
fn an_archive_of_another_version_is_not_installed() {
    let mirror = distribution(archive("x", "22.5.2"), None);
    let (installed, dir) = install_from(&mirror, "22");
    assert_eq!(installed, Err("the archive of Node.js 22.5.1 holds another version".into()));
    assert!(runtimes(&dir).is_empty());
}

#[test]
fn a_mirror_that_is_none_is_named() {
    let nothing = serve(|_| BTreeMap::new());
    let reason = install_from(&nothing, "22").0.unwrap_err();
    assert!(reason.contains("/index.json"), "{reason}");
    let page = serve(|_| BTreeMap::from([("/index.json".to_owned(), b"<html>".to_vec())]));
    let reason = install_from(&page, "22").0.unwrap_err();
    assert!(reason.contains("is no list of versions"), "{reason}");
    let without = serve(|_| {
        let index = format!(r#"[{{"version":"v22.5.1","files":["{}"]}}]"#, architecture());
        let pages = [("/index.json", index), ("/v22.5.1/SHASUMS256.txt", String::new())];
        pages.into_iter().map(|(path, text)| (path.to_owned(), text.into_bytes())).collect()
    });
    let reason = install_from(&without, "22").0.unwrap_err();
    assert!(reason.contains("has no digest of node-v22.5.1-"), "{reason}");
}

fn sha512(digest: &[u8]) -> String {
    format!("sha512-{}", base64::engine::general_purpose::STANDARD.encode(digest))
}

#[test]
fn a_registry_is_spoken_to_without_npm() {
    let check = |integrity: fn(&[u8]) -> String| {
        let archive = archive("package", "22.5.1");
        let base = serve(|base| {
            let list = format!(
                r#"{{"versions":{{"20.1.0":{{"dist":{{"tarball":"{base}/old.tgz"}}}},"22.5.1":{{"dist":{{"tarball":"{base}/x.tgz","integrity":"{}"}}}}}}}}"#,
                integrity(&archive)
            );
            BTreeMap::from([
                (format!("/node-{}", architecture()), list.into_bytes()),
                ("/x.tgz".to_owned(), archive),
            ])
        });
        let work = tempfile::tempdir().unwrap();
        let host = LinuxHost::rootless(work.path().join("host"), work.path());
        let range = NodeRange::parse("22").unwrap();
        let fetched = Source::Registry(base).fetch(&host, &range, architecture(), work.path())?;
        fetched.checksum.check(&fetched.path)?;
        unpack(&host, &fetched, work.path()).map(|_| fetched.version)
    };
    assert_eq!(check(|archive| sha512(&Sha512::digest(archive))), Ok("22.5.1".into()));
    let reason = check(|_| "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=".into()).unwrap_err();
    assert!(reason.contains("no digest of Node.js 22.5.1 that proves anything"), "{reason}");
    let reason = check(|_| sha512(&[0; 64])).unwrap_err();
    assert!(reason.contains("instead of 0000"), "{reason}");
}

use super::*;
use crate::config::StateDir;
use muster_domain::resource::DesiredState;
use muster_planning::convergence::{Effort, Verdict, verdict};
use muster_platform::fake::FakeVersion;
use muster_platform::{FakeHost, LockHolder, PackageHost};
use std::collections::BTreeMap;

/// A binary key as short as one can be: a packet of three bytes.
const KEY: &[u8] = &[0xc6, 3, 4, 0, 0];
const URI: &str = "https://apt.example.test/debian";

fn repository() -> AptRepository {
    AptRepository {
        name: "pgdg".into(),
        uris: vec![URI.into()],
        suites: vec!["bookworm".into()],
        components: vec!["main".into()],
        architectures: vec![],
        key: KEY.to_vec(),
    }
}

fn host() -> FakeHost {
    let host = FakeHost::default();
    host.set_packages(|packages| {
        let version = FakeVersion { version: "17-1".into(), ..FakeVersion::default() };
        packages
            .repositories
            .insert(URI.into(), BTreeMap::from([("postgresql-17".to_owned(), vec![version])]));
    });
    host
}

fn with<T>(host: &FakeHost, act: impl FnOnce(Look<'_>) -> T) -> T {
    let state = StateDir::new("/nowhere");
    act(Look { host, state: &state, assigned: &[] })
}

fn decide(host: &FakeHost, wanted: &AptRepository) -> Verdict {
    let observed = with(host, |look| observe(look, wanted));
    verdict(&DesiredState::AptRepository(wanted.clone()), &observed, Effort::default())
}

fn bring(host: &FakeHost, wanted: &AptRepository) -> Result<Option<String>, String> {
    with(host, |look| apply(look, wanted, Action::WriteRepository))
}

fn read(host: &FakeHost, path: &str) -> Option<Vec<u8>> {
    host.read(Path::new(path), 10_000).ok()
}

#[test]
fn a_source_that_answers_is_put_into_place_and_gives_its_packages() {
    let host = host();
    assert!(matches!(decide(&host, &repository()), Verdict::Change { .. }));
    bring(&host, &repository()).unwrap();
    assert_eq!(decide(&host, &repository()), Verdict::InPlace);
    assert_eq!(read(&host, "/etc/apt/keyrings/pgdg.gpg").as_deref(), Some(KEY));
    let offered = host.package_versions(&["postgresql-17"]).unwrap();
    assert_eq!(offered["postgresql-17"], ["17-1"]);
    // Nothing of the trial is left.
    for left in ["/etc/apt/.pgdg.candidate.sources", "/etc/apt/keyrings/.pgdg.candidate.gpg"] {
        assert_eq!(read(&host, left), None, "{left}");
    }
}

#[test]
fn a_source_that_does_not_answer_stays_out_and_leaves_what_was_there() {
    let host = host();
    bring(&host, &repository()).unwrap();
    let before = read(&host, "/etc/apt/sources.list.d/pgdg.sources");
    let away = AptRepository { uris: vec!["https://away.example.test".into()], ..repository() };
    let reason = bring(&host, &away).unwrap_err();
    assert!(
        reason.contains("its lists cannot be fetched") && reason.contains("Could not connect"),
        "{reason}"
    );
    assert_eq!(read(&host, "/etc/apt/sources.list.d/pgdg.sources"), before);
    assert_eq!(decide(&host, &repository()), Verdict::InPlace);
    assert!(matches!(decide(&host, &away), Verdict::Change { .. }));
}

#[test]
fn what_was_changed_by_hand_is_put_back_and_a_former_key_goes() {
    let host = host();
    bring(&host, &repository()).unwrap();
    host.tamper("/etc/apt/sources.list.d/pgdg.sources", "Types: deb\nURIs: https://evil.example.test\n");
    host.tamper("/etc/apt/keyrings/pgdg.asc", "former");
    let Verdict::Change { reason, .. } = decide(&host, &repository()) else { panic!("it is taken as good") };
    assert_eq!(reason, "its file of sources differs, a former key is still there");
    let diff = with(&host, |look| diff(look, &repository(), &observe(look, &repository()))).unwrap();
    assert!(
        diff.contains("-URIs: https://evil.example.test\n") && diff.contains(&format!("+URIs: {URI}\n")),
        "{diff}"
    );
    bring(&host, &repository()).unwrap();
    assert_eq!(decide(&host, &repository()), Verdict::InPlace);
    assert_eq!(read(&host, "/etc/apt/keyrings/pgdg.asc"), None);
}

#[test]
fn files_that_somebody_else_could_write_to_or_apt_could_not_read_are_put_right() {
    let host = host();
    bring(&host, &repository()).unwrap();
    let key = Path::new("/etc/apt/keyrings/pgdg.gpg");
    let theirs = Ownership { uid: Some(1000), gid: None };
    for (mode, ownership, reason) in [
        (0o600, Ownership::default(), "mode of /etc/apt/keyrings/pgdg.gpg is 0600 instead of 0644"),
        (0o644, theirs, "owner of /etc/apt/keyrings/pgdg.gpg is 1000 instead of 0"),
    ] {
        host.set_attributes(key, mode, ownership).unwrap();
        let Verdict::Change { reason: said, .. } = decide(&host, &repository()) else {
            panic!("it is taken as good")
        };
        assert_eq!(said, reason);
        let shown = with(&host, |look| diff(look, &repository(), &observe(look, &repository())));
        assert_eq!(shown, Some(format!("{reason}\n")));
        bring(&host, &repository()).unwrap();
        assert_eq!(decide(&host, &repository()), Verdict::InPlace);
    }
}

#[test]
fn what_cannot_be_kept_is_not_replaced() {
    let host = host();
    let path = "/etc/apt/sources.list.d/pgdg.sources";
    host.tamper(path, vec![b'#'; 17 * 1024 * 1024]);
    let reason = bring(&host, &repository()).unwrap_err();
    assert!(reason.contains("larger than"), "{reason}");
    assert_eq!(host.stat(Path::new(path)).unwrap().unwrap().size_bytes, 17 * 1024 * 1024);
}

#[test]
fn a_lock_is_waited_for() {
    let host = host();
    let holder = LockHolder { pid: Some(7), command: "apt-get update".into() };
    host.set_packages(|packages| packages.lock = Some(holder));
    let Verdict::Waiting { reason } = decide(&host, &repository()) else { panic!("it does not wait") };
    assert!(reason.contains("apt-get update (process 7)"), "{reason}");
    assert!(bring(&host, &repository()).unwrap_err().contains("apt-get update (process 7)"));
}

#[test]
fn what_cannot_be_is_said_without_trying() {
    let host = host();
    let bad = AptRepository { key: b"<html>".to_vec(), ..repository() };
    let Verdict::Impossible { reason } = decide(&host, &bad) else { panic!("it is tried") };
    assert!(reason.contains("is not an OpenPGP public key"), "{reason}");
    assert_eq!(host.apt_calls().updates, 0);
}

#[test]
fn both_files_are_taken_away() {
    let host = host();
    bring(&host, &repository()).unwrap();
    let removed = with(&host, |look| remove(look, &repository())).unwrap().unwrap();
    assert_eq!(removed, "removed /etc/apt/sources.list.d/pgdg.sources, /etc/apt/keyrings/pgdg.gpg");
    assert_eq!(with(&host, |look| remove(look, &repository())), Ok(None));
}

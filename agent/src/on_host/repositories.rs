use super::archive::{Archive, Deb};
use super::{Throwaway, repository, sh};
use muster_domain::resource::AptRepository;
use muster_planning::convergence::Verdict;

const ONE: Deb<'_> = Deb { name: "muster-one", version: "1.0", fields: "", postinst: "", files: &[] };

/// What stands of a source in apt's folders.
fn files(name: &str) -> String {
    sh(&format!("ls -A /etc/apt /etc/apt/sources.list.d /etc/apt/keyrings | grep '{name}' || true"))
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn a_source_is_there_with_its_key_and_goes_again() {
    let on = Throwaway::get();
    let archive = Archive::new(&on, "good", &[ONE]);
    let desired = repository(&archive.declared);
    assert!(matches!(on.decide(&desired), Verdict::Change { .. }));
    on.apply(&desired).unwrap();
    assert_eq!(on.decide(&desired), Verdict::InPlace);
    assert_eq!(files("good"), "good.asc\ngood.sources");
    assert!(sh("apt-cache policy muster-one").contains("Candidate: 1.0"));
    // The lists of the others are still there.
    assert!(sh("apt-cache policy bash").contains("Candidate: 5"));
    sh("echo 'Types: deb' > /etc/apt/sources.list.d/good.sources");
    on.apply(&desired).unwrap();
    assert_eq!(on.decide(&desired), Verdict::InPlace);
    crate::resources::remove(on.look(), &desired).unwrap();
    assert_eq!(files("good"), "");
    sh("apt-get -qq update");
    assert!(!sh("apt-cache policy muster-one").contains("Candidate: 1.0"));
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn a_source_that_another_key_signed_stays_out_with_apts_own_reason() {
    let on = Throwaway::get();
    let (right, wrong) = (Archive::new(&on, "right", &[ONE]), Archive::new(&on, "wrong", &[]));
    let mixed = AptRepository { key: wrong.declared.key.clone(), ..right.declared.clone() };
    let reason = on.apply(&repository(&mixed)).unwrap_err();
    assert!(reason.contains("its lists cannot be fetched") && reason.contains("NO_PUBKEY"), "{reason}");
    assert_eq!(files("right"), "");
    // One that works keeps working when it is declared with a wrong key.
    on.apply(&repository(&right.declared)).unwrap();
    on.apply(&repository(&mixed)).unwrap_err();
    assert_eq!(on.decide(&repository(&right.declared)), Verdict::InPlace);
    sh("apt-get -qq update");
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn a_source_that_does_not_answer_stays_out_with_apts_own_reason() {
    let on = Throwaway::get();
    let archive = Archive::new(&on, "away", &[ONE]);
    let away = AptRepository { uris: vec!["http://127.0.0.1:9".into()], ..archive.declared.clone() };
    let reason = on.apply(&repository(&away)).unwrap_err();
    assert!(reason.contains("Connection refused") || reason.contains("connection refused"), "{reason}");
    let empty = AptRepository { suites: vec!["nothing/".into()], ..archive.declared.clone() };
    let reason = on.apply(&repository(&empty)).unwrap_err();
    assert!(reason.contains("nothing/"), "{reason}");
    assert_eq!(files("away"), "");
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn a_source_that_contradicts_another_is_taken_back() {
    let on = Throwaway::get();
    let archive = Archive::declared(&on, "first", &[ONE]);
    // The same place under another name has its key in another file, and apt takes no two keys for one place.
    let second = AptRepository { name: "second".into(), ..archive.declared.clone() };
    let reason = on.apply(&repository(&second)).unwrap_err();
    assert!(
        reason.contains("Conflicting values") && reason.contains("the former files are back"),
        "{reason}"
    );
    assert_eq!(files("second"), "");
    assert_eq!(on.decide(&repository(&archive.declared)), Verdict::InPlace);
    sh("apt-get -qq update");
}

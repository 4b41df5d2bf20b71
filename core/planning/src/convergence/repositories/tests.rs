use super::*;
use proptest::prelude::*;

const KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\
\n\
mDMEawM9uBYJKwYBBAHaRw8BAQdA/uFfTDQEMv31GS95LxP3ekxgqOGi0vbNVNNp\n\
QZopszu0H011c3RlciB0ZXN0IDx0ZXN0QGV4YW1wbGUudGVzdD6IkAQTFggAOBYh\n\
BNwVRcflZzfeLPzhMTInm3Rua67ZBQJrAz24AhsDBQsJCAcCBhUKCQgLAgQWAgMB\n\
Ah4BAheAAAoJEDInm3Rua67Zw1ABAIe6Zk8muaqPEt3/8SY04khO0vGcYwkVyqPA\n\
yHi0k/LtAP9HCc+dAtBRWUiFI44nXkwc59uHisi4/mnfS1kKXfl0BA==\n\
=Dx6K\n\
-----END PGP PUBLIC KEY BLOCK-----\n\
";

fn repository() -> AptRepository {
    AptRepository {
        name: "pgdg".into(),
        uris: vec!["https://apt.example.test/pub/repos/apt".into()],
        suites: vec!["bookworm-pgdg".into()],
        components: vec!["main".into()],
        architectures: vec!["amd64".into()],
        key: KEY.as_bytes().to_vec(),
    }
}

fn binary() -> Vec<u8> {
    let body: String = KEY.lines().filter(|line| !line.starts_with(['-', '='])).collect();
    base64::engine::general_purpose::STANDARD.decode(body).unwrap()
}

#[test]
fn files_are_what_apt_reads() {
    let files = repository_files(&repository()).unwrap();
    assert_eq!(files.sources_path, "/etc/apt/sources.list.d/pgdg.sources");
    assert_eq!(
        files.sources,
        "# Kept by Muster as the apt_repository \"pgdg\"; changes are put back.\nTypes: deb\nURIs: https://apt.example.test/pub/repos/apt\nSuites: bookworm-pgdg\nComponents: main\nArchitectures: amd64\nSigned-By: /etc/apt/keyrings/pgdg.asc\n"
    );
    let mut flat = repository();
    flat.key = binary();
    flat.suites = vec!["./".into()];
    flat.components.clear();
    flat.architectures.clear();
    let files = repository_files(&flat).unwrap();
    assert!(
        files.sources.ends_with("Suites: ./\nSigned-By: /etc/apt/keyrings/pgdg.gpg\n"),
        "{}",
        files.sources
    );
    assert_eq!(files.other_key_path, "/etc/apt/keyrings/pgdg.asc");
}

#[test]
fn what_would_become_something_else_is_refused() {
    let check = |change: fn(&mut AptRepository), expected: &str| {
        let mut wanted = repository();
        change(&mut wanted);
        assert_eq!(repository_files(&wanted).unwrap_err().to_string(), expected);
    };
    check(|r| r.name = "../x".into(), "the name \"../x\" cannot stand in a file of sources");
    check(|r| r.uris = vec![], "it names no address");
    check(|r| r.uris = vec!["file:/srv".into()], "the address \"file:/srv\" is not one of http or https");
    check(
        |r| r.uris.push("https://a b".into()),
        "the address \"https://a b\" cannot stand in a file of sources",
    );
    check(|r| r.suites = vec![], "it names no suite");
    check(
        |r| r.suites = vec!["x\nTrusted: yes".into()],
        "the suite \"x\\nTrusted: yes\" cannot stand in a file of sources",
    );
    check(|r| r.suites = vec!["./".into()], "the suite \"./\" is flat and has no components");
    check(|r| r.components.clear(), "the suite \"bookworm-pgdg\" needs a component, such as main");
    check(|r| r.key = b" \n".to_vec(), "its key is empty");
}

#[test]
fn keys_are_told_from_everything_else() {
    assert_eq!(check_key(KEY.as_bytes()), Ok(true));
    assert_eq!(check_key(&binary()), Ok(false));
    assert_eq!(check_key(KEY.replace("PUBLIC", "PRIVATE").as_bytes()), Err(InvalidKey::Secret));
    let with_header = KEY.replacen("\n\n", "\nVersion: GnuPG v2\nComment: hello: there\n\n", 1);
    assert_eq!(check_key(with_header.as_bytes()), Ok(true));
    assert_eq!(check_key(format!("hello\r\n{}", KEY.replace('\n', "\r\n")).as_bytes()), Ok(true));
    let secret_packet = [&[0xc5, 1, 4][..], &binary()].concat();
    assert_eq!(check_key(&secret_packet), Err(InvalidKey::Secret));
    for bad in
        ["<!DOCTYPE html>", "ssh-ed25519 AAAA", "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----"]
    {
        assert_eq!(check_key(bad.as_bytes()), Err(InvalidKey::NotAKey), "{bad}");
    }
    let (first, _) = KEY.split_at(KEY.len() - 40);
    assert!(matches!(check_key(first.as_bytes()), Err(InvalidKey::Damaged(_))));
    let middle = KEY.len() / 2;
    let other = if KEY.as_bytes()[middle] == b'A' { "B" } else { "A" };
    let flipped = format!("{}{other}{}", &KEY[..middle], &KEY[middle + 1..]);
    assert_eq!(check_key(flipped.as_bytes()), Err(InvalidKey::Damaged("its checksum differs")));
    assert_eq!(check_key(&binary()[..40]), Err(InvalidKey::Damaged("it ends too early")));
}

#[test]
fn differences_are_named_and_none_is_none() {
    let wanted = repository();
    let files = repository_files(&wanted).unwrap();
    let digest = |content: &[u8]| Some(Digest::from_bytes(*blake3::hash(content).as_bytes()));
    let good = ObservedRepository {
        sources: digest(files.sources.as_bytes()),
        key: digest(&wanted.key),
        other_key: false,
        attributes: vec![],
        locked_by: Some("apt-get update (process 7)".into()),
    };
    assert_eq!(verdict(&wanted, &Observed::Repository(good.clone())), Verdict::InPlace);
    let bad = ObservedRepository {
        sources: None,
        key: digest(b"x"),
        other_key: true,
        attributes: vec!["mode of /k is 0600 instead of 0644".into()],
        locked_by: None,
    };
    assert_eq!(
        verdict(&wanted, &Observed::Repository(bad.clone())),
        Verdict::Change {
            actions: vec![Action::WriteRepository],
            reason: "its file of sources is missing, its key differs, a former key is still there, mode of /k is 0600 instead of 0644".into()
        }
    );
    let locked = ObservedRepository { locked_by: good.locked_by.clone(), ..bad };
    assert!(matches!(verdict(&wanted, &Observed::Repository(locked)), Verdict::Waiting { .. }));
    let open = ObservedRepository {
        attributes: vec!["owner of /k is 1000 instead of 0".into()],
        locked_by: None,
        ..good
    };
    assert!(matches!(verdict(&wanted, &Observed::Repository(open)), Verdict::Change { .. }));
}

proptest! {
    #[test]
    fn no_bytes_make_the_look_at_keys_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let binary = check_key(&bytes) == Ok(false);
        prop_assert!(!binary || bytes[0] & 0x80 != 0);
    }

    #[test]
    fn a_cut_key_is_never_taken_for_a_whole_one(at in any::<prop::sample::Index>()) {
        let whole = binary();
        let cut = &whole[..at.index(whole.len())];
        // What is left may be whole packets: then it is a key without its signature, and apt's to refuse.
        if check_key(cut) == Ok(false) {
            let rest = [cut, &[0]].concat();
            prop_assert!(check_key(&rest).is_err());
        }
    }

    #[test]
    fn no_value_adds_a_line(value in "[ -~\n\t]{0,40}") {
        let mut wanted = repository();
        wanted.components = vec![value];
        if let Ok(files) = repository_files(&wanted) {
            prop_assert_eq!(files.sources.lines().count(), 7);
        }
    }
}

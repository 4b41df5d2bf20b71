use proptest::prelude::*;

use super::*;

fn file(path: &str) -> Entry {
    let kind = EntryKind::File { digest: digest_of(path.as_bytes()), size_bytes: 3, executable: false };
    Entry { path: path.to_owned(), kind }
}

fn directory(path: &str) -> Entry {
    Entry { path: path.to_owned(), kind: EntryKind::Directory }
}

fn link(path: &str, target: &str) -> Entry {
    Entry { path: path.to_owned(), kind: EntryKind::Symlink { target: target.to_owned() } }
}

fn document(entries: &[Entry]) -> Vec<u8> {
    serde_json::to_vec(&Document { format: FORMAT, entries }).unwrap()
}

fn refusal(entries: &[Entry]) -> String {
    Manifest::parse(&document(entries)).unwrap_err().to_string()
}

#[test]
fn canonical_form_is_pinned() {
    // The digest of every artifact ever uploaded depends on these bytes.
    let manifest = Manifest::new(vec![link("b/l", "../a"), directory("b"), file("a")]).unwrap();
    let text = String::from_utf8(manifest.encode()).unwrap();
    let digest = digest_of(b"a");
    assert_eq!(
        text,
        format!(
            "{{\"format\":1,\"entries\":[\
             {{\"path\":\"a\",\"kind\":{{\"file\":{{\"digest\":\"{digest}\",\"size\":3,\"executable\":false}}}}}},\
             {{\"path\":\"b\",\"kind\":\"directory\"}},\
             {{\"path\":\"b/l\",\"kind\":{{\"symlink\":{{\"target\":\"../a\"}}}}}}]}}"
        )
    );
    assert_eq!(Manifest::parse(text.as_bytes()).unwrap(), manifest);
    assert_eq!(manifest.digest(), digest_of(text.as_bytes()));
    assert_eq!((manifest.file_count(), manifest.total_bytes()), (1, 3));
}

#[test]
fn hostile_paths_are_refused_by_name() {
    for (path, reason) in [
        ("/etc/cron.d/x", "absolute"),
        ("../x", "\"..\""),
        ("a/../../x", "\"..\""),
        ("a//x", "empty component"),
        ("./x", "empty component"),
        ("x\0y", "control character"),
        ("", "empty"),
    ] {
        let text = refusal(&[file(path)]);
        assert!(text.contains(reason), "{path}: {text}");
        assert!(text.contains(&path.escape_debug().to_string()), "{path}: {text}");
    }
}

#[test]
fn every_path_lies_in_a_directory_of_the_manifest() {
    for parent in [link("a", "b"), file("a")] {
        let text = refusal(&[parent, file("a/x"), directory("b")]);
        assert!(text.contains("\"a/x\" lies below \"a\""), "{text}");
    }
    assert!(refusal(&[file("a/x")]).contains("\"a/x\" lies below \"a\""));
}

#[test]
fn order_and_duplicates_are_refused() {
    assert!(refusal(&[file("b"), file("a")]).contains("\"a\" is listed twice or out of order"));
    assert!(refusal(&[file("a"), directory("a")]).contains("\"a\" is listed twice or out of order"));
    // Sorted by bytes of the whole path: '-' comes before '/'.
    assert!(Manifest::parse(&document(&[directory("a"), file("a-b"), file("a/b")])).is_ok());
}

#[test]
fn links_stay_in_the_tree() {
    let tree = |links: &[Entry]| {
        let mut entries = vec![directory("d"), directory("d/e"), file("f")];
        entries.extend_from_slice(links);
        Manifest::new(entries)
    };
    for (path, target) in [
        ("l", "f"),
        ("d/l", "../f"),
        ("d/e/l", "../../f"),
        ("l", "d/./e/"),
        ("l", "missing/elsewhere"),
        ("d/l", ".."),
        ("l", "."),
    ] {
        assert!(tree(&[link(path, target)]).is_ok(), "{path} -> {target}");
    }
    for (path, target, reason) in [
        ("l", "/etc/passwd", "absolute"),
        ("l", "..", "leaves the tree"),
        ("d/l", "../../etc/passwd", "leaves the tree"),
        ("l", "d/../../x", "leaves the tree"),
        ("l", "missing/../../x", "leaves the tree"),
        ("l", "", "empty"),
        ("l", "a\0b", "control character"),
    ] {
        let text = tree(&[link(path, target)]).unwrap_err().to_string();
        assert!(text.contains(reason), "{path} -> {target}: {text}");
    }
    // By its text "d/e/up/../x" ends in d/e; through the first link it leaves the tree.
    let text = tree(&[link("d/e/up", "../.."), link("l", "d/e/up/../x")]).unwrap_err().to_string();
    assert!(text.contains("\"l\"") && text.contains("leaves the tree"), "{text}");
}

#[test]
fn link_loops_are_refused() {
    for links in [
        vec![link("a", "a")],
        vec![link("a", "b"), link("b", "a")],
        vec![directory("d"), link("d/x", "../d/x/y")],
    ] {
        let text = Manifest::new(links).unwrap_err().to_string();
        assert!(text.contains("loop"), "{text}");
    }
}

#[test]
fn other_spellings_are_refused() {
    let good = String::from_utf8(document(&[file("a")])).unwrap();
    assert!(Manifest::parse(good.as_bytes()).is_ok());
    for bad in [
        good.replace(":1,", ": 1,"),
        good.replace("\"path\":\"a\"", "\"path\":\"\\u0061\""),
        format!("{good}\n"),
        good.replace("\"size\":3,\"executable\":false", "\"executable\":false,\"size\":3"),
    ] {
        assert!(matches!(Manifest::parse(bad.as_bytes()), Err(ManifestError::NotCanonical)), "{bad}");
    }
    for bad in [
        good.replace("\"format\":1", "\"format\":1,\"more\":2"),
        good.replace("\"executable\":false", "\"executable\":false,\"mode\":493"),
        good.replace("\"size\":3", "\"size\":-3"),
        good.replace(&digest_of(b"a").to_string(), "abc"),
        good.replace("\"file\"", "\"device\""),
        good[..good.len() - 1].to_owned(),
        String::new(),
        "[".repeat(100_000),
    ] {
        assert!(matches!(Manifest::parse(bad.as_bytes()), Err(ManifestError::Malformed(_))), "{bad:.100}");
    }
    let other = good.replace("\"format\":1", "\"format\":2");
    assert!(matches!(Manifest::parse(other.as_bytes()), Err(ManifestError::UnknownFormat { found: 2 })));
}

#[test]
fn a_million_entries_are_refused() {
    let mut text = String::from("{\"format\":1,\"entries\":[");
    for number in 0..1_000_000 {
        text.push_str(&format!("{{\"path\":\"{number:07}\",\"kind\":\"directory\"}},"));
    }
    text.pop();
    text.push_str("]}");
    assert!(text.len() < MAX_MANIFEST_BYTES, "the cap on entries is meant, not the one on bytes");
    assert!(matches!(Manifest::parse(text.as_bytes()), Err(ManifestError::TooManyEntries)));
    let spaces = vec![b' '; MAX_MANIFEST_BYTES + 1];
    assert!(matches!(Manifest::parse(&spaces), Err(ManifestError::TooLarge { .. })));
}

#[test]
fn sizes_are_capped_and_consistent() {
    let sized = |path: &str, content: &str, size_bytes| Entry {
        path: path.to_owned(),
        kind: EntryKind::File { digest: digest_of(content.as_bytes()), size_bytes, executable: false },
    };
    assert!(refusal(&[sized("a", "a", MAX_FILE_BYTES + 1)]).contains("\"a\" has 2147483649 bytes"));
    assert!(refusal(&[sized("a", "a", u64::MAX)]).contains("at most"));
    let many: Vec<Entry> = (0..5).map(|n| sized(&format!("f{n}"), &n.to_string(), MAX_FILE_BYTES)).collect();
    assert!(Manifest::parse(&document(&many[..4])).is_ok());
    assert!(refusal(&many).contains("together"));
    assert!(refusal(&[sized("a", "x", 1), sized("b", "x", 2)]).contains("\"b\" has a length that differs"));
}

#[test]
fn entangled_links_end_in_a_refusal() {
    // Every link leads through all others: without a cap on hops and steps this would take hours.
    let mut links = vec![link("l000", "x")];
    for number in 1..200 {
        links.push(link(&format!("l{number:03}"), &format!("l{:03}/../l{:03}", number - 1, number - 1)));
    }
    let error = Manifest::new(links).unwrap_err();
    assert!(
        matches!(error, ManifestError::Link { fault: LinkFault::Loop | LinkFault::TooEntangled, .. }),
        "{error}"
    );
}

/// Names that like to get around checks, mixed with honest ones.
fn component() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-c]{1,2}",
        1 => Just("..".to_owned()),
        1 => Just(".".to_owned()),
        1 => Just(String::new()),
        1 => Just("a\0".to_owned()),
        1 => "\\PC{1,3}",
    ]
}

fn hostile_path() -> impl Strategy<Value = String> {
    proptest::collection::vec(component(), 1..5).prop_map(|parts| parts.join("/"))
}

fn hostile_entry() -> impl Strategy<Value = Entry> {
    (hostile_path(), hostile_path(), 0..3_u8, any::<bool>()).prop_map(|(path, target, kind, executable)| {
        Entry {
            kind: match kind {
                0 => EntryKind::Directory,
                1 => EntryKind::Symlink { target },
                _ => EntryKind::File { digest: digest_of(path.as_bytes()), size_bytes: 1, executable },
            },
            path,
        }
    })
}

/// The plainest possible statement of what must hold, written apart from the checks.
fn safe(manifest: &Manifest) -> bool {
    let kinds: std::collections::BTreeMap<&str, &EntryKind> =
        manifest.entries().iter().map(|entry| (entry.path.as_str(), &entry.kind)).collect();
    kinds.len() == manifest.entries().len()
        && manifest.entries().iter().all(|entry| {
            let parts: Vec<&str> = entry.path.split('/').collect();
            let clean = parts.iter().all(|part| !part.is_empty() && *part != "." && *part != "..");
            let below_directories = (1..parts.len()).all(|count| {
                matches!(kinds.get(parts[..count].join("/").as_str()), Some(EntryKind::Directory))
            });
            clean && below_directories && !entry.path.contains('\0') && !entry.path.starts_with('/')
        })
}

proptest! {
    #[test]
    fn what_is_accepted_is_safe_and_comes_back(entries in proptest::collection::vec(hostile_entry(), 0..8)) {
        if let Ok(manifest) = Manifest::new(entries.clone()) {
            prop_assert!(safe(&manifest));
            let again = Manifest::parse(&manifest.encode()).unwrap();
            prop_assert_eq!(again.digest(), manifest.digest());
            prop_assert_eq!(again, manifest);
        }
        if let Ok(manifest) = Manifest::parse(&document(&entries)) {
            prop_assert!(safe(&manifest));
        }
    }

    #[test]
    fn honest_trees_are_accepted_in_any_order(
        names in proptest::collection::btree_set("[a-z]{1,3}(\\.js)?", 1..20), seed in any::<u64>()
    ) {
        let mut entries = Vec::new();
        for (number, name) in names.iter().enumerate() {
            entries.push(directory(name));
            entries.push(file(&format!("{name}/f{number}")));
            entries.push(link(&format!("{name}/l"), &format!("../{name}/f{number}")));
        }
        let sorted = Manifest::new(entries.clone()).unwrap();
        let middle = usize::try_from(seed % entries.len() as u64).unwrap();
        entries.rotate_left(middle);
        prop_assert_eq!(Manifest::new(entries).unwrap().digest(), sorted.digest());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Manifest::parse(&bytes).is_err());
    }
}

/// Accepted links, created for real: whatever the kernel resolves lies in the tree.
#[test]
fn accepted_links_resolve_inside_the_tree_on_disk() {
    use std::os::unix::fs::symlink;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let names = proptest::collection::vec(
        ("[abx]{1}", proptest::collection::vec(prop_oneof![Just("..".to_owned()), "[abdex]{1}"], 1..5)),
        1..5,
    );
    let mut created = 0;
    for _ in 0..300 {
        let links = proptest::strategy::ValueTree::current(&names.new_tree(&mut runner).unwrap());
        let mut entries = vec![directory("d"), directory("d/e")];
        for (number, (name, target)) in links.iter().enumerate() {
            let place = ["", "d/", "d/e/"][number % 3];
            entries.push(link(&format!("{place}{name}"), &target.join("/")));
        }
        let Ok(manifest) = Manifest::new(entries) else { continue };
        let outside = tempfile::tempdir().unwrap();
        let root = outside.path().canonicalize().unwrap().join("p/q/root");
        std::fs::create_dir_all(root.join("d/e")).unwrap();
        for entry in manifest.entries() {
            if let EntryKind::Symlink { target } = &entry.kind {
                symlink(target, root.join(&entry.path)).unwrap();
                created += 1;
            }
        }
        for entry in manifest.entries() {
            if let Ok(real) = root.join(&entry.path).canonicalize() {
                assert!(real.starts_with(&root), "{} in {:?}", entry.path, manifest.entries());
            }
        }
    }
    assert!(created > 50, "the strategy makes trees that are accepted");
}

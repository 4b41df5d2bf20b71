use super::*;
use crate::digest::digest_of;

fn store() -> (tempfile::TempDir, ObjectStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = ObjectStore::open(directory.path().join("objects")).unwrap();
    (directory, store)
}

fn incoming(store: &ObjectStore) -> usize {
    fs::read_dir(store.root().join(INCOMING)).unwrap().count()
}

#[test]
fn objects_are_kept_by_digest() {
    let (_directory, store) = store();
    let digest = digest_of(b"content");
    assert!(!store.has(digest));
    assert_eq!(store.put(digest, &b"content"[..]).unwrap(), 7);
    assert_eq!(store.put(digest, &b"content"[..]).unwrap(), 7, "storing twice does no harm");
    assert_eq!(store.size_bytes(digest), Some(7));
    let mut text = String::new();
    store.open_object(digest).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "content");
    let name = digest.to_string();
    assert!(store.root().join(&name[..2]).join(&name[2..]).is_file());
    assert!(store.verify(digest).unwrap());
    fs::write(store.object_path(digest), "damaged").unwrap();
    assert!(!store.verify(digest).unwrap());
}

#[test]
fn wrong_content_leaves_nothing() {
    let (_directory, store) = store();
    let digest = digest_of(b"content");
    assert!(matches!(store.put(digest, &b"other"[..]), Err(BundleError::WrongContent { .. })));
    assert!(!store.has(digest));
    assert_eq!(incoming(&store), 0);
}

#[test]
fn bundles_go_from_store_to_store_completely_or_not_at_all() {
    let ((_one, from), (_two, to)) = (store(), store());
    let digests: Vec<Digest> = (0..50_u8)
        .map(|n| {
            let content = vec![n; usize::from(n) * 1000];
            from.put(digest_of(&content), content.as_slice()).unwrap();
            digest_of(&content)
        })
        .collect();
    let (bytes, summary) = from.write_bundle(Vec::new(), digests.clone()).unwrap();
    assert_eq!(summary.objects, 50);

    assert!(to.put_bundle(&bytes[..bytes.len() - 10], &Wanted::any()).is_err());
    assert_eq!(to.missing(&digests).len(), 50, "nothing of a broken bundle is kept");
    assert_eq!(incoming(&to), 0);

    assert_eq!(to.put_bundle(bytes.as_slice(), &Wanted::any()).unwrap(), summary);
    assert!(to.missing(&digests).is_empty());
    assert_eq!(to.list().unwrap().len(), 50);
    assert_eq!(incoming(&to), 0);

    fs::write(from.object_path(digests[7]), "damaged").unwrap();
    let error = from.write_bundle(Vec::new(), digests.clone()).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains(&digests[7].to_string()), "{error}");
    from.remove(digests[7]).unwrap();
    let error = from.write_bundle(Vec::new(), digests.clone()).map(|_| ()).unwrap_err();
    assert!(matches!(error, BundleError::Add { digest, .. } if digest == digests[7]), "{error}");
}

#[test]
fn missing_keeps_the_order_and_marks_what_is_there_as_used() {
    let (_directory, store) = store();
    let (there, away, other) = (digest_of(b"there"), digest_of(b"away"), digest_of(b"other"));
    store.put(there, &b"there"[..]).unwrap();
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::options().write(true).open(store.object_path(there)).unwrap().set_modified(old).unwrap();
    assert_eq!(store.list().unwrap()[0].used_at, old);
    assert_eq!(store.missing(&[other, there, away, other]), [other, away]);
    assert!(store.list().unwrap()[0].used_at > old);
}

#[test]
fn remove_and_leftovers() {
    let (_directory, store) = store();
    let digest = digest_of(b"x");
    store.put(digest, &b"x"[..]).unwrap();
    assert!(store.remove(digest).unwrap());
    assert!(!store.remove(digest).unwrap());
    fs::write(store.root().join(INCOMING).join("half"), "").unwrap();
    assert_eq!(store.remove_abandoned(Duration::from_secs(3600)).unwrap(), 0);
    assert_eq!(store.remove_abandoned(Duration::ZERO).unwrap(), 1);
}

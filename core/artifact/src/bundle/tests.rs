use std::io::Cursor;

use super::*;
use crate::digest::digest_of;

/// Keeps objects in memory.
#[derive(Default)]
struct Memory {
    objects: BTreeMap<Digest, Vec<u8>>,
    full: bool,
}

impl ObjectSink for Memory {
    type Pending = Vec<u8>;

    fn begin(&mut self, _: Digest, _: u64) -> io::Result<Vec<u8>> {
        if self.full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(Vec::new()) }
    }

    fn commit(&mut self, digest: Digest, pending: Vec<u8>) -> io::Result<()> {
        self.objects.insert(digest, pending);
        Ok(())
    }
}

fn contents() -> Vec<Vec<u8>> {
    let noise: Vec<u8> = (0..200_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    vec![b"one".to_vec(), Vec::new(), noise, vec![7; 512], b"last".to_vec()]
}

fn bundle(contents: &[Vec<u8>]) -> Vec<u8> {
    let objects = contents.iter().map(|content| {
        let reader = Cursor::new(content.clone());
        Ok(BundleObject { digest: digest_of(content), size_bytes: content.len() as u64, reader })
    });
    write_bundle(Vec::new(), COMPRESSION_LEVEL, objects).unwrap().0
}

fn exactly(contents: &[Vec<u8>]) -> Wanted {
    Wanted::Exactly(contents.iter().map(|content| (digest_of(content), content.len() as u64)).collect())
}

fn read(bytes: &[u8], wanted: &Wanted) -> Result<(BundleSummary, Memory), BundleError> {
    let mut sink = Memory::default();
    read_bundle(bytes, wanted, &mut sink).map(|summary| (summary, sink))
}

/// A tar archive as an attacker would write it.
fn archive(build: impl FnOnce(&mut Builder<Vec<u8>>)) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    build(&mut builder);
    zstd::encode_all(builder.into_inner().unwrap().as_slice(), 3).unwrap()
}

fn header(name: &str, kind: EntryType, size_bytes: u64) -> Header {
    let mut header = Header::new_gnu();
    // Written directly: the library itself refuses ".." and absolute names.
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size_bytes);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

#[test]
fn objects_come_through() {
    let contents = contents();
    let bytes = bundle(&contents);
    let total: usize = contents.iter().map(Vec::len).sum();
    for wanted in [exactly(&contents), Wanted::any()] {
        let (summary, sink) = read(&bytes, &wanted).unwrap();
        assert_eq!(summary, BundleSummary { objects: 5, bytes: total as u64 });
        for content in &contents {
            assert_eq!(&sink.objects[&digest_of(content)], content);
        }
    }
    assert_eq!(bytes, bundle(&contents), "the same objects give the same bytes");
    let (summary, _) = read(&bundle(&[]), &Wanted::any()).unwrap();
    assert_eq!(summary, BundleSummary::default());
}

#[test]
fn a_bundle_cut_off_anywhere_is_refused() {
    let contents = contents();
    let bytes = bundle(&contents);
    let cuts = (0..bytes.len()).step_by(bytes.len() / 200).chain([bytes.len() - 1, bytes.len() - 4]);
    for cut in cuts {
        let error = read(&bytes[..cut], &exactly(&contents)).map(|_| ()).unwrap_err();
        assert!(
            matches!(
                error,
                BundleError::Damaged { .. }
                    | BundleError::DamagedObject { .. }
                    | BundleError::Incomplete { .. }
            ),
            "cut at {cut}: {error:?}"
        );
    }
    // Cut within the large object: the error names it.
    let error = read(&bytes[..bytes.len() / 2], &exactly(&contents)).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains(&digest_of(&contents[2]).to_string()), "{error}");
}

#[test]
fn a_flipped_byte_is_noticed() {
    let contents = contents();
    let bytes = bundle(&contents);
    for position in (0..bytes.len()).step_by(bytes.len() / 100) {
        let mut damaged = bytes.clone();
        damaged[position] ^= 0x10;
        if let Ok((_, sink)) = read(&damaged, &exactly(&contents)) {
            // A bit that carries no content, such as the time of a member: all contents are still right.
            for content in &contents {
                assert_eq!(&sink.objects[&digest_of(content)], content);
            }
        }
    }
}

#[test]
fn wrong_content_is_refused_and_not_kept() {
    let promised = digest_of(b"promised");
    let bytes = archive(|builder| {
        builder.append(&header(&promised.to_string(), EntryType::Regular, 8), &b"delivery"[..]).unwrap();
    });
    let mut sink = Memory::default();
    let error = read_bundle(bytes.as_slice(), &Wanted::any(), &mut sink).unwrap_err();
    assert!(matches!(error, BundleError::WrongContent { digest, .. } if digest == promised), "{error:?}");
    assert!(error.to_string().contains(&promised.to_string()));
    assert!(sink.objects.is_empty());
}

#[test]
fn what_nobody_asked_for_is_refused() {
    let contents = contents();
    let bytes = bundle(&contents);
    let error = read(&bytes, &exactly(&contents[..4])).map(|_| ()).unwrap_err();
    assert!(matches!(error, BundleError::Unwanted { digest } if digest == digest_of(&contents[4])));

    let twice = bundle(&[b"x".to_vec(), b"x".to_vec()]);
    assert!(matches!(read(&twice, &Wanted::any()).map(|_| ()), Err(BundleError::Unwanted { .. })));

    let error = read(&bundle(&contents[..4]), &exactly(&contents)).map(|_| ()).unwrap_err();
    assert!(matches!(error, BundleError::Incomplete { first, count: 1 } if first == digest_of(&contents[4])));

    let wanted = Wanted::Exactly([(digest_of(b"one"), 4)].into());
    let error = read(&bundle(&contents[..1]), &wanted).map(|_| ()).unwrap_err();
    assert!(matches!(error, BundleError::WrongSize { expected: 4, found: 3, .. }));
}

#[test]
fn members_that_are_no_objects_are_refused() {
    let name = digest_of(b"x").to_string();
    for (path, kind) in [
        ("../../etc/passwd", EntryType::Regular),
        ("/etc/passwd", EntryType::Regular),
        ("readme", EntryType::Regular),
        (name.as_str(), EntryType::Symlink),
        (name.as_str(), EntryType::Link),
        (name.as_str(), EntryType::Char),
        (name.as_str(), EntryType::Block),
        (name.as_str(), EntryType::Fifo),
        (name.as_str(), EntryType::Directory),
        ("././@LongLink", EntryType::GNULongName),
        (name.as_str(), EntryType::XHeader),
        (name.as_str(), EntryType::GNUSparse),
    ] {
        let bytes = archive(|builder| builder.append(&header(path, kind, 0), io::empty()).unwrap());
        let error = read(&bytes, &Wanted::any()).map(|_| ()).unwrap_err();
        assert!(
            matches!(&error, BundleError::NotAnObject { name } if name.contains(path)),
            "{path}: {error:?}"
        );
    }
}

#[test]
fn a_decompression_bomb_stops_at_the_limits() {
    let limits = Wanted::Any { max_objects: 2, max_object_bytes: 1000, max_total_bytes: 1500 };
    let error = |contents: &[Vec<u8>]| read(&bundle(contents), &limits).map(|_| ()).unwrap_err().to_string();
    assert!(error(&[vec![0; 1001]]).contains("1000 bytes for one object"));
    assert!(error(&[vec![0; 900], vec![1; 900]]).contains("1500 bytes together"));
    assert!(error(&[vec![0], vec![1], vec![2]]).contains("2 objects"));

    // A member that claims 8 GiB is refused by its header, whatever is behind it.
    let huge = archive(|builder| {
        builder
            .append(&header(&digest_of(b"x").to_string(), EntryType::Regular, 8 << 30), io::empty())
            .unwrap();
    });
    assert!(matches!(read(&huge, &Wanted::any()).map(|_| ()), Err(BundleError::TooLarge { .. })));

    // Endless padding after the archive.
    let mut tail = vec![0_u8; 1024];
    tail.resize(10_000_000, 0);
    let bytes = zstd::encode_all(tail.as_slice(), 3).unwrap();
    assert!(matches!(read(&bytes, &Wanted::any()).map(|_| ()), Err(BundleError::Damaged { .. })));

    // A window that would need more memory than we allow.
    let mut encoder = Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&vec![0; 2 << 20]).unwrap();
    let bytes = encoder.finish().unwrap();
    assert!(matches!(read(&bytes, &Wanted::any()).map(|_| ()), Err(BundleError::Damaged { .. })));
}

#[test]
fn noise_is_refused() {
    for noise in
        [&b""[..], b"\0", b"not a bundle", &[0xff; 5000], &zstd::encode_all(&b"no tar"[..], 3).unwrap()]
    {
        assert!(read(noise, &exactly(&contents())).is_err());
    }
}

#[test]
fn objects_that_change_while_they_are_sent_are_refused() {
    for content in [&b"shorter"[..], b"same length, altered", b"much, much longer than what was announced"] {
        let digest = digest_of(b"same length, content");
        let object = BundleObject { digest, size_bytes: 20, reader: content };
        let error = write_bundle(Vec::new(), 3, [Ok(object)]).map(|_| ()).unwrap_err();
        assert!(matches!(error, BundleError::Changed { digest: found } if found == digest), "{error:?}");
    }
}

#[test]
fn a_full_disk_is_told_apart() {
    let mut sink = Memory { full: true, ..Memory::default() };
    let error = read_bundle(bundle(&contents()).as_slice(), &Wanted::any(), &mut sink).unwrap_err();
    assert!(error.out_of_space());
    assert!(error.to_string().contains("the disk is full"), "{error}");
}

#[test]
fn batches_hold_about_the_target() {
    let sizes = [60_u64, 3, 2, 200, 1].map(|mebibytes| mebibytes << 20);
    let objects: BTreeMap<Digest, u64> = sizes
        .iter()
        .enumerate()
        .map(|(n, &size)| (Digest::from_bytes([u8::try_from(n).unwrap(); 32]), size))
        .collect();
    let batches = batch_objects(&objects);
    let counts: Vec<usize> = batches.iter().map(BTreeSet::len).collect();
    assert_eq!(counts, [2, 1, 1, 1], "a file above the target travels alone");
    assert!(batch_objects(&BTreeMap::new()).is_empty());
}

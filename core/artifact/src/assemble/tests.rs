use std::process::Command;

use super::*;
use crate::pack::{PackOptions, pack};
use crate::releases::{release_list, release_open, release_remove};

struct Lab {
    directory: tempfile::TempDir,
    store: ObjectStore,
    manifest: Manifest,
}

impl Lab {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree");
        fs::create_dir_all(tree.join("node_modules/.bin")).unwrap();
        fs::create_dir_all(tree.join("empty")).unwrap();
        fs::write(tree.join("server.js"), "serve()").unwrap();
        fs::write(tree.join("big.bin"), vec![3; 300_000]).unwrap();
        fs::write(tree.join("node_modules/tool.js"), "#!/usr/bin/env node").unwrap();
        set_mode(&tree.join("node_modules/tool.js"), 0o777).unwrap();
        symlink("../tool.js", tree.join("node_modules/.bin/tool")).unwrap();
        let packed = pack(&tree, &PackOptions::default()).unwrap();
        let store = ObjectStore::open(directory.path().join("objects")).unwrap();
        for (digest, source) in &packed.sources {
            store.put(*digest, open_regular(&source.path).unwrap()).unwrap();
        }
        Self { directory, store, manifest: packed.manifest }
    }

    fn parent(&self) -> PathBuf {
        self.directory.path().join("releases")
    }

    fn assemble(&self, name: &str, sources: &Sources<'_>) -> Result<Assembled, AssembleError> {
        assemble(&self.manifest, &self.parent(), name, sources, &NO_FLOOR)
    }

    fn assemble_stored(&self, name: &str) -> Result<Assembled, AssembleError> {
        self.assemble(name, &Sources::new().with_objects(&self.store))
    }

    fn digest(&self, path: &str) -> Digest {
        self.manifest.files().find(|file| file.0 == path).unwrap().1
    }

    /// Everything in the folder of releases but the lock.
    fn names(&self) -> Vec<String> {
        names(&self.parent())
    }
}

const NO_FLOOR: AssembleOptions = AssembleOptions { free_space_floor_bytes: 0 };

fn names(parent: &Path) -> Vec<String> {
    let children = fs::read_dir(parent).unwrap();
    let mut names: Vec<String> = children
        .map(|child| child.unwrap().file_name().into_string().unwrap())
        .filter(|n| n != ".assemble.lock")
        .collect();
    names.sort();
    names
}

#[test]
fn a_release_is_assembled_as_it_was_packed() {
    let lab = Lab::new();
    let done = lab.assemble_stored("r1").unwrap();
    assert_eq!(done.path, lab.parent().join("r1"));
    assert_eq!(done.cloned_files + done.copied_files, 3);
    assert!(!done.already_there);
    let again = pack(&done.path, &PackOptions::default()).unwrap();
    assert_eq!(again.manifest.digest(), lab.manifest.digest());
    let mode = |path: &str| fs::symlink_metadata(done.path.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(
        [mode("server.js"), mode("node_modules/tool.js"), mode("empty"), mode("")],
        [0o644, 0o755, 0o755, 0o755]
    );
    assert_eq!(fs::read_link(done.path.join("node_modules/.bin/tool")).unwrap(), Path::new("../tool.js"));
    assert_eq!(lab.names(), ["r1", "r1.manifest.json"]);
    assert_eq!(release_open(&lab.parent(), "r1").unwrap().unwrap().manifest, lab.manifest);

    assert!(lab.assemble_stored("r1").unwrap().already_there);
}

#[test]
fn files_of_a_release_on_the_node_are_used_again() {
    let lab = Lab::new();
    let first = lab.assemble_stored("r1").unwrap();
    let sources = Sources::new().with_release(&first.path, &lab.manifest);
    assert!(sources.missing(&lab.manifest).is_empty());
    let second = lab.assemble("r2", &sources).unwrap();
    // A copy, not a hard link: what is done to one release must not reach another.
    fs::write(first.path.join("server.js"), "altered").unwrap();
    assert_eq!(fs::read_to_string(second.path.join("server.js")).unwrap(), "serve()");
    let listed: Vec<String> =
        release_list(&lab.parent()).unwrap().into_iter().map(|release| release.name).collect();
    assert_eq!(listed, ["r1", "r2"]);
}

#[test]
fn damaged_sources_are_named_together_and_other_sources_are_tried() {
    let lab = Lab::new();
    let first = lab.assemble_stored("r1").unwrap();
    // Same length, so that only the digest can tell.
    fs::write(lab.store.object_path(lab.digest("server.js")), "SERVE()").unwrap();
    lab.store.remove(lab.digest("big.bin")).unwrap();
    let store_only = Sources::new().with_objects(&lab.store);
    assert_eq!(store_only.missing(&lab.manifest).into_keys().collect::<Vec<_>>(), [lab.digest("big.bin")]);
    let error = lab.assemble("r2", &store_only).unwrap_err();
    let expected = BTreeSet::from([lab.digest("server.js"), lab.digest("big.bin")]);
    assert!(matches!(&error, AssembleError::Missing { digests } if *digests == expected), "{error}");
    assert_eq!(lab.names(), ["r1", "r1.manifest.json"], "nothing is left behind");

    let both = store_only.with_release(&first.path, &lab.manifest);
    assert!(lab.assemble("r2", &both).is_ok());
}

#[test]
fn a_source_that_is_a_link_or_a_pipe_is_not_opened() {
    let lab = Lab::new();
    let secret = lab.directory.path().join("secret");
    fs::write(&secret, "serve()").unwrap();
    let object = lab.store.object_path(lab.digest("server.js"));
    fs::remove_file(&object).unwrap();
    symlink(&secret, &object).unwrap();
    let big = lab.store.object_path(lab.digest("big.bin"));
    fs::remove_file(&big).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(CWD, &big, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let error = lab.assemble_stored("r1").unwrap_err();
    assert!(matches!(&error, AssembleError::Missing { digests } if digests.len() == 2), "{error}");
}

#[test]
fn leftovers_of_a_crash_are_removed_at_the_next_run() {
    let lab = Lab::new();
    let leftover = lab.parent().join("r0.partial-abc123");
    fs::create_dir_all(leftover.join("deep")).unwrap();
    let outside = lab.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "").unwrap();
    symlink(&outside, leftover.join("link")).unwrap();
    fs::write(lab.parent().join("r0.partial-manifest"), "").unwrap();
    lab.assemble_stored("r1").unwrap();
    assert_eq!(lab.names(), ["r1", "r1.manifest.json"]);
    assert!(outside.join("precious").exists(), "links are removed, not followed");
}

#[test]
fn a_damaged_release_is_reported_and_what_the_application_wrote_is_tolerated() {
    let lab = Lab::new();
    let done = lab.assemble_stored("r1").unwrap();
    fs::write(done.path.join("empty/cache.db"), "written by the application").unwrap();
    assert!(lab.assemble_stored("r1").unwrap().already_there);
    assert_eq!(
        verify_tree(&done.path, &lab.manifest).unwrap(),
        [Difference::Unexpected("empty/cache.db".to_owned())]
    );

    fs::write(done.path.join("server.js"), "SERVE()").unwrap();
    fs::remove_dir_all(done.path.join("node_modules")).unwrap();
    symlink("/etc", done.path.join("node_modules")).unwrap();
    let error = lab.assemble_stored("r1").unwrap_err();
    let AssembleError::Damaged { differences, .. } = &error else { panic!("{error}") };
    assert!(differences.contains(&Difference::Changed("server.js".to_owned())));
    assert!(differences.contains(&Difference::Changed("node_modules".to_owned())));
    assert!(differences.contains(&Difference::Missing("node_modules/.bin/tool".to_owned())));

    assert!(release_remove(&lab.parent(), "r1").unwrap());
    assert!(!release_remove(&lab.parent(), "r1").unwrap());
    assert_eq!(lab.names(), Vec::<String>::new());
    assert!(!lab.assemble_stored("r1").unwrap().already_there);
}

#[test]
fn names_that_are_no_file_names_are_refused() {
    let lab = Lab::new();
    for name in
        ["", ".", "..", "../x", "a/b", "a\0", ".hidden", "r.partial-1", "r.manifest.json", &"x".repeat(200)]
    {
        assert!(matches!(lab.assemble_stored(name), Err(AssembleError::Name { .. })), "{name}");
        assert!(release_open(&lab.parent(), name).unwrap().is_none());
    }
}

#[test]
fn too_little_space_is_noticed_before_anything_is_written() {
    let lab = Lab::new();
    let options = AssembleOptions { free_space_floor_bytes: u64::MAX / 2 };
    let sources = Sources::new().with_objects(&lab.store);
    let error = assemble(&lab.manifest, &lab.parent(), "r1", &sources, &options).unwrap_err();
    let AssembleError::NotEnoughSpace { needed_bytes, available_bytes, .. } = error else {
        panic!("{error}")
    };
    assert!(needed_bytes >= 300_000 && available_bytes > 0);
    let text = error.to_string();
    assert!(
        text.contains(&needed_bytes.to_string()) && text.contains(&available_bytes.to_string()),
        "{text}"
    );

    let few = |_: &Path| Ok(FreeSpace { bytes: u64::MAX, inodes: Some(3) });
    let error = assemble_with(&lab.manifest, &lab.parent(), "r1", &sources, &NO_FLOOR, &few).unwrap_err();
    assert!(matches!(error, AssembleError::NotEnoughInodes { available: 3, .. }), "{error}");
    assert_eq!(lab.names(), Vec::<String>::new());
}

/// A file system of 200 KiB, unmounted at the end. `None` where mounting is not allowed.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: PathBuf) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=200k", "tmpfs"]).arg(&path);
        command.output().is_ok_and(|output| output.status.success()).then_some(Self(path))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        assert!(Command::new("umount").arg(&self.0).status().unwrap().success());
    }
}

/// The disk fills up although there was room when the assembly began. Mounting the small disk needs root; without it,
/// the same error is made by hand and only its translation is proven.
#[test]
fn a_disk_that_becomes_full_leaves_nothing_behind() {
    let lab = Lab::new();
    let Some(disk) = SmallDisk::mount(lab.parent()) else {
        let assembly = Assembly { manifest: &lab.manifest, parent: &lab.parent(), needed_bytes: 42 };
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            let error = assembly.failed("write", Path::new("/x"))(kind.into());
            assert!(matches!(error, AssembleError::DiskFull { needed_bytes: 42, .. }), "{error}");
        }
        return;
    };
    let sources = Sources::new().with_objects(&lab.store);
    let optimistic = |_: &Path| Ok(FreeSpace { bytes: u64::MAX, inodes: None });
    let error = assemble_with(&lab.manifest, &disk.0, "r1", &sources, &NO_FLOOR, &optimistic).unwrap_err();
    assert!(matches!(&error, AssembleError::DiskFull { path, .. } if path.ends_with("big.bin")), "{error}");
    assert_eq!(names(&disk.0), Vec::<String>::new());

    let error = assemble(&lab.manifest, &disk.0, "r1", &sources, &NO_FLOOR).unwrap_err();
    assert!(matches!(error, AssembleError::NotEnoughSpace { .. }), "{error}");
}

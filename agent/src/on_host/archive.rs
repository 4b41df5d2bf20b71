//! A repository of packages that were made for it, on this machine.

use super::{Throwaway, present, sh};
use crate::test_site::Site;
use muster_domain::resource::AptRepository;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// One version of a package, as its control file says.
pub(super) struct Deb<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    /// Further fields of its control file, each with a line feed behind.
    pub(super) fields: &'a str,
    /// Lines of its script after installation.
    pub(super) postinst: &'a str,
    /// Files, with their sizes.
    pub(super) files: &'a [(&'a str, usize)],
}

impl Default for Deb<'_> {
    fn default() -> Self {
        Self { name: "", version: "1.0", fields: "", postinst: "", files: &[] }
    }
}

/// A repository that answers as long as the test runs.
pub(super) struct Archive {
    /// As it is to be declared.
    pub(super) declared: AptRepository,
    dir: tempfile::TempDir,
}

impl Archive {
    /// Makes a repository that is signed with a key of its own, and has it declared.
    pub(super) fn declared(on: &Throwaway, name: &str, debs: &[Deb<'_>]) -> Self {
        let archive = Self::new(on, name, debs);
        on.apply(&super::repository(&archive.declared)).unwrap();
        archive
    }

    /// The same, not declared yet.
    pub(super) fn new(on: &Throwaway, name: &str, debs: &[Deb<'_>]) -> Self {
        on.bring(&[present("gnupg")]);
        let dir = tempfile::tempdir().unwrap();
        let mut packages = String::new();
        for deb in debs {
            build(dir.path(), deb, &mut packages);
        }
        fs::write(dir.path().join("Packages"), &packages).unwrap();
        let digest = hex::encode(Sha256::digest(&packages));
        let release = format!(
            "Origin: Test\nLabel: Test\nSuite: ./\nCodename: ./\nDate: {}\nSHA256:\n {digest} {} Packages\n",
            sh("LC_ALL=C date -Ru"),
            packages.len()
        );
        fs::write(dir.path().join("Release"), release).unwrap();
        let at = dir.path().display();
        let gpg = format!("gpg --homedir {at}/gpg --batch --quiet --yes");
        sh(&format!(
            "mkdir -m 700 {at}/gpg; {gpg} --passphrase '' --quick-gen-key {name}@example.test ed25519 sign never 2>/dev/null"
        ));
        sh(&format!("{gpg} --clearsign --output {at}/InRelease {at}/Release"));
        sh(&format!("{gpg} --armor --export --output {at}/key.asc"));
        sh(&format!("gpgconf --homedir {at}/gpg --kill all; rm -rf {at}/gpg"));
        let root = dir.path().to_owned();
        let base = Site::bind().serve(move |path| {
            let name = path.trim_start_matches("/./").trim_start_matches('/');
            let plain = !name.is_empty() && !name.contains('/');
            plain.then(|| fs::read(root.join(name)).ok()).flatten()
        });
        let declared = AptRepository {
            name: name.into(),
            uris: vec![base],
            suites: vec!["./".into()],
            components: vec![],
            architectures: vec![],
            key: fs::read(dir.path().join("key.asc")).unwrap(),
        };
        Self { declared, dir }
    }

    /// Takes the file of a package away, as a repository does that has moved on.
    pub(super) fn lose(&self, file: &str) {
        fs::remove_file(self.dir.path().join(file)).unwrap();
    }
}

fn build(dir: &Path, deb: &Deb<'_>, packages: &mut String) {
    let Deb { name, version, fields, postinst, files } = deb;
    let tree = dir.join("tree");
    fs::create_dir_all(tree.join("DEBIAN")).unwrap();
    let control = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Test <test@example.test>\n{fields}Description: test\n"
    );
    fs::write(tree.join("DEBIAN/control"), &control).unwrap();
    if !postinst.is_empty() {
        fs::write(tree.join("DEBIAN/postinst"), format!("#!/bin/sh\nset -e\n{postinst}\n")).unwrap();
        sh(&format!("chmod 755 {}/DEBIAN/postinst", tree.display()));
    }
    for (path, size) in *files {
        let file = tree.join(path.trim_start_matches('/'));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        // Not compressible, so that it takes space wherever it is. A short one tells the version.
        let mut content: Vec<u8> = format!("{name} {version}\n").into_bytes();
        let mut seed = Sha256::digest(path.as_bytes());
        while content.len() < *size {
            content.extend_from_slice(&seed);
            seed = Sha256::digest(seed);
        }
        fs::write(file, content).unwrap();
        if path.starts_with("/etc/") {
            let conffiles = tree.join("DEBIAN/conffiles");
            let known = fs::read_to_string(&conffiles).unwrap_or_default();
            fs::write(conffiles, format!("{known}{path}\n")).unwrap();
        }
    }
    let file = format!("{name}_{version}_all.deb");
    sh(&format!("dpkg-deb --root-owner-group --build {} {}/{file}", tree.display(), dir.display()));
    fs::remove_dir_all(tree).unwrap();
    let content = fs::read(dir.join(&file)).unwrap();
    let digest = hex::encode(Sha256::digest(&content));
    writeln!(packages, "{control}Filename: ./{file}\nSize: {}\nSHA256: {digest}\n", content.len()).unwrap();
}

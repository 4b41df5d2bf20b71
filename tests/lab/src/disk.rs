//! The root of a host: an overlay of the shared base below and a folder, or a small file system, of its own above.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::command::{attempt, run};
use crate::machine;
use crate::wait::wait_for;

/// How long somebody may still sit in a tree that is to be unmounted.
const UNMOUNT_BOUND: Duration = Duration::from_secs(3);

/// Where the parts of a host's root are.
pub(crate) struct Disk {
    /// The folder of the host.
    pub(crate) dir: PathBuf,
    /// Read-only layers, the uppermost first.
    pub(crate) layers: Vec<PathBuf>,
    /// Its size, when it has one.
    pub(crate) size: Option<String>,
}

impl Disk {
    /// Where the root is seen while it is mounted.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// What the host has written.
    pub(crate) fn upper(&self) -> PathBuf {
        self.own().join("upper")
    }

    fn own(&self) -> PathBuf {
        if self.size.is_some() { self.dir.join("disk") } else { self.dir.clone() }
    }

    /// Mounts the root, with what was written before.
    pub(crate) fn mount(&self) -> Result<()> {
        if mounted(&self.root())? {
            return Ok(());
        }
        if let Some(size) = &self.size {
            self.mount_own(size)?;
        }
        let (upper, work) = (self.upper(), self.own().join("work"));
        // What an overlay left there belongs to the former mount; `volatile` even refuses to mount over it.
        if work.exists() {
            std::fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()))?;
        }
        for dir in [&self.root(), &upper, &work] {
            std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        let layers: Vec<_> = self.layers.iter().map(|layer| layer.to_string_lossy()).collect();
        // Volatile: no fsync of the host reaches the disk. A host that loses its power loses nothing, as the machine
        // still has the pages, and installing packages takes half the time.
        let options = format!(
            "lowerdir={},upperdir={},workdir={},volatile",
            layers.join(":"),
            upper.display(),
            work.display()
        );
        run("mount", ["-t", "overlay", "muster-lab", "-o", &options, &self.root().to_string_lossy()])
            .map(drop)
    }

    fn mount_own(&self, size: &str) -> Result<()> {
        let (image, dir) = (self.dir.join("disk.img"), self.dir.join("disk"));
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let image_text = image.to_string_lossy();
        if !image.exists() {
            run("truncate", ["--size", size, &image_text])?;
            run("mkfs.ext4", ["-q", "-m", "0", "-O", "^has_journal", &image_text])?;
        }
        if mounted(&dir)? {
            return Ok(());
        }
        run("mount", ["-o", "loop", &image_text, &dir.to_string_lossy()]).map(drop)
    }

    /// Keeps what the host has written as a layer for other hosts.
    pub(crate) fn save(&self, layer: &Path) -> Result<()> {
        if let Some(parent) = layer.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        }
        let beside = layer.with_extension(format!("new-{}", std::process::id()));
        run("cp", ["--archive".as_ref(), self.upper().as_os_str(), beside.as_os_str()])?;
        for own in ["etc/machine-id", "etc/hostname", "etc/hosts", "etc/resolv.conf"] {
            crate::place::remove(&beside.join(own))?;
        }
        for name in crate::place::names(&beside.join("etc/ssh")) {
            if name.starts_with("ssh_host_") {
                crate::place::remove(&beside.join("etc/ssh").join(name))?;
            }
        }
        std::fs::rename(&beside, layer).with_context(|| format!("cannot rename to {}", layer.display()))
    }
}

fn mounted(point: &Path) -> Result<bool> {
    Ok(machine::mounts()?.iter().any(|mount| mount.point == point))
}

/// Unmounts everything below a folder, the last first.
pub(crate) fn unmount_below(dir: &Path) -> Result<()> {
    let below = || -> Result<Vec<PathBuf>> {
        let mounts = machine::mounts()?.into_iter().rev();
        Ok(mounts.map(|mount| mount.point).filter(|point| point.starts_with(dir)).collect())
    };
    for point in below()? {
        let gone = wait_for(&format!("{} to be unmounted", point.display()), UNMOUNT_BOUND, || {
            Ok((attempt("umount", [&point]) || !mounted(&point)?).then_some(()))
        });
        if gone.is_err() {
            run("umount", ["--lazy".as_ref(), point.as_os_str()])?;
        }
    }
    Ok(())
}

/// Removes a tree, also one with files that were made immutable.
pub(crate) fn remove_tree(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Ok(()) => return Ok(()),
        Err(_) => {}
    }
    attempt("chattr", ["-R", "-f", "-ia", &dir.to_string_lossy()]);
    std::fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))
}

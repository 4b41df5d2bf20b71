//! The files of a site: which path means which file, and never one outside.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// A folder whose files may be seen.
#[derive(Debug)]
pub(crate) struct Root {
    dir: OwnedFd,
    /// Without links, for kernels that cannot look up beneath a folder themselves.
    canonical: PathBuf,
}

/// What a path leads to.
#[derive(Debug)]
pub(crate) enum Found {
    /// An open regular file.
    File(OwnedFd),
    /// A folder.
    Folder(OwnedFd),
}

/// Why a path leads to nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is nothing, or nothing that is shown.
    Missing,
    /// It leads out of the site, or the system forbids it.
    Forbidden,
    /// The system failed.
    Failed(Errno),
}

impl Root {
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        let canonical = path.canonicalize()?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(&canonical, flags, Mode::empty())?;
        Ok(Self { dir, canonical })
    }

    /// What lies at a path relative to the site. Links are followed as long as they stay inside.
    pub(crate) fn find(&self, path: &Path) -> Result<Found, Refused> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        // A pipe in the site shall not hold a thread for ever.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let opened = match rustix::fs::openat2(&self.dir, path, flags, Mode::empty(), beneath) {
            Err(Errno::NOSYS) => self.open_checked(path, flags),
            other => other,
        };
        let file = opened.map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::NXIO | Errno::INVAL => {
                Refused::Missing
            }
            Errno::XDEV | Errno::LOOP | Errno::ACCESS | Errno::PERM => Refused::Forbidden,
            other => Refused::Failed(other),
        })?;
        let stat = rustix::fs::fstat(&file).map_err(Refused::Failed)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(Found::File(file)),
            FileType::Directory => Ok(Found::Folder(file)),
            _ => Err(Refused::Forbidden),
        }
    }

    /// Before Linux 5.6: look where the path ends, then open that without following anything.
    fn open_checked(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let real = self
            .canonical
            .join(path)
            .canonicalize()
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::NOENT))?;
        if !real.starts_with(&self.canonical) {
            return Err(Errno::XDEV);
        }
        rustix::fs::open(real, flags | OFlags::NOFOLLOW, Mode::empty())
    }
}

/// The path by which this process reaches an open file once more.
pub(crate) fn path_of(file: &OwnedFd) -> PathBuf {
    Path::new("/proc/self/fd").join(file.as_raw_fd().to_string())
}

/// The path of a request, relative to the site. Hidden files are not shown (`/.well-known/` is).
pub(crate) fn relative(decoded: &str) -> Result<PathBuf, Refused> {
    let mut path = PathBuf::new();
    for segment in decoded.split('/').filter(|segment| !segment.is_empty() && *segment != ".") {
        if segment == ".." {
            return Err(Refused::Forbidden);
        }
        if segment.contains('\0') || (segment.starts_with('.') && segment != ".well-known") {
            return Err(Refused::Missing);
        }
        path.push(segment);
    }
    Ok(path)
}

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) folder: bool,
    pub(crate) bytes: u64,
    /// Seconds since 1970.
    pub(crate) modified: i64,
}

/// What a folder shows: folders first, each by name, nothing hidden.
pub(crate) fn entries(folder: &OwnedFd) -> Result<Vec<Entry>, Errno> {
    let mut entries = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name.starts_with('.') {
            continue;
        }
        let Ok(stat) = rustix::fs::statat(folder, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        // A link is shown as a file; whether it may be followed is found out when somebody does.
        if matches!(kind, FileType::RegularFile | FileType::Directory | FileType::Symlink) {
            entries.push(Entry {
                name: name.to_owned(),
                folder: kind == FileType::Directory,
                bytes: u64::try_from(stat.st_size).unwrap_or(0),
                modified: stat.st_mtime,
            });
        }
    }
    entries.sort_by(|a, b| b.folder.cmp(&a.folder).then_with(|| a.name.cmp(&b.name)));
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_requests_stay_inside() {
        assert_eq!(relative("/a//b/./c.html").unwrap(), PathBuf::from("a/b/c.html"));
        assert_eq!(relative("/.well-known/acme").unwrap(), PathBuf::from(".well-known/acme"));
        for forbidden in ["/../etc/passwd", "/a/../../etc", ".."] {
            assert_eq!(relative(forbidden), Err(Refused::Forbidden), "{forbidden}");
        }
        for hidden in ["/.env", "/.git/config", "/a/.htpasswd", "/a\0b"] {
            assert_eq!(relative(hidden), Err(Refused::Missing), "{hidden:?}");
        }
    }

    #[test]
    fn links_out_of_the_site_are_refused_also_on_old_kernels() {
        let dir = tempfile::tempdir().unwrap();
        let site = dir.path().join("site");
        std::fs::create_dir_all(site.join("sub")).unwrap();
        std::fs::write(dir.path().join("secret"), "s").unwrap();
        std::fs::write(site.join("sub/page.html"), "p").unwrap();
        std::os::unix::fs::symlink("../secret", site.join("out")).unwrap();
        std::os::unix::fs::symlink("sub/page.html", site.join("in")).unwrap();
        std::os::unix::fs::symlink(dir.path(), site.join("up")).unwrap();
        let root = Root::open(&site).unwrap();
        assert!(matches!(root.find(Path::new("in")), Ok(Found::File(_))));
        assert!(matches!(root.find(Path::new("sub")), Ok(Found::Folder(_))));
        assert!(matches!(root.find(Path::new("")), Ok(Found::Folder(_))));
        for path in ["out", "up/secret", "up"] {
            assert!(matches!(root.find(Path::new(path)), Err(Refused::Forbidden)), "{path}");
            assert_eq!(
                root.open_checked(Path::new(path), OFlags::RDONLY).unwrap_err(),
                Errno::XDEV,
                "{path}"
            );
        }
        assert!(root.open_checked(Path::new("in"), OFlags::RDONLY).is_ok());
        assert!(matches!(root.find(Path::new("none")), Err(Refused::Missing)));
        assert!(matches!(root.find(Path::new("sub/page.html/x")), Err(Refused::Missing)));
    }
}

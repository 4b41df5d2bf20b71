//! The file that tells the process id of an instance.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use muster_supervisor_protocol::AppSpec;

use crate::trusted_path::{self, How};

/// Longer than any process id.
const MAX_BYTES: u64 = 32;

/// Where the process id of an instance is written, if anywhere. The numbers of several instances keep them apart.
pub(super) fn path(spec: &AppSpec, index: u32, id: u32) -> Option<PathBuf> {
    let path = Path::new(spec.pid_file.as_deref()?);
    let number = match (&spec.pm2, spec.instances) {
        (Some(_), _) => id,
        (None, 2..) => index,
        (None, _) => return Some(path.to_owned()),
    };
    let stem = path.file_stem()?.to_string_lossy();
    let name = match path.extension() {
        Some(extension) => format!("{stem}-{number}.{}", extension.to_string_lossy()),
        None => format!("{stem}-{number}"),
    };
    Some(path.with_file_name(name))
}

/// Writes it; without it an application runs as well.
pub(super) fn write(path: &Path, pid: u32) {
    let file = trusted_path::open(path, How::overwrite(0o644, 0o755));
    if let Err(error) = file.and_then(|mut file| file.write_all(pid.to_string().as_bytes())) {
        tracing::warn!(path = %path.display(), %error, "a process id cannot be written");
    }
}

/// Removes it, unless it tells of another process by now.
pub(super) fn remove(path: &Path, pid: u32) {
    if told(path).is_ok_and(|text| text.trim() == pid.to_string())
        && let Err(error) = fs::remove_file(path)
    {
        tracing::warn!(path = %path.display(), %error, "a file with a process id cannot be removed");
    }
}

/// What the file says. By now it may be something else, of any length.
fn told(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    trusted_path::open(path, How::read())?.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_instances_have_a_file_each() {
        let mut spec = AppSpec::new("a", "/", "a.js");
        assert_eq!(path(&spec, 0, 5), None);
        spec.pid_file = Some("/run/a.pid".into());
        assert_eq!(path(&spec, 0, 5), Some("/run/a.pid".into()));
        spec.instances = 2;
        assert_eq!(path(&spec, 1, 5), Some("/run/a-1.pid".into()));
        spec.pm2 = Some(muster_supervisor_protocol::Pm2Origin {
            home: "/home/ada/.pm2".into(),
            record: serde_json::Value::Null,
        });
        spec.pid_file = Some("/run/a".into());
        assert_eq!(path(&spec, 1, 5), Some("/run/a-5".into()));
    }

    #[test]
    fn only_the_own_file_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pids/a.pid");
        write(&file, 7);
        remove(&file, 8);
        assert_eq!(fs::read_to_string(&file).unwrap(), "7");
        remove(&file, 7);
        assert!(!file.exists());
    }

    #[test]
    fn whatever_was_put_in_its_place_stops_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600));
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
        let endless = dir.path().join("endless");
        std::os::unix::fs::symlink("/dev/zero", &endless).unwrap();
        for path in [pipe, endless] {
            write(&path, 7);
            remove(&path, 7);
            assert!(fs::symlink_metadata(&path).is_ok(), "it is not ours to remove");
        }
    }
}

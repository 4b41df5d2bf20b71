//! Unix sockets only their owner may open.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Listens at a path. A socket that is there already belongs to nobody any more (the caller knows that). The new one
/// is opened under another name and moved in place once nobody else may open it.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    let hidden = path.with_extension("new");
    match std::fs::remove_file(&hidden) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(&hidden);
    rustix::process::umask(before);
    let listener = bound?;
    std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&hidden, path)?;
    Ok(listener)
}

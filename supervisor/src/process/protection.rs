//! Protection from the kernel when memory runs out: a systemd unit may give it to the supervisor (`OOMScoreAdjust=`), and
//! every process inherits it. Applications must not: an application that leaks would be the last to be ended.

use std::path::Path;

const OWN: &str = "/proc/self/oom_score_adj";

/// Until this is dropped, what is started is as likely to be ended as any other process.
pub(super) fn suspend() -> Option<Suspended<'static>> {
    Suspended::begin(Path::new(OWN))
}

/// We are unprotected as well meanwhile; that lasts as long as starting a process does.
#[derive(Debug)]
pub(super) struct Suspended<'a> {
    file: &'a Path,
    before: i32,
}

impl<'a> Suspended<'a> {
    fn begin(file: &'a Path) -> Option<Self> {
        let before: i32 = std::fs::read_to_string(file).ok()?.trim().parse().ok()?;
        if before >= 0 {
            return None;
        }
        match std::fs::write(file, "0") {
            Ok(()) => Some(Self { file, before }),
            Err(error) => {
                tracing::warn!(%error, "an application is started with the supervisor's protection when memory runs out");
                None
            }
        }
    }
}

impl Drop for Suspended<'_> {
    fn drop(&mut self) {
        if let Err(error) = std::fs::write(self.file, self.before.to_string()) {
            tracing::warn!(%error, "the supervisor is no longer protected when memory runs out");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protection_is_given_up_for_a_moment_and_only_where_there_is_some() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("oom_score_adj");
        let read = || std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, "-900\n").unwrap();
        let suspended = Suspended::begin(&file);
        assert_eq!(read(), "0");
        drop(suspended);
        assert_eq!(read(), "-900");
        std::fs::write(&file, "300\n").unwrap();
        assert!(Suspended::begin(&file).is_none());
        assert_eq!(read(), "300\n");
        assert!(Suspended::begin(&dir.path().join("missing")).is_none());
    }
}

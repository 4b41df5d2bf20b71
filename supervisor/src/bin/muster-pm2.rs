//! `muster-pm2`: pm2's commands. A program of its own, so that the supervisor, which runs for months with the rights of
//! root, holds neither a terminal interface nor a file server. Found beside `muster-supervisor`, which calls it for
//! `muster-supervisor pm2` and under the names `pm2` and `pm2-runtime`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let called = words.next().map(PathBuf::from);
    match called.as_deref().and_then(Path::file_name).and_then(OsStr::to_str) {
        Some("pm2-runtime" | "pm2-docker") => muster_pm2_command::run_in_foreground(words).into(),
        _ => muster_pm2_command::run(words).into(),
    }
}

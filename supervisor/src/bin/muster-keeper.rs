//! `muster-keeper`: keeps what must outlive the supervisor, which starts it. A program of its own only to be small: it
//! needs none of what the supervisor is made of, and it is there as long as any application is.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let [verb, flag, state_dir] = words.as_slice() else { return unasked() };
    if verb != "keep" || flag != "--state-dir" {
        return unasked();
    }
    match muster_supervisor::keep(&PathBuf::from(state_dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause =
                std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
            eprintln!("the keeper ends: {error}{cause}");
            ExitCode::FAILURE
        }
    }
}

fn unasked() -> ExitCode {
    eprintln!("this is a part of muster-supervisor and not for people");
    ExitCode::from(2)
}

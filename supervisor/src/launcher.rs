//! The last step of a start that needs the process id of the program itself: `muster-supervisor launch`.
//!
//! Runs in the new process, does what can only be done there, and becomes the program.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Our own program, whatever lies at its path by now.
const OWN_IMAGE: &str = "/proc/self/exe";

/// The same command by way of the launcher: descriptors 3 and on are sockets handed over as systemd does it.
pub(crate) fn wrap(command: &Command, listen_fds: usize) -> Command {
    let mut wrapped = Command::new(OWN_IMAGE);
    wrapped
        .args(["launch", "--listen-fds", &listen_fds.to_string(), "--"])
        .arg(command.get_program())
        .args(command.get_args());
    wrapped
}

/// Becomes the program; answers only when it cannot.
pub fn launch(listen_fds: u32, program: &[OsString]) -> io::Error {
    let Some((program, arguments)) = program.split_first() else {
        return io::Error::new(io::ErrorKind::InvalidInput, "no program to launch was named");
    };
    let mut command = Command::new(program);
    command.args(arguments);
    if listen_fds > 0 {
        // By this the program knows that the descriptors are meant for it, and not for its parent.
        command.env("LISTEN_PID", std::process::id().to_string());
    }
    let error = command.exec();
    io::Error::new(error.kind(), format!("{} cannot be executed: {error}", program.display()))
}

//! The watch of a lab: a process that removes the lab when its owner dies without having done so.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::lab::Registered;
use crate::owner::{Owner, ProcessId};
use crate::place::{self, Slot};
use crate::removal;

/// Where the kernel cannot tell us: how often to look.
const PAUSE: Duration = Duration::from_millis(500);

/// Waits for the owner of a lab to end and removes the lab. A lab that is destroyed takes its watch along.
pub fn watch(slot: u8) -> Result<()> {
    let slot = Slot(slot);
    let registered = Registered::of(slot)?.context("there is no such lab")?;
    let Owner::Process { process, .. } = registered.owner else { return Ok(()) };
    place::write(&removal::watch_file(&registered.dir), &ProcessId::own()?)?;
    wait_for_end(process)?;
    // The number may be another lab's by now.
    match Registered::of(slot)? {
        Some(now) if now.owner == registered.owner => removal::remove(slot),
        _ => Ok(()),
    }
}

fn wait_for_end(process: ProcessId) -> Result<()> {
    let pid =
        i32::try_from(process.pid).ok().and_then(Pid::from_raw).context("the owner has no process id")?;
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
        while process.alive() {
            std::thread::sleep(PAUSE);
        }
        return Ok(());
    };
    // Looked at after the handle is held: from here on the id cannot become another process's.
    while process.alive() {
        match poll(&mut [PollFd::new(&handle, PollFlags::IN)], None) {
            Ok(_) => {
                // Ended; a zombie until its parent asks, but it does nothing any more.
                return Ok(());
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for the owner"),
        }
    }
    Ok(())
}

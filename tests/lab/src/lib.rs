//! The lab: throw-away VPS hosts on one machine, for tests of what only a real host shows.
//!
//! A host is a container of systemd-nspawn with systemd as PID 1, an own network namespace and address, and a
//! copy-on-write root above one shared Debian base. The machine is the gateway of every lab: what listens on
//! [`Lab::gateway`] is reachable from all its hosts, and hosts reach package archives through NAT.
//!
//! Holds: labs and hosts, the base, faults of the network, and what makes sure that nothing is left behind; and, in
//! [`fleet`] alone, a controller on the machine with nodes in the lab. Must not: depend on a crate of the product; it
//! runs the built programs as people do. Start here: [`Lab::new`], [`Lab::host`].
//!
//! # Nothing is left behind
//!
//! Every lab has an owner: the process that made it, or, for labs made on the command line, a name and the boot of the
//! machine. A lab ends when its value is dropped. When the owner dies before, the *watch* of the lab, a process of its
//! own, removes it; and if that was killed as well, the next lab on the machine does.
//!
//! # What differs from a VPS
//!
//! - Without `v1`, a host on a machine with cgroup v1 controllers sees a cgroup2 tree with no controllers in it.
//! - `/proc/sys` outside `net/` is read-only, there is no swap, no clock to set, no kernel to upgrade; load, memory and
//!   the number of CPUs are those of the machine, and `systemd-detect-virt` says so.
//! - A process started with [`Host::exec`] belongs to no unit: start daemons with `systemctl`.

mod base;
mod cgroups;
mod command;
mod daemon;
mod disk;
pub mod fleet;
mod host;
mod lab;
mod leftovers;
mod machine;
mod network;
mod owner;
mod place;
mod power;
mod removal;
mod wait;
mod watch;

pub use base::Base;
pub use cgroups::v1_unavailable;
pub use daemon::Daemon;
pub use host::{Boot, Host, HostBuilder, Output};
pub use lab::{Image, Lab, LabSummary, program};
pub use leftovers::{Leftover, leftovers};
pub use machine::{Tool, missing_tools, unsuitable};
pub use network::Peer;
pub use power::supply;
pub use removal::remove_abandoned;
pub use wait::wait_for;
pub use watch::watch;

//! The host: the only code of the agent that touches the operating system.
//!
//! Holds: the trait [`Host`] (what observing and applying need), [`LinuxHost`] (the real one, with an optional root
//! folder for the rootless mode) and [`FakeHost`] (in memory, with faults on demand, for the tests of the fleet).
//! Must not: know resources, assignments or the controller; decide anything.
//! Start here: [`host`]. Whatever [`FakeHost`] does is pinned against [`LinuxHost`] by `tests/contract.rs`.

pub mod fake;
pub mod host;
pub mod linux;

pub use fake::{FakeHost, FakeScript, FakeUnit};
pub use host::{
    Account, AccountHost, Accounts, AptOutcome, CommandLine, CommandOutput, DiskSpace, Download,
    DownloadHost, Fault, FileKind, FileStat, GroupEntry, Host, HostError, KeyFile, LocalTime, LockHolder,
    MAX_OUTPUT_BYTES, NewGroup, NewUser, NodeRuntime, Ownership, PackageChange, PackageHost, PackageMark,
    PackageRecord, PackageStates, PackageStatus, RebootHost, ServiceHost, ShellCommand, ShellOutcome,
    SimilarPackages, Simulation, SshdHost, SshdValues, SystemHost, TimerHost, TrialHost, TrialNetwork,
    UnitState, UnitVerb, UserChange, UserEntry, WriteFile,
};
pub use linux::LinuxHost;

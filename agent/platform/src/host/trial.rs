//! Trying something out without anybody noticing.

use super::{CommandLine, CommandOutput, HostError, WriteFile};

/// A host on which a program can be shown a file that is not there yet.
pub trait TrialHost {
    /// Runs a program that finds `file` in its place, with everything else as it is. Nobody but the program and what it
    /// starts ever sees the file, and nothing of it is left when it ends. A folder that is missing is there for the program.
    fn try_with(
        &self,
        file: &WriteFile<'_>,
        network: TrialNetwork,
        command: &CommandLine,
    ) -> Result<CommandOutput, HostError>;
}

/// What a program on trial sees of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialNetwork {
    /// That of the host.
    Shared,
    /// One of its own, empty: it may listen where somebody else does already.
    Own,
}

//! The settings of the SSH server, as it reads them itself.

use super::HostError;

/// Keywords in lower case, each with a value; a keyword with several values is listed several times.
pub type SshdValues = Vec<(String, String)>;

/// A host with an SSH server.
pub trait SshdHost {
    /// The settings that the server would start with now, its own defaults among them. Answered from memory until a file of
    /// its configuration changes.
    fn sshd_values(&self) -> Result<SshdValues, HostError>;
    /// The same if `config` were its whole configuration.
    fn sshd_values_of(&self, config: &str) -> Result<SshdValues, HostError>;
}

/// What `sshd -T` prints.
pub(crate) fn parse(text: &str) -> SshdValues {
    let pair = |line: &str| {
        line.split_once(' ').map(|(keyword, value)| (keyword.to_owned(), value.trim().to_owned()))
    };
    text.lines().filter_map(pair).collect()
}

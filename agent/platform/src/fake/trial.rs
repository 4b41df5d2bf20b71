//! Programs on trial, and programs that judge what they find.

use super::{Entry, FakeHost, World};
use crate::host::{CommandLine, CommandOutput, Host, HostError, TrialHost, TrialNetwork, WriteFile};
use std::path::Path;

/// A program of the tests' own: what it answers depends on the files that it finds.
pub(super) struct Judge(Box<Judging>);

type Judging = dyn Fn(&dyn Fn(&Path) -> Option<Vec<u8>>, &CommandLine) -> CommandOutput + Send;

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Judge")
    }
}

pub(super) fn run(world: &World, name: &str, command: &CommandLine) -> Option<CommandOutput> {
    let judge = world.judges.get(name)?;
    let read = |path: &Path| world.file(path).ok().map(|entry| entry.content.clone());
    Some((judge.0)(&read, command))
}

impl FakeHost {
    /// Installs a program that answers by what it finds in the files of the host.
    pub fn set_judge(
        &self,
        name: &str,
        judge: impl Fn(&dyn Fn(&Path) -> Option<Vec<u8>>, &CommandLine) -> CommandOutput + Send + 'static,
    ) {
        self.world().judges.insert(name.to_owned(), Judge(Box::new(judge)));
    }
}

impl TrialHost for FakeHost {
    fn try_with(
        &self,
        file: &WriteFile<'_>,
        _network: TrialNetwork,
        command: &CommandLine,
    ) -> Result<CommandOutput, HostError> {
        let (tree, writes) = {
            let mut world = self.world();
            let before = (world.tree.clone(), world.writes);
            for folder in file.path.ancestors().skip(1) {
                world.tree.entry(folder.to_owned()).or_insert_with(|| Entry::directory(0o755));
            }
            world.write(file).map_err(|fault| HostError::new("try out", file.path, fault))?;
            before
        };
        let ended = self.run(command);
        let mut world = self.world();
        (world.tree, world.writes) = (tree, writes);
        ended
    }
}

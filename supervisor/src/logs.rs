//! What applications write: per instance to files with rotation, in memory for the last lines, live for followers.
//!
//! [`LogHub`] is shared by all applications; [`Output`] is the part of one instance. Reading a pipe never waits long
//! for the disk: when the disk hangs, lines are dropped from the file (and counted there), not held back.

mod files;
mod hub;
mod lines;
mod output;

pub(crate) use files::FileWriter;
pub(crate) use hub::LogHub;
pub(crate) use output::{Output, OutputRest, OutputTask, Source, Tail};

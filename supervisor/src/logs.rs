//! What applications write: per instance to files with rotation, in memory for the last lines, live for followers.
//!
//! A [`Output`] belongs to one instance; it reads a pipe in large chunks of whole lines ([`lines`]) and gives each chunk
//! to the [`LogHub`], which keeps the last ones in memory, and to the [`FileWriter`], whose one thread formats and stores
//! them. Nobody looks at single lines on the way unless a format or a reader asks for it. Reading a pipe never waits
//! long for the disk: when the disk hangs or is full, lines are dropped from the file (and counted), not held back.
//! [`past`] reads back what memory does not reach.

mod compress;
mod dates;
mod destination;
mod files;
mod floor;
mod format;
mod hub;
mod lines;
mod output;
mod own;
mod past;
mod rotated;
mod writer;

pub(crate) use hub::LogHub;
pub(crate) use output::{Output, OutputRest, OutputTask, Source, Tail};
pub use own::OwnLog;
pub(crate) use past::{Selection, past};
pub(crate) use writer::FileWriter;

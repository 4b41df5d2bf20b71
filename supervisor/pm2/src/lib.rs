//! What pm2's own files say, exactly as pm2 7 reads them, and what becomes of it in a fleet file.
//!
//! Holds: reading (`ecosystem.config.js/.cjs/.mjs`, JSON, YAML, `dump.pm2`), validation and coercion, the typed
//! [`Pm2App`] with pm2's defaults, the semantic differences to Muster, and the fleet-file fragment.
//! Must not: start, stop or even look for processes of pm2; print a value that looks like a secret; speak to anything.
//! Start here: [`load`], then [`Pm2App`]. Facts about pm2 were read from its source and checked against pm2 7.0.3:
//! `tests/golden` holds what its own code answered.

mod app;
mod carry;
mod coerce;
mod differences;
mod document;
mod dump;
mod environment;
mod evaluate;
mod fields;
mod fragment;
mod interpreter;
mod logs;
mod problem;
mod read;
mod resolve;
mod secrets;
mod surroundings;
mod validate;
mod words;

pub use app::{
    ExecMode, FilterEnv, Instances, InstancesGiven, Interpreter, LogFile, LogType, Pm2App, Variables, Watch,
};
pub use differences::{Difference, Severity, differences};
pub use environment::inherited_env;
pub use fragment::{Fragment, fleet_fragment};
pub use interpreter::by_extension;
pub use problem::{ImportError, Problem, Warning};
pub use read::{CANDIDATES, Format, Loaded, document, dump_file, format_of, load, parse, read_json};
pub use resolve::{exec_mode, instance_count, merge_logs_default};
pub use secrets::looks_secret;
pub use surroundings::{Files, LocalFiles, Surroundings};

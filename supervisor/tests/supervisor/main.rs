//! The supervisor with real Node.js processes. Needs `node` in PATH.

mod harness;
mod load;

mod clients;
mod cluster;
mod fork;
mod lifecycle;
mod logs;
mod replacement;

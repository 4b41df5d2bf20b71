//! The supervisor with real Node.js processes. Needs `node` in PATH.

mod harness;
mod load;

mod cluster;
mod clients;
mod fork;
mod lifecycle;
mod logs;
mod replacement;

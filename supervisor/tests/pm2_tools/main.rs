//! The companions of the pm2-compatible command, with the real binary, real Node.js and, for `adopt`, a daemon that
//! speaks as pm2's does.

mod adopt;
mod machine;
mod serve;
mod streams;

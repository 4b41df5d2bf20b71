//! The release format: a tree of files, addressed by content.
//!
//! Holds: packing a directory ([`pack()`]), the list of its files ([`Manifest`]), the parcels in which files travel
//! ([`write_bundle`], [`read_bundle`]), a directory of objects by digest ([`ObjectStore`]) and the assembly of a
//! release on a node ([`assemble()`]). It is the one core crate that touches files.
//!
//! Must not: speak to a network, know about applications, nodes or databases, or use an async runtime. Callers in
//! async code use `spawn_blocking` and `tokio_util::io::SyncIoBridge`.
//!
//! Start here: [`manifest`], whose rules every other module relies on. Whatever comes from outside passes
//! [`Manifest::parse`] or [`read_bundle`] before a path or a byte of it is used.
//!
//! What is packed: every file below the directory, except what the built-in rules ([`pack::DEFAULT_IGNORE_RULES`])
//! and `.musterignore` (gitignore syntax) leave out. `.gitignore` is not honoured, because built output and
//! `node_modules`, which an application needs to run, are usually in it.

pub mod assemble;
pub mod bundle;
pub mod digest;
mod files;
pub mod limits;
pub mod manifest;
pub mod object_store;
pub mod pack;
pub mod path;
pub mod releases;
pub mod verify;

pub use assemble::{AssembleError, AssembleOptions, Assembled, Sources, assemble};
pub use bundle::{
    BundleError, BundleObject, BundleSummary, ObjectSink, Wanted, batch_objects, read_bundle, write_bundle,
};
pub use digest::{Digest, digest_of};
pub use files::out_of_space;
pub use manifest::{Entry, EntryKind, Manifest, ManifestError};
pub use object_store::{ObjectStore, StoreSink, StoredObject};
pub use pack::{PackError, PackOptions, Packed, SourceFile, pack};
pub use releases::{ReleaseTree, release_list, release_open, release_remove};
pub use verify::{Difference, verify_tree};

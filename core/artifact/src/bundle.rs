//! Parcels of objects: a tar archive in a zstd stream, whose members are regular files named by their digests.
//!
//! A bundle is never unpacked by name. [`read_bundle`] accepts nothing but digests that are wanted, in the lengths
//! that are known or allowed, and hands an object on only after its content has been verified.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, Read, Write};

use tar::{Archive, Builder, EntryType, Header};
use zstd::stream::{read::Decoder, write::Encoder};

use crate::digest::{Digest, HashingReader};
use crate::files::out_of_space;
use crate::limits::{
    BUNDLE_TARGET_BYTES, BUNDLE_TARGET_OBJECTS, MAX_FILE_BYTES, MAX_TREE_BYTES, MAX_WINDOW_LOG,
};

/// The compression used for uploads and for agents: close to the best ratio at several hundred MB/s.
pub const COMPRESSION_LEVEL: i32 = 3;

/// One object to be written.
#[derive(Debug)]
pub struct BundleObject<R> {
    /// Its content address.
    pub digest: Digest,
    /// Its length.
    pub size_bytes: u64,
    /// Its content.
    pub reader: R,
}

/// What went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BundleSummary {
    /// How many objects.
    pub objects: u64,
    /// Their bytes, uncompressed.
    pub bytes: u64,
}

/// What a reader is willing to take.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// These objects in these lengths; each must arrive.
    Exactly(BTreeMap<Digest, u64>),
    /// Whatever is offered, up to a limit. For an upload, whose objects are judged when its manifest arrives.
    Any {
        /// How many objects.
        max_objects: u64,
        /// Bytes of one object, uncompressed.
        max_object_bytes: u64,
        /// Bytes of all objects, uncompressed.
        max_total_bytes: u64,
    },
}

impl Wanted {
    /// The limits for an upload.
    pub fn any() -> Self {
        Self::Any {
            max_objects: crate::limits::MAX_ENTRIES as u64,
            max_object_bytes: MAX_FILE_BYTES,
            max_total_bytes: MAX_TREE_BYTES,
        }
    }
}

/// Takes verified objects. An object that was begun and dropped was not good.
pub trait ObjectSink {
    /// An object that is being written; dropping it must leave nothing behind.
    type Pending: Write;

    /// Starts an object.
    fn begin(&mut self, digest: Digest, size_bytes: u64) -> io::Result<Self::Pending>;

    /// Keeps an object, whose content has been verified.
    fn commit(&mut self, digest: Digest, pending: Self::Pending) -> io::Result<()>;
}

/// Why a bundle could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The bundle itself could not be written.
    #[error("cannot write the bundle")]
    Write(#[source] io::Error),
    /// An object that should go into the bundle could not be opened, read or stored.
    #[error("cannot add object {digest} to the bundle")]
    Add {
        /// Which one.
        digest: Digest,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An object has other content than its digest says: the file has changed, or the disk is damaged.
    #[error("object {digest} cannot be sent: its content has changed")]
    Changed {
        /// Which one.
        digest: Digest,
    },
    /// The stream broke off or is not a bundle.
    #[error("the bundle is truncated or damaged {}", place(*.after))]
    Damaged {
        /// The last object that was complete.
        after: Option<Digest>,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The stream broke off or is damaged within an object.
    #[error("the bundle is truncated or damaged within object {digest}")]
    DamagedObject {
        /// Which one.
        digest: Digest,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The content of an object does not have the digest it was sent under.
    #[error("object {digest} arrived with other content, whose digest is {found}")]
    WrongContent {
        /// What it should be.
        digest: Digest,
        /// What it is.
        found: Digest,
    },
    /// A member that is no object.
    #[error("the bundle contains \"{name}\", which is not an object")]
    NotAnObject {
        /// Its name and, when it is no regular file, its kind.
        name: String,
    },
    /// An object nobody asked for, or one that came before.
    #[error("the bundle contains object {digest}, which was not asked for")]
    Unwanted {
        /// Which one.
        digest: Digest,
    },
    /// An object in a length that differs from the one the manifest gives.
    #[error("object {digest} arrived with {found} bytes instead of {expected}")]
    WrongSize {
        /// Which one.
        digest: Digest,
        /// What the manifest says.
        expected: u64,
        /// What the bundle says.
        found: u64,
    },
    /// More than the reader is willing to take.
    #[error("object {digest} exceeds the limits of a bundle ({limit})")]
    TooLarge {
        /// The object at which the limit was reached.
        digest: Digest,
        /// Which limit.
        limit: String,
    },
    /// Objects that were asked for and did not come.
    #[error("the bundle lacks {} of the objects that were asked for, first {first}", .count)]
    Incomplete {
        /// The first one.
        first: Digest,
        /// How many.
        count: usize,
    },
    /// An object arrived but could not be kept.
    #[error("cannot store object {digest}{}", if out_of_space(.source) { ": the disk is full" } else { "" })]
    Store {
        /// Which one.
        digest: Digest,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl BundleError {
    /// Whether the reason is a full disk (or quota) on this side.
    pub fn out_of_space(&self) -> bool {
        match self {
            Self::Store { source, .. } | Self::Write(source) => out_of_space(source),
            _ => false,
        }
    }
}

fn place(after: Option<Digest>) -> String {
    after.map_or_else(|| "before its first object".to_owned(), |digest| format!("after object {digest}"))
}

/// Writes objects into a bundle and verifies each on its way.
pub fn write_bundle<W: Write, R: Read>(
    writer: W,
    level: i32,
    objects: impl IntoIterator<Item = Result<BundleObject<R>, BundleError>>,
) -> Result<(W, BundleSummary), BundleError> {
    let mut encoder = Encoder::new(writer, level).map_err(BundleError::Write)?;
    encoder.include_checksum(true).map_err(BundleError::Write)?;
    let mut archive = Builder::new(encoder);
    let mut summary = BundleSummary::default();
    for object in objects {
        let BundleObject { digest, size_bytes, reader } = object?;
        let mut header = Header::new_ustar();
        let named = header.set_path(digest.to_string());
        named.map_err(|source| BundleError::Add { digest, source })?;
        header.set_entry_type(EntryType::Regular);
        header.set_size(size_bytes);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_cksum();
        let mut reader = Exact { inner: HashingReader::new(reader), left_bytes: size_bytes, short: false };
        let appended = archive.append(&header, &mut reader);
        if reader.short {
            return Err(BundleError::Changed { digest });
        }
        appended.map_err(|source| BundleError::Add { digest, source })?;
        if reader.inner.result() != (digest, size_bytes) {
            return Err(BundleError::Changed { digest });
        }
        summary.objects += 1;
        summary.bytes += size_bytes;
    }
    let encoder = archive.into_inner().map_err(BundleError::Write)?;
    let writer = encoder.finish().map_err(BundleError::Write)?;
    Ok((writer, summary))
}

/// Gives exactly the announced number of bytes, or an error: a short member would shift all that follow.
struct Exact<R> {
    inner: HashingReader<R>,
    left_bytes: u64,
    short: bool,
}

impl<R: Read> Read for Exact<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left_bytes).unwrap_or(usize::MAX).min(buffer.len());
        if room == 0 {
            return Ok(0);
        }
        let count = self.inner.read(&mut buffer[..room])?;
        if count == 0 {
            self.short = true;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left_bytes -= count as u64;
        Ok(count)
    }
}

/// Reads a bundle to its end. The sink gets each object after its content has been verified; after an error, objects
/// that were committed before it are good.
pub fn read_bundle<R: Read, S: ObjectSink>(
    reader: R,
    wanted: &Wanted,
    sink: &mut S,
) -> Result<BundleSummary, BundleError> {
    let mut after = None;
    let damaged = |after| move |source| BundleError::Damaged { after, source };
    let mut decoder = Decoder::new(reader).map_err(damaged(None))?;
    decoder.window_log_max(MAX_WINDOW_LOG).map_err(damaged(None))?;
    let mut archive = Archive::new(decoder);
    let mut gate = Gate { wanted, seen: HashSet::new(), summary: BundleSummary::default() };
    // Raw: extension headers are members like any other, and refused, instead of being read into memory.
    for member in archive.entries().map_err(damaged(None))?.raw(true) {
        let mut member = member.map_err(damaged(after))?;
        let digest = member_digest(&member)?;
        let size_bytes = member.header().entry_size().map_err(damaged(after))?;
        gate.admit(digest, size_bytes)?;
        let found = copy_member(&mut member, digest, size_bytes, sink)?;
        if found != digest {
            return Err(BundleError::WrongContent { digest, found });
        }
        after = Some(digest);
    }
    // The archive ends before the stream does; only the end of the stream shows that nothing was cut off.
    let rest = io::copy(&mut archive.into_inner().take(MAX_PADDING_BYTES + 1), &mut io::sink());
    if rest.map_err(damaged(after))? > MAX_PADDING_BYTES {
        return Err(BundleError::Damaged {
            after,
            source: io::Error::other("data after the end of the archive"),
        });
    }
    gate.finish()
}

/// Archives end with zero blocks, filled up to a record of 10 KiB by some tools.
const MAX_PADDING_BYTES: u64 = 64 * 1024;

fn member_digest<R: Read>(member: &tar::Entry<'_, R>) -> Result<Digest, BundleError> {
    let name: String = String::from_utf8_lossy(&member.path_bytes()).chars().take(200).collect();
    let kind = member.header().entry_type();
    if kind != EntryType::Regular {
        return Err(BundleError::NotAnObject { name: format!("{} ({kind:?})", name.escape_debug()) });
    }
    name.parse().map_err(|_| BundleError::NotAnObject { name: name.escape_debug().to_string() })
}

/// Copies one member into the sink; commits only what has the right digest and returns the digest found.
fn copy_member<R: Read, S: ObjectSink>(
    member: &mut tar::Entry<'_, R>,
    digest: Digest,
    size_bytes: u64,
    sink: &mut S,
) -> Result<Digest, BundleError> {
    let store_failed = |source| BundleError::Store { digest, source };
    let mut pending = sink.begin(digest, size_bytes).map_err(store_failed)?;
    let mut reader = HashingReader::new(member);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => pending.write_all(&buffer[..count]).map_err(store_failed)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(BundleError::DamagedObject { digest, source }),
        }
    }
    let (found, read_bytes) = reader.result();
    if read_bytes != size_bytes {
        let source = io::ErrorKind::UnexpectedEof.into();
        return Err(BundleError::DamagedObject { digest, source });
    }
    if found == digest {
        pending.flush().map_err(store_failed)?;
        sink.commit(digest, pending).map_err(store_failed)?;
    }
    Ok(found)
}

/// Decides about each object before a byte of it is read.
struct Gate<'a> {
    wanted: &'a Wanted,
    seen: HashSet<Digest>,
    summary: BundleSummary,
}

impl Gate<'_> {
    fn admit(&mut self, digest: Digest, size_bytes: u64) -> Result<(), BundleError> {
        if !self.seen.insert(digest) {
            return Err(BundleError::Unwanted { digest });
        }
        self.summary.objects += 1;
        self.summary.bytes = self.summary.bytes.saturating_add(size_bytes);
        match self.wanted {
            Wanted::Exactly(sizes) => match sizes.get(&digest) {
                None => Err(BundleError::Unwanted { digest }),
                Some(&expected) if expected != size_bytes => {
                    Err(BundleError::WrongSize { digest, expected, found: size_bytes })
                }
                Some(_) => Ok(()),
            },
            Wanted::Any { max_objects, max_object_bytes, max_total_bytes } => {
                let limit = if self.summary.objects > *max_objects {
                    format!("{max_objects} objects")
                } else if size_bytes > *max_object_bytes {
                    format!("{max_object_bytes} bytes for one object")
                } else if self.summary.bytes > *max_total_bytes {
                    format!("{max_total_bytes} bytes together")
                } else {
                    return Ok(());
                };
                Err(BundleError::TooLarge { digest, limit })
            }
        }
    }

    fn finish(self) -> Result<BundleSummary, BundleError> {
        if let Wanted::Exactly(sizes) = self.wanted {
            let mut lacking = sizes.keys().filter(|digest| !self.seen.contains(digest));
            if let Some(&first) = lacking.next() {
                return Err(BundleError::Incomplete { first, count: 1 + lacking.count() });
            }
        }
        Ok(self.summary)
    }
}

/// Divides objects into bundles of about [`BUNDLE_TARGET_BYTES`], so that an upload that breaks off can go on where
/// it stopped.
pub fn batch_objects(objects: &BTreeMap<Digest, u64>) -> Vec<BTreeSet<Digest>> {
    let mut batches = Vec::new();
    let mut batch = BTreeSet::new();
    let mut batch_bytes = 0;
    for (&digest, &size_bytes) in objects {
        let full = batch_bytes + size_bytes > BUNDLE_TARGET_BYTES || batch.len() == BUNDLE_TARGET_OBJECTS;
        if full && !batch.is_empty() {
            batches.push(std::mem::take(&mut batch));
            batch_bytes = 0;
        }
        batch.insert(digest);
        batch_bytes += size_bytes;
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

#[cfg(test)]
mod tests;

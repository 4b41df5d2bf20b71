//! What one request, and all requests together, may cost; each with its reason.

use std::time::Duration;

/// The body of an ordinary request. The largest honest one is a question about 20,000 digests: 1.4 MB.
pub(crate) const BODY_BYTES: usize = 2 * 1024 * 1024;
/// Fleet files. Beyond what `muster-fleet-config` takes, so that it can say which file is too large; JSON escapes double
/// what they escape.
pub(crate) const FLEET_FILES_BODY_BYTES: usize = 32 * 1024 * 1024;
/// A manifest: what `muster-artifact` takes.
pub(crate) const MANIFEST_BODY_BYTES: usize = 64 * 1024 * 1024;
/// A bundle, compressed. The content is bounded by `muster-artifact`; this bounds what is read of nonsense.
pub(crate) const BUNDLE_BODY_BYTES: usize = 8 * 1024 * 1024 * 1024;

/// An ordinary answer. Use cases wait for locks at most; the longest is compiling a large fleet.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// An upload may take so long in all: 8 GiB at 20 Mbit/s.
pub(crate) const UPLOAD_WITHIN: Duration = Duration::from_secs(3600);
/// An upload that is silent for so long is given up.
pub(crate) const UPLOAD_SILENCE: Duration = Duration::from_secs(60);

/// Ordinary requests at a time; more than the pool of connections can serve in the time that people wait.
pub(crate) const REQUESTS_AT_ONCE: usize = 256;
/// Uploads at a time: each holds a thread and the disk.
pub(crate) const UPLOADS_AT_ONCE: usize = 4;
/// An upload waits so long for its turn.
pub(crate) const UPLOAD_TURN: Duration = Duration::from_secs(20);
/// Streams of live messages at a time.
pub(crate) const STREAMS_AT_ONCE: usize = 1_000;
/// An idle stream shows that it lives this often: below the 30 to 60 s of common proxies.
pub(crate) const STREAM_KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A stream looks this often whether its reader may still read.
pub(crate) const STREAM_RECHECK: Duration = Duration::from_secs(30);

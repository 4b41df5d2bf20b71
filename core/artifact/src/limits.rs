//! The limits of an artifact, each with its reason.

/// Entries in one artifact. A large Next.js application with its dependencies has about 60,000 files; beyond 200,000
/// the inodes of a small VPS (about 1.3 million on 20 GB of ext4) would be gone after a handful of releases.
pub const MAX_ENTRIES: usize = 200_000;

/// Bytes of one path, and of one link target. Linux allows 4,096 for a whole path; a quarter leaves room for the
/// directory in which the release is assembled, and the deepest `node_modules` seen stay below 300.
pub const MAX_PATH_BYTES: usize = 1024;

/// Bytes of one component of a path: what ext4, xfs, btrfs and tmpfs allow.
pub const MAX_COMPONENT_BYTES: usize = 255;

/// Bytes of one file: 2 GiB, the most that Node.js reads in one piece. Larger files are data, not code.
pub const MAX_FILE_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Bytes of all files of one artifact: 8 GiB. Two releases are on a node at a time, and disks of 20 GB are common.
pub const MAX_TREE_BYTES: u64 = 8 * 1024 * 1024 * 1024;

/// Bytes of an encoded manifest: room for [`MAX_ENTRIES`] entries of about 330 bytes (a file entry with a path of 100
/// characters takes about 260).
pub const MAX_MANIFEST_BYTES: usize = 64 * 1024 * 1024;

/// Steps spent on following the symbolic links of one manifest. An honest tree needs about ten for each link; a
/// hostile one could make every link expand to 40 others.
pub const MAX_LINK_STEPS: u64 = 10_000_000;

/// Links followed for one path before it counts as a loop: the limit of the Linux kernel.
pub const MAX_LINK_HOPS: u32 = 40;

/// Bytes of content put into one bundle by [`crate::batch_objects`]. A broken upload loses at most this much; a file
/// that is larger travels in a bundle of its own.
pub const BUNDLE_TARGET_BYTES: u64 = 64 * 1024 * 1024;

/// Objects put into one bundle by [`crate::batch_objects`], so that many tiny files do not make one endless request.
pub const BUNDLE_TARGET_OBJECTS: usize = 20_000;

/// Free bytes that must remain on the disk after a release has been assembled: logs and the operating system share it.
pub const FREE_SPACE_FLOOR_BYTES: u64 = 256 * 1024 * 1024;

/// Window of the zstd decoder as a power of two (16 MiB): a bundle cannot make a reader keep more than this.
pub const MAX_WINDOW_LOG: u32 = 24;

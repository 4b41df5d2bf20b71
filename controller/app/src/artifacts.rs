//! Artifacts: the files of releases, uploaded by content. Every byte is verified on arrival, by `muster-artifact`.

use crate::{Actor, App, AppError, Permission};
use muster_artifact::{BundleError, BundleSummary, Manifest, ManifestError, Wanted, digest_of};
use muster_domain::Digest;
use std::{io::Read, path::Path};

pub use muster_db::artifacts::ArtifactRecord;

/// Digests that may be asked for at once.
pub const MAX_DIGESTS: usize = 20_000;
/// Free bytes that must remain on the controller's disk: its database and its logs share it.
const FREE_SPACE_FLOOR_BYTES: u64 = 512 * 1024 * 1024;
/// Missing objects that a refusal names; the number says how many there are.
const MISSING_NAMED: usize = 20;

impl App {
    /// Which of these objects are not here.
    pub async fn artifact_missing(
        &self,
        actor: &Actor,
        digests: Vec<Digest>,
    ) -> Result<Vec<Digest>, AppError> {
        actor.require(Permission::ReleaseCreate)?;
        if digests.len() > MAX_DIGESTS {
            return Err(AppError::invalid(
                "too_many",
                format!("{} digests at once are too many", digests.len()),
            )
            .with_hint(format!("ask for {MAX_DIGESTS} at a time")));
        }
        let objects = self.objects().clone();
        blocking(move || Ok(objects.missing(&digests))).await
    }

    /// Whether there is room for an upload. Asked before its body is read.
    pub async fn artifact_room_check(&self, actor: &Actor) -> Result<(), AppError> {
        actor.require(Permission::ReleaseCreate)?;
        let root = self.objects().root().to_owned();
        blocking(move || room_check(&root)).await
    }

    /// Stores the objects of a bundle: all of them, or none. `reader` blocks.
    pub async fn artifact_objects_put(
        &self,
        actor: &Actor,
        reader: impl Read + Send + 'static,
    ) -> Result<BundleSummary, AppError> {
        actor.require(Permission::ReleaseCreate)?;
        let objects = self.objects().clone();
        blocking(move || {
            room_check(objects.root())?;
            let summary = objects.put_bundle(reader, &Wanted::any()).map_err(bundle_refused)?;
            Ok(summary)
        })
        .await
    }

    /// Notes a complete artifact. Refused while one of its objects is missing or has another length.
    pub async fn artifact_manifest_put(
        &self,
        actor: &Actor,
        digest: Digest,
        bytes: Vec<u8>,
    ) -> Result<ArtifactRecord, AppError> {
        actor.require(Permission::ReleaseCreate)?;
        let objects = self.objects().clone();
        let artifact = blocking(move || {
            let found = digest_of(&bytes);
            if found != digest {
                return Err(AppError::invalid(
                    "digest_mismatch",
                    format!("the manifest arrived with the digest {found}, not {digest}"),
                ));
            }
            let manifest = Manifest::parse(&bytes).map_err(manifest_refused)?;
            let wanted = manifest.objects();
            let digests: Vec<Digest> = wanted.keys().copied().collect();
            let missing = objects.missing(&digests);
            if let Some(first) = missing.first() {
                let named: Vec<String> =
                    missing.iter().take(MISSING_NAMED).map(ToString::to_string).collect();
                return Err(AppError::conflict(
                    "objects_missing",
                    format!("{} objects of the artifact are not here, first {first}", missing.len()),
                )
                .with_hint(format!("upload them first: {}", named.join(", "))));
            }
            if let Some((other, _)) =
                wanted.iter().find(|(digest, size)| objects.size_bytes(**digest) != Some(**size))
            {
                return Err(AppError::invalid(
                    "invalid_manifest",
                    format!("object {other} has another length than the manifest says"),
                ));
            }
            let (file_count, total_bytes) = (manifest.file_count() as u64, manifest.total_bytes());
            objects.put(digest, bytes.as_slice()).map_err(bundle_refused)?;
            Ok(ArtifactRecord { digest, file_count, total_bytes })
        })
        .await?;
        let mut conn = self.db().conn().await?;
        muster_db::artifacts::insert(&mut conn, &artifact, self.now()).await?;
        Ok(artifact)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AppError> + Send + 'static,
) -> Result<T, AppError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| AppError::internal("the object store could not be used", e))?
}

fn full() -> AppError {
    AppError::Unavailable {
        detail: "the controller's disk is full: it takes no uploads until there is room".to_owned(),
        source: None,
    }
}

fn room_check(root: &Path) -> Result<(), AppError> {
    let stat = rustix::fs::statvfs(root).map_err(|e| {
        AppError::internal("the object store's disk could not be asked for its free space", e)
    })?;
    if stat.f_bavail.saturating_mul(stat.f_frsize) < FREE_SPACE_FLOOR_BYTES { Err(full()) } else { Ok(()) }
}

/// The words of an error and of what is behind it.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn bundle_refused(error: BundleError) -> AppError {
    if error.out_of_space() {
        return full();
    }
    match error {
        BundleError::Write(_)
        | BundleError::Add { .. }
        | BundleError::Changed { .. }
        | BundleError::Store { .. } => AppError::internal("the objects could not be stored", error),
        BundleError::TooLarge { .. } => AppError::invalid("bundle_too_large", chain(&error))
            .with_hint("send the objects in several bundles"),
        BundleError::Damaged { .. }
        | BundleError::DamagedObject { .. }
        | BundleError::WrongContent { .. }
        | BundleError::NotAnObject { .. }
        | BundleError::Unwanted { .. }
        | BundleError::WrongSize { .. }
        | BundleError::Incomplete { .. } => AppError::invalid("invalid_bundle", chain(&error)).with_hint(
            "nothing of this bundle was stored; a bundle is a zstd-compressed tar of files named by digest",
        ),
    }
}

fn manifest_refused(error: ManifestError) -> AppError {
    AppError::invalid("invalid_manifest", chain(&error))
}

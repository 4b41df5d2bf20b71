//! Releases on the disk: what is there is used again, what is missing is fetched, everything is verified, and a release
//! is in its place whole or not at all.

mod fetch;

pub use fetch::{ArtifactSource, ObjectStream, SourceError};

use crate::config::{AgentConfig, StateDir};
use fetch::ReceiveError;
use muster_artifact as artifact;
use muster_artifact::{AssembleError, AssembleOptions, Manifest, ObjectStore, Sources};
use muster_domain::{ApplicationName, Digest, ReleaseId, resource::Application};
use muster_platform::Host;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a release is not in its place. Nothing of it is left there.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// It could not be fetched.
    #[error("release {version} cannot be fetched: {source}")]
    Fetch {
        /// The release.
        version: String,
        /// Why.
        source: SourceError,
    },
    /// What arrived is not what was asked for.
    #[error("release {version} arrived damaged: {reason}; it is fetched again")]
    Damaged {
        /// The release.
        version: String,
        /// What is wrong.
        reason: String,
    },
    /// There is no room for it.
    #[error("release {version} does not fit on the disk: {reason}; free some space, it is tried again")]
    NoSpace {
        /// The release.
        version: String,
        /// What is missing.
        reason: String,
    },
    /// Something else went wrong on the disk.
    #[error("release {version} cannot be assembled: {reason}")]
    Assemble {
        /// The release.
        version: String,
        /// What.
        reason: String,
    },
}

/// The releases of a node.
pub struct Releases {
    state: StateDir,
    keep: usize,
    free_space_floor_bytes: u64,
    source: Arc<dyn ArtifactSource>,
    host: Arc<dyn Host>,
}

impl Releases {
    /// The releases below a state folder.
    pub fn new(config: &AgentConfig, source: Arc<dyn ArtifactSource>, host: Arc<dyn Host>) -> Self {
        Self {
            state: config.state_dir.clone(),
            keep: config.keep_releases,
            free_space_floor_bytes: config.free_space_floor_bytes,
            source,
            host,
        }
    }

    /// Makes sure that a release is in its place.
    pub async fn install(&self, wanted: &Application) -> Result<(), InstallError> {
        let job = Arc::new(Job {
            manifest: self.manifest(wanted).await?,
            folder: self.state.releases(&wanted.name),
            name: wanted.release_id.to_string(),
            objects: self.state.objects(),
            floor: self.free_space_floor_bytes,
        });
        self.check_space(wanted, &job.manifest)?;
        let mut missing = job.run(Job::missing).await.map_err(|error| assemble_failed(wanted, &error))?;
        // The second time round fetches what turned out to be damaged on this machine.
        for last in [false, true] {
            self.fetch(wanted, std::mem::take(&mut missing)).await?;
            match job.run(Job::assemble).await {
                Ok(()) => {
                    self.drop_objects();
                    return Ok(());
                }
                Err(AssembleError::Missing { digests }) if !last => {
                    let sizes = job.manifest.objects();
                    missing = digests.into_iter().filter_map(|d| Some((d, *sizes.get(&d)?))).collect();
                }
                Err(AssembleError::Damaged { path, .. }) if !last && path == job.folder.join(&job.name) => {
                    tracing::warn!(path = %path.display(), "a release on the disk is damaged and is assembled anew");
                    job.run(Job::remove).await.map_err(|error| assemble_failed(wanted, &error))?;
                    missing = job.run(Job::missing).await.map_err(|error| assemble_failed(wanted, &error))?;
                }
                Err(error) => {
                    if matches!(error, AssembleError::DiskFull { .. } | AssembleError::NotEnoughSpace { .. })
                    {
                        self.drop_objects();
                    }
                    return Err(assemble_failed(wanted, &error));
                }
            }
        }
        let reason = "files of other releases change while they are read".to_owned();
        Err(InstallError::Damaged { version: wanted.release_version.to_string(), reason })
    }

    async fn manifest(&self, wanted: &Application) -> Result<Manifest, InstallError> {
        let version = wanted.release_version.to_string();
        let bytes = match self.source.manifest(wanted.artifact_digest).await {
            Ok(bytes) => bytes,
            Err(source) => return Err(InstallError::Fetch { version, source }),
        };
        let found = Digest::from_bytes(*blake3::hash(&bytes).as_bytes());
        if found != wanted.artifact_digest {
            let reason =
                format!("its manifest has digest {}, not {}", found.short(), wanted.artifact_digest.short());
            return Err(InstallError::Damaged { version, reason });
        }
        Manifest::parse(&bytes)
            .map_err(|error| InstallError::Damaged { version, reason: crate::chain(&error) })
    }

    /// A look before anything is fetched: the assembly itself checks again, with the room that files take in blocks.
    fn check_space(&self, wanted: &Application, manifest: &Manifest) -> Result<(), InstallError> {
        let Ok(space) = self.host.disk_space(self.state.root()) else { return Ok(()) };
        let (needed, floor) = (manifest.total_bytes(), self.free_space_floor_bytes);
        if needed.saturating_add(floor) <= space.available_bytes {
            return Ok(());
        }
        self.drop_objects();
        let available = space.available_bytes;
        let reason =
            format!("it needs {needed} bytes and {floor} must stay free, but {available} are available");
        Err(InstallError::NoSpace { version: wanted.release_version.to_string(), reason })
    }

    async fn fetch(&self, wanted: &Application, missing: Sizes) -> Result<(), InstallError> {
        let version = || wanted.release_version.to_string();
        for batch in batches(missing) {
            let digests: Vec<Digest> =
                batch.keys().map(|digest| Digest::from_bytes(*digest.as_bytes())).collect();
            let objects = self.source.objects(wanted.artifact_digest, digests).await;
            let objects = objects.map_err(|source| InstallError::Fetch { version: version(), source })?;
            let store = self.state.objects();
            if let Err(error) = crate::blocking(move || fetch::receive(&store, objects, batch)).await {
                return Err(match error {
                    ReceiveError::Source(source) => InstallError::Fetch { version: version(), source },
                    ReceiveError::Bundle(error) => {
                        InstallError::Damaged { version: version(), reason: crate::chain(&error) }
                    }
                    ReceiveError::Disk(error) if artifact::out_of_space(&error) => {
                        self.drop_objects();
                        InstallError::NoSpace { version: version(), reason: "the disk is full".into() }
                    }
                    ReceiveError::Disk(error) => {
                        InstallError::Assemble { version: version(), reason: error.to_string() }
                    }
                });
            }
        }
        Ok(())
    }

    /// Removes old releases of an application, and tells which. Kept are those named, the one that `current` points to,
    /// and the newest.
    pub fn prune(
        &self,
        application: &ApplicationName,
        in_use: &BTreeSet<ReleaseId>,
    ) -> std::io::Result<Vec<String>> {
        let folder = self.state.releases(application);
        let current = std::fs::read_link(self.state.current(application)).ok();
        let current =
            current.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        // Ids are made in the order of time, so the newest comes last.
        let mut names = release_names(&folder)?;
        names.sort_unstable();
        let old = names.len().saturating_sub(self.keep);
        let mut removed = Vec::new();
        for name in names.into_iter().take(old) {
            let used = name.parse::<ReleaseId>().is_ok_and(|id| in_use.contains(&id));
            if !used && current.as_deref() != Some(&name) && artifact::release_remove(&folder, &name)? {
                removed.push(name);
            }
        }
        Ok(removed)
    }

    /// Objects that belong to no release yet. If they cannot be removed now, the next release tries again.
    fn drop_objects(&self) {
        if let Err(error) = std::fs::remove_dir_all(self.state.objects())
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "fetched objects cannot be removed");
        }
    }
}

/// Whether a release is in its place. Its folder gets there by one rename, when all of it was verified; this is asked at
/// every poll, and must not read a thousand files again.
pub fn assembled(state: &StateDir, wanted: &Application) -> bool {
    let root = state.release(&wanted.name, wanted.release_id);
    let manifest = root.with_file_name(format!("{}.manifest.json", wanted.release_id));
    std::fs::symlink_metadata(root).is_ok_and(|found| found.is_dir())
        && std::fs::read(manifest)
            .is_ok_and(|bytes| blake3::hash(&bytes).as_bytes() == wanted.artifact_digest.as_bytes())
}

fn release_names(folder: &Path) -> std::io::Result<Vec<String>> {
    let children = match std::fs::read_dir(folder) {
        Ok(children) => children,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for child in children {
        let child = child?;
        let name = child.file_name().to_string_lossy().into_owned();
        if child.file_type()?.is_dir() && name.parse::<ReleaseId>().is_ok() {
            names.push(name);
        }
    }
    Ok(names)
}

type Sizes = BTreeMap<artifact::Digest, u64>;

/// What one call may ask for, and what should be lost at most when it breaks off.
fn batches(missing: Sizes) -> Vec<Sizes> {
    let mut batches: Vec<Sizes> = Vec::new();
    let mut bytes = 0_u64;
    for (digest, size_bytes) in missing {
        bytes = bytes.saturating_add(size_bytes);
        match batches.last_mut() {
            Some(batch)
                if bytes <= artifact::limits::BUNDLE_TARGET_BYTES
                    && batch.len() < muster_proto::MAX_DIGESTS_PER_FETCH =>
            {
                batch.insert(digest, size_bytes);
            }
            _ => {
                bytes = size_bytes;
                batches.push(BTreeMap::from([(digest, size_bytes)]));
            }
        }
    }
    batches
}

fn assemble_failed(wanted: &Application, error: &AssembleError) -> InstallError {
    let (version, reason) = (wanted.release_version.to_string(), crate::chain(error));
    match error {
        AssembleError::NotEnoughSpace { .. }
        | AssembleError::NotEnoughInodes { .. }
        | AssembleError::DiskFull { .. } => InstallError::NoSpace { version, reason },
        AssembleError::Missing { .. } | AssembleError::Damaged { .. } => {
            InstallError::Damaged { version, reason }
        }
        AssembleError::Name { .. } | AssembleError::Io { .. } => InstallError::Assemble { version, reason },
    }
}

/// One release to be put into its place; its methods block.
struct Job {
    manifest: Manifest,
    folder: PathBuf,
    name: String,
    objects: PathBuf,
    floor: u64,
}

impl Job {
    async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: fn(&Self) -> Result<T, AssembleError>,
    ) -> Result<T, AssembleError> {
        let job = self.clone();
        crate::blocking(move || work(&job)).await
    }

    fn missing(&self) -> Result<Sizes, AssembleError> {
        self.with_sources(|sources| Ok(sources.missing(&self.manifest)))
    }

    fn assemble(&self) -> Result<(), AssembleError> {
        let options = AssembleOptions { free_space_floor_bytes: self.floor };
        self.with_sources(|sources| {
            artifact::assemble(&self.manifest, &self.folder, &self.name, sources, &options).map(drop)
        })
    }

    fn remove(&self) -> Result<(), AssembleError> {
        artifact::release_remove(&self.folder, &self.name).map(drop).map_err(self.io("remove"))
    }

    /// What was fetched, and every other release of the application.
    fn with_sources<T>(
        &self,
        work: impl FnOnce(&Sources<'_>) -> Result<T, AssembleError>,
    ) -> Result<T, AssembleError> {
        let store = ObjectStore::open(&self.objects).map_err(self.io("open"))?;
        let mut sources = Sources::new().with_objects(&store);
        for tree in artifact::release_list(&self.folder).map_err(self.io("list"))? {
            if tree.name != self.name {
                sources = sources.with_release(&tree.root, &tree.manifest);
            }
        }
        work(&sources)
    }

    fn io(&self, action: &'static str) -> impl FnOnce(std::io::Error) -> AssembleError {
        let path = self.folder.clone();
        move |source| AssembleError::Io { action, path, source }
    }
}

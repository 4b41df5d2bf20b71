//! Uploading what the controller lacks: first the objects, in bundles, then the manifest that names them.
//!
//! An upload that breaks off is simply started again: what has arrived is not asked for a second time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Seek;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use muster_api_types::{Artifact, ObjectsMissing, ObjectsQuery, ObjectsStored};
use muster_artifact::bundle::COMPRESSION_LEVEL;
use muster_artifact::{BundleError, BundleObject, Digest, Packed, SourceFile, batch_objects, write_bundle};
use tokio_util::io::ReaderStream;

use crate::client::Client;
use crate::failure::{Failure, Result, chain};
use crate::format::bytes;
use crate::output::Output;

/// The controller's limit for one question.
const DIGESTS_PER_QUESTION: usize = 20_000;
const ATTEMPTS: u32 = 5;

pub(super) async fn upload(output: &Output, client: &Client, packed: Packed) -> Result<()> {
    let all = packed.manifest.objects();
    let mut missing: BTreeMap<Digest, u64> = BTreeMap::new();
    let digests: Vec<Digest> = all.keys().copied().collect();
    for question in digests.chunks(DIGESTS_PER_QUESTION) {
        let body = ObjectsQuery { digests: question.iter().map(Digest::to_string).collect() };
        let answer: ObjectsMissing = client.post(&["artifacts", "missing"], &body).await?;
        for text in answer.missing {
            let digest: Option<Digest> = text.parse().ok();
            let known = digest.and_then(|digest| Some((digest, *all.get(&digest)?)));
            let (digest, size_bytes) = known.ok_or_else(|| {
                Failure::failed(format!("the controller asks for an object that is not ours: {text}"))
            })?;
            missing.insert(digest, size_bytes);
        }
    }
    if missing.is_empty() {
        output.note("the controller has every file already");
    } else {
        let total_bytes = missing.values().sum();
        output.note(&format!(
            "uploading {} of {} contents, {}",
            missing.len(),
            all.len(),
            bytes(total_bytes)
        ));
        send_objects(client, Arc::new(packed.sources), &missing, total_bytes).await?;
    }
    let manifest = packed.manifest.encode();
    let digest = packed.manifest.digest().to_string();
    let length_bytes = manifest.len() as u64;
    let _: Artifact = client
        .upload(&["artifacts", "manifests", &digest], "application/json", length_bytes, manifest)
        .await?;
    Ok(())
}

type SharedSources = Arc<BTreeMap<Digest, SourceFile>>;

async fn send_objects(
    client: &Client,
    sources: SharedSources,
    missing: &BTreeMap<Digest, u64>,
    total_bytes: u64,
) -> Result<()> {
    let bar = ProgressBar::new(total_bytes);
    let style =
        ProgressStyle::with_template("uploading {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    bar.set_style(style.expect("the template is well formed"));
    let mut done_bytes = 0;
    for batch in batch_objects(missing) {
        let raw_bytes: u64 = batch.iter().filter_map(|digest| missing.get(digest)).sum();
        let (bundle, length_bytes) = make_bundle(sources.clone(), batch.into_iter().collect()).await?;
        let mut attempt = 1;
        loop {
            let progress = Progress { bar: bar.clone(), done_bytes, raw_bytes, length_bytes };
            match send_bundle(client, &bundle, progress).await {
                Ok(()) => break,
                Err(failure) if failure.transient && attempt < ATTEMPTS => {
                    bar.suspend(|| eprintln!("{}; trying again", failure.message));
                    tokio::time::sleep(Duration::from_millis(500 << attempt)).await;
                    attempt += 1;
                }
                Err(failure) => {
                    bar.abandon();
                    let hint = "run the command again: what has arrived is kept";
                    return Err(if failure.transient { failure.hint(hint) } else { failure });
                }
            }
        }
        done_bytes += raw_bytes;
        bar.set_position(done_bytes);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Writes a bundle into a file without a name, so that it can be sent again and its length is known.
async fn make_bundle(sources: SharedSources, digests: Vec<Digest>) -> Result<(File, u64)> {
    let written = tokio::task::spawn_blocking(move || {
        let file = tempfile::tempfile().map_err(BundleError::Write)?;
        let objects = digests.into_iter().map(|digest| {
            let source = &sources[&digest];
            let reader = File::open(&source.path).map_err(|source| BundleError::Add { digest, source })?;
            Ok(BundleObject { digest, size_bytes: source.size_bytes, reader })
        });
        let (mut file, _) = write_bundle(file, COMPRESSION_LEVEL, objects)?;
        let length_bytes = file.stream_position().map_err(BundleError::Write)?;
        Ok::<_, BundleError>((file, length_bytes))
    });
    let written = written.await.map_err(|error| Failure::of("the upload was cut off", &error))?;
    written.map_err(|error| {
        let failure = Failure::failed(format!("cannot prepare the upload: {}", chain(&error)));
        match error {
            BundleError::Changed { .. } => failure
                .hint("a file changed while it was packed; stop what writes into the folder and try again"),
            _ if error.out_of_space() => failure.hint("free some space in the folder for temporary files"),
            _ => failure,
        }
    })
}

/// Shows compressed bytes sent as their share of the raw ones, which is what was announced.
struct Progress {
    bar: ProgressBar,
    done_bytes: u64,
    raw_bytes: u64,
    length_bytes: u64,
}

impl Progress {
    fn sent(&self, sent_bytes: u64) {
        let share =
            u128::from(self.raw_bytes) * u128::from(sent_bytes) / u128::from(self.length_bytes.max(1));
        self.bar.set_position(self.done_bytes + u64::try_from(share).unwrap_or_default());
    }
}

async fn send_bundle(client: &Client, bundle: &File, progress: Progress) -> Result<()> {
    let failed = |error: std::io::Error| Failure::of("cannot read the prepared upload", &error);
    let mut file = bundle.try_clone().map_err(failed)?;
    file.rewind().map_err(failed)?;
    let length_bytes = progress.length_bytes;
    let mut sent_bytes = 0;
    let stream =
        ReaderStream::with_capacity(tokio::fs::File::from_std(file), 256 * 1024).inspect(move |chunk| {
            if let Ok(chunk) = chunk {
                sent_bytes += chunk.len() as u64;
                progress.sent(sent_bytes);
            }
        });
    let body = reqwest::Body::wrap_stream(stream);
    let _: ObjectsStored =
        client.upload(&["artifacts", "objects"], "application/zstd", length_bytes, body).await?;
    Ok(())
}

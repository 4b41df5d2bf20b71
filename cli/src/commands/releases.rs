//! Releases: build, pack, upload what is missing, and name the result.

mod origin;
mod upload;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use chrono::Utc;
use indicatif::ProgressBar;
use muster_api_types::{Release as ApiRelease, ReleaseCreate as ReleaseCreateBody};
use muster_artifact::{PackOptions, Packed, pack};
use muster_domain::ReleaseVersion;
use serde::Deserialize;

use crate::arguments::{Release, ReleaseCreate};
use crate::client::Client;
use crate::failure::{Failure, Result, chain};
use crate::format::{ago, bytes};
use crate::output::{Output, Tone};
use crate::table::{Cell, Table};

pub(super) async fn run(output: &Output, client: &Client, command: Release) -> Result<()> {
    match command {
        Release::Create(command) => create(output, client, command).await,
        Release::List { application } => {
            let releases: Vec<ApiRelease> =
                client.list(&["applications", &application, "releases"], &[]).await?;
            if output.json() {
                return output.object(&releases);
            }
            output.table(
                &release_table(&releases),
                &format!(
                    "{application} has no releases; make one with `muster release create {application}`"
                ),
            )
        }
        Release::Show { application, version } => {
            let release: ApiRelease =
                client.get(&["applications", &application, "releases", &version], &[]).await?;
            if output.json() {
                return output.object(&release);
            }
            output.table(&detail_table(&release), "")
        }
    }
}

async fn create(output: &Output, client: &Client, command: ReleaseCreate) -> Result<()> {
    if let Some(version) = &command.version {
        ReleaseVersion::parse(version.as_str()).map_err(|error| Failure::usage(error.to_string()))?;
    }
    let build = match command.build {
        Some(build) => Some(build),
        None if command.no_build => None,
        None => declared_build(client, &command.application).await?,
    };
    // Read before the build, which may write into the work tree.
    let origin = origin::read(&command.dir).await;
    if let Some(build) = &build {
        run_build(output, &command.dir, build).await?;
    }
    let packed = pack_folder(&command.dir).await?;
    tell_what_was_left_out(output, &packed);
    let digest = packed.manifest.digest();
    let version = command
        .version
        .or_else(|| origin.as_ref().and_then(|origin| origin.version(digest)))
        .unwrap_or_else(|| digest.short());
    output.note(&format!(
        "packed {} files, {}, digest {}",
        packed.manifest.file_count(),
        bytes(packed.manifest.total_bytes()),
        digest.short()
    ));
    upload::upload(output, client, packed).await?;

    let path = ["applications", &command.application, "releases"];
    let body = ReleaseCreateBody {
        version: version.clone(),
        artifact_digest: digest.to_string(),
        git: origin.map(|origin| origin.git),
        build_command: build,
    };
    let release: ApiRelease = match client.post(&path, &body).await {
        Ok(release) => release,
        Err(failure) if failure.status == Some(409) => {
            // The same content under the same name, as when a CI job runs twice: what was asked for is there.
            let existing: Result<ApiRelease> =
                client.get(&["applications", &command.application, "releases", &version], &[]).await;
            match existing {
                Ok(release) if release.artifact_digest == body.artifact_digest => {
                    output.note(&format!(
                        "{} {version} is there already, with the same content",
                        release.application
                    ));
                    release
                }
                _ => return Err(failure),
            }
        }
        Err(failure) => return Err(failure),
    };
    if output.json() {
        return output.object(&release);
    }
    output.line(&format!("{} {}", release.version, release.artifact_digest))
}

/// The build that the fleet configuration declares. An application that is not declared is refused here, before the work.
async fn declared_build(client: &Client, application: &str) -> Result<Option<String>> {
    /// The one part that matters here of what the controller says of an application.
    #[derive(Deserialize)]
    struct Declared {
        declaration: Option<Declaration>,
    }
    #[derive(Deserialize)]
    struct Declaration {
        build: Option<String>,
    }
    let declared: Declared = client.get(&["applications", application], &[]).await?;
    Ok(declared.declaration.and_then(|declaration| declaration.build))
}

/// Runs the build with its output on standard error: standard output belongs to the result.
async fn run_build(output: &Output, folder: &Path, command: &str) -> Result<()> {
    output.note(&format!("building: {command}"));
    let status = tokio::process::Command::new("sh")
        .args(["-c", command])
        .current_dir(folder)
        // A build runs what hundreds of packages bring along; the right to deploy is none of their business.
        .env_remove("MUSTER_TOKEN")
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .await
        .map_err(|error| Failure::of(format!("cannot run the build in {}", folder.display()), &error))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::failed(format!("the build failed with {status}: {command}")).hint("nothing was uploaded"))
}

async fn pack_folder(folder: &Path) -> Result<Packed> {
    let spinner = ProgressBar::new_spinner().with_message("packing");
    spinner.enable_steady_tick(Duration::from_millis(100));
    let folder = folder.to_owned();
    let packed = tokio::task::spawn_blocking(move || pack(&folder, &PackOptions::default())).await;
    spinner.finish_and_clear();
    packed
        .map_err(|error| Failure::of("packing was cut off", &error))?
        .map_err(|error| Failure::failed(format!("cannot pack: {}", chain(&error))))
}

fn tell_what_was_left_out(output: &Output, packed: &Packed) {
    let is_secret = |path: &&String| path.rsplit('/').next().is_some_and(|name| name.starts_with(".env"));
    let secrets: Vec<&str> = packed.excluded.iter().filter(is_secret).map(String::as_str).take(5).collect();
    if !secrets.is_empty() {
        output.note(&format!(
            "left out {}: secrets belong into `muster secret set`; a .musterignore with !.env takes files in again",
            secrets.join(", ")
        ));
    }
}

fn release_table(releases: &[ApiRelease]) -> Table {
    let now = Utc::now();
    let mut table = Table::new(&["VERSION", "RUNS IN", ">FILES", ">SIZE", "COMMIT", "CREATED", "BY"]);
    for release in releases {
        table.row([
            release.version.as_str().into(),
            Cell::tone(release.target_of.join(", "), Tone::Good),
            release.file_count.to_string().into(),
            bytes(release.total_bytes).into(),
            Cell::maybe(release.git.as_ref().map(|git| {
                let commit: String = git.commit.chars().take(10).collect();
                if git.dirty { format!("{commit} + changes") } else { commit }
            })),
            ago(release.created_at, now).into(),
            release.created_by.as_str().into(),
        ]);
    }
    table
}

fn detail_table(release: &ApiRelease) -> Table {
    let mut table = Table::new(&["RELEASE", ""]);
    let mut fact = |name: &str, value: Cell| table.row([Cell::tone(name, Tone::Quiet), value]);
    fact("application", release.application.as_str().into());
    fact("version", Cell::tone(&release.version, Tone::Strong));
    fact("runs in", release.target_of.join(", ").into());
    fact("digest", release.artifact_digest.as_str().into());
    fact("files", format!("{}, {}", release.file_count, bytes(release.total_bytes)).into());
    fact("commit", Cell::maybe(release.git.as_ref().map(|git| git.commit.clone())));
    fact("branch", Cell::maybe(release.git.as_ref().and_then(|git| git.branch.clone())));
    if release.git.as_ref().is_some_and(|git| git.dirty) {
        fact("work tree", Cell::tone("had uncommitted changes", Tone::Warning));
    }
    fact("build", Cell::maybe(release.build_command.clone()));
    fact("created", format!("{} by {}", crate::format::clock(release.created_at), release.created_by).into());
    table
}

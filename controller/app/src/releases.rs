//! Releases: immutable versions of applications.

use crate::{
    Actor, App, AppError, Permission,
    hubs::{Announcements, LiveMessage},
    page::{PageRequest, Paged, time_and_id},
    shorten,
};
use muster_domain::{
    ApplicationName, Digest, ReleaseId, ReleaseVersion,
    event::{Severity, Subject},
    release::{GitOrigin, Release},
};
use uuid::Uuid;

pub use muster_db::releases::ReleaseRecord;

/// The longest build command that is kept.
const MAX_BUILD_COMMAND_CHARS: usize = 4_096;

/// A release that is about to be made.
#[derive(Debug, Clone)]
pub struct NewRelease {
    /// The application.
    pub application: ApplicationName,
    /// Unique within the application.
    pub version: ReleaseVersion,
    /// The digest of the manifest of an uploaded artifact.
    pub artifact_digest: Digest,
    /// Where the files came from.
    pub git: Option<GitOrigin>,
    /// The command that built it.
    pub build_command: Option<String>,
}

fn release_missing(application: &str, version: &str) -> AppError {
    AppError::not_found("release", format!("{} of {}", shorten(version), shorten(application)))
        .with_hint(format!("`muster release list {}` shows the releases", shorten(application)))
}

impl App {
    /// Makes a release of an artifact that is complete here. The same release again, with the same artifact, is the one
    /// that exists.
    pub async fn release_create(&self, actor: &Actor, new: NewRelease) -> Result<ReleaseRecord, AppError> {
        actor.require(Permission::ReleaseCreate)?;
        check_origin(&new)?;
        let mut announcements = Announcements::default();
        let mut tx = self.db().begin().await?;
        let NewRelease { application, version, artifact_digest, git, build_command } = new;
        let former = muster_db::releases::get(&mut tx, application.as_str(), version.as_str()).await?;
        if let Some(former) = former {
            return if former.release.artifact_digest == artifact_digest {
                Ok(former)
            } else {
                Err(version_taken(&application, &version))
            };
        }
        let artifact = muster_db::artifacts::get(&mut tx, artifact_digest).await?.ok_or_else(|| {
            AppError::not_found("artifact", artifact_digest)
                .with_hint("upload its objects, then its manifest; `muster release create` does both")
        })?;
        self.application_require(&mut tx, &application).await?;
        let release = Release {
            id: ReleaseId::from_uuid(Uuid::now_v7()),
            application: application.clone(),
            version: version.clone(),
            artifact_digest,
            file_count: artifact.file_count,
            total_bytes: artifact.total_bytes,
            git,
            created_by: actor.name.clone(),
            created_at: self.now(),
        };
        match muster_db::releases::insert(&mut tx, &release, build_command.as_deref()).await {
            Err(e) if e.constraint() == Some("releases_application_version_key") => {
                return Err(version_taken(&application, &version));
            }
            other => other?,
        }
        let detail =
            serde_json::json!({ "artifact_digest": artifact_digest.to_string(), "git": release.git });
        let subject = format!("release {version} of {application}");
        self.audit(&mut tx, &actor.name, "release_create", subject, detail).await?;
        self.event_record(
            &mut tx,
            &mut announcements,
            &actor.name,
            (Severity::Info, "release.created"),
            Subject { application: Some(application.clone()), ..Subject::default() },
            format!("release {version} of {application} was created"),
        )
        .await?;
        announcements.live(LiveMessage::Application(application));
        tx.commit().await.map_err(muster_db::DbError::from)?;
        self.publish(announcements);
        Ok(ReleaseRecord { release, build_command, target_of: Vec::new() })
    }

    /// One release.
    pub async fn release_get(
        &self,
        actor: &Actor,
        application: &str,
        version: &str,
    ) -> Result<ReleaseRecord, AppError> {
        actor.require(Permission::FleetView)?;
        let mut conn = self.db().conn().await?;
        let found = muster_db::releases::get(&mut conn, application, version).await?;
        found.ok_or_else(|| release_missing(application, version))
    }

    /// The releases of an application, newest first.
    pub async fn release_list(
        &self,
        actor: &Actor,
        application: &str,
        page: &PageRequest,
    ) -> Result<Paged<ReleaseRecord>, AppError> {
        actor.require(Permission::FleetView)?;
        let application: ApplicationName = application.parse()?;
        let after = page.time_and_id()?.map(|(at, id)| (at, ReleaseId::from_uuid(id)));
        let mut conn = self.db().conn().await?;
        let releases = muster_db::releases::list(&mut conn, &application, after, page.rows()).await?;
        if releases.is_empty() && after.is_none() {
            self.application_require(&mut conn, &application).await?;
        }
        Ok(page.page(releases, |r| time_and_id(r.release.created_at, r.release.id.as_uuid())))
    }
}

fn version_taken(application: &ApplicationName, version: &ReleaseVersion) -> AppError {
    AppError::conflict(
        "release_exists",
        format!("release {version} of {application} exists, with other files"),
    )
    .with_hint("a release never changes: choose another version")
}

/// What is kept for people is bounded, and is text.
fn check_origin(new: &NewRelease) -> Result<(), AppError> {
    let bad = |text: &str, most: usize| {
        text.chars().count() > most || text.chars().any(|c| c.is_control() && c != '\n')
    };
    if new.build_command.as_deref().is_some_and(|command| bad(command, MAX_BUILD_COMMAND_CHARS)) {
        return Err(AppError::invalid(
            "invalid_value",
            "`build_command` is too long or holds control characters",
        ));
    }
    if let Some(git) = &new.git {
        let hex = |text: &str| matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !hex(&git.commit) {
            return Err(AppError::invalid("invalid_value", "`git.commit` is not a full commit id")
                .with_hint("`git rev-parse HEAD` prints it"));
        }
        if git.branch.as_deref().is_some_and(|branch| bad(branch, 255)) {
            return Err(AppError::invalid(
                "invalid_value",
                "`git.branch` is too long or holds control characters",
            ));
        }
    }
    Ok(())
}

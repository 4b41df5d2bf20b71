//! `muster-agent upgrade`: fetches, verifies, and lets the new agent install itself.

use super::{Place, fail, say};
use muster_agent::install::InstallError;
use muster_agent::install::layout::Layout;
use muster_agent::install::release::Build;
use muster_agent::upgrade::{Offer, UpgradeError};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

#[derive(Debug, clap::Args)]
pub(super) struct Upgrade {
    /// Only say whether the controller hands out other programs than those that are installed.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(arguments: Upgrade) -> ExitCode {
    if !rustix::process::geteuid().is_root() {
        return fail(1, &InstallError::NotRoot);
    }
    let state = arguments.place.state_dir(false);
    let layout = Layout::system();
    let offer = match Offer::look(&state).await {
        Ok(offer) => offer,
        Err(error) => return fail(1, &error),
    };
    let version = &offer.manifest.version;
    let installed = Build::read(&layout.current()).ok();
    match installed.as_ref().map(|build| offer.same_as(build)).transpose() {
        Err(error) => return fail(1, &error),
        Ok(Some(true)) => {
            say(&format!("The programs are those that the controller hands out (version {version})."));
            return ExitCode::SUCCESS;
        }
        Ok(_) => {}
    }
    let from = installed.map_or_else(|| "none".to_owned(), |build| build.name());
    say(&format!(
        "The controller hands out other programs (version {version}) than those that are installed ({from})."
    ));
    if arguments.check {
        return ExitCode::SUCCESS;
    }
    let folder = layout.library().join(format!(".incoming.{}", std::process::id()));
    let code = match fetch(&offer, &folder).await {
        Ok(()) => install(&folder, &state),
        Err(error) => fail(1, &error),
    };
    if let Err(error) = std::fs::remove_dir_all(&folder)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!("{} could not be removed: {error}", folder.display());
    }
    code
}

async fn fetch(offer: &Offer, folder: &Path) -> Result<(), UpgradeError> {
    if let Some(library) = folder.parent() {
        std::fs::create_dir_all(library)
            .map_err(|source| UpgradeError::Io { path: library.to_owned(), source })?;
    }
    offer.fetch(folder).await
}

/// The new agent knows best what its units are. That it begins at all shows that it runs on this system.
fn install(folder: &Path, state: &muster_agent::StateDir) -> ExitCode {
    let program = folder.join("muster-agent");
    let status = Command::new(&program)
        .arg("install")
        .arg("--state-dir")
        .arg(state.root())
        .stdin(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(source) => fail(1, &UpgradeError::Io { path: program, source }),
    }
}

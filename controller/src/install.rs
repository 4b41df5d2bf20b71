//! How the agent comes onto a host: the programs that this controller hands out, the script that installs them, and the
//! line that a person pastes.
//!
//! Everything is served by the listener for agents, to whoever asks: nothing of it is secret. That listener is the one
//! which hosts can reach by definition, and its certificate always is of the fleet CA, so one chain of trust is enough:
//! the join token names the root by its SHA-256; the pasted line fetches the root, compares, and verifies everything else
//! with it. See `docs/design/0007-how-the-agent-gets-onto-a-host.md`.
//! Must not: know the database. Start here: [`Install`].

mod command;
mod elf;
mod programs;
mod serve;

pub use command::{Offer, Unusable, offer};
pub use programs::{Architecture, Catalogue, NotServable, PROGRAMS, Program, Programs};
pub(crate) use serve::{Cut, DOWNLOADS_AT_ONCE_EACH, Share, router};

use muster_app::App;
use muster_proto::signing;
use std::{path::PathBuf, sync::Arc};

/// What the listeners share of this. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Install {
    programs: Arc<Programs>,
}

impl Install {
    /// Hands out the programs that lie in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self { programs: Arc::new(Programs::new(folder)) }
    }

    /// What there is to hand out at this moment.
    pub async fn catalogue(&self) -> Result<Arc<Catalogue>, NotServable> {
        let programs = Arc::clone(&self.programs);
        match tokio::task::spawn_blocking(move || programs.catalogue()).await {
            Ok(found) => found,
            Err(error) => Err(NotServable::interrupted(&self.programs, &error)),
        }
    }
}

/// The signature over a manifest, by the key that assignments are signed with: an upgrade takes no program from somebody
/// who merely holds the listener's certificate.
fn signature(app: &App, manifest: &str) -> Vec<u8> {
    app.identity().signer.sign(&signing::programs_statement(manifest.as_bytes()))
}

//! The first administrator: made once, when there is no user at all.

use anyhow::Context as _;
use muster_app::App;
use muster_identity::passwords;
use secrecy::{ExposeSecret as _, SecretString};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// The name of the first user.
const ADMIN: &str = "admin";

/// Makes the first administrator if there is no user. With a file, the password is read from it, or written to it; without
/// one it is printed, once, to where the person who started the controller looks.
pub(super) async fn ensure(app: &App, file: Option<&Path>) -> anyhow::Result<()> {
    let (password, made) = match file {
        Some(path) => password_in(path)?,
        None => (SecretString::from(passwords::generate().to_string()), true),
    };
    let created = app
        .user_create_first(ADMIN, password.clone())
        .await
        .context("the first administrator could not be made")?;
    match (created, file) {
        (false, Some(path)) if made => {
            fs::remove_file(path).with_context(|| format!("{} cannot be removed", path.display()))?;
            tracing::warn!(file = %path.display(), "there are users already, so no password was written");
        }
        (false, _) => {}
        (true, Some(path)) => {
            tracing::info!(user = ADMIN, file = %path.display(), "the first administrator was made; the password is in the file")
        }
        (true, None) => {
            // Not through the log, which is kept and shipped.
            let mut out = io::stderr().lock();
            writeln!(
                out,
                "\n  The first administrator was made. This is shown once:\n\n    user      {ADMIN}\n    password  {}\n",
                password.expose_secret()
            )?;
        }
    }
    Ok(())
}

/// Reads the password, or makes one and writes it. Answers whether it was made.
fn password_in(path: &Path) -> anyhow::Result<(SecretString, bool)> {
    match fs::read_to_string(path) {
        Ok(text) => Ok((SecretString::from(text.trim_end_matches(['\n', '\r']).to_owned()), false)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let password = passwords::generate();
            let write = || -> io::Result<()> {
                let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
                writeln!(file, "{}", password.as_str())?;
                file.sync_all()
            };
            write().with_context(|| format!("the password file {} cannot be written", path.display()))?;
            Ok((SecretString::from(password.to_string()), true))
        }
        Err(error) => {
            Err(error).with_context(|| format!("the password file {} cannot be read", path.display()))
        }
    }
}

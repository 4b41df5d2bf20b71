//! The little SQL a launcher needs, spoken through the installation's own `psql`.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::ROLE;
use crate::binaries::Installation;
use crate::cluster::one_line;
use crate::error::PostgresError;

/// Runs statements as the private server's role.
pub(crate) struct Client {
    psql: PathBuf,
    socket_dir: PathBuf,
}

impl Client {
    pub(crate) fn new(installation: &Installation, socket_dir: &Path) -> Self {
        Self { psql: installation.program("psql"), socket_dir: socket_dir.to_owned() }
    }

    /// Answers whether the database had to be made.
    pub(crate) fn create_database(&self, name: &str) -> Result<bool, PostgresError> {
        let known = self.run(&format!("SELECT 1 FROM pg_database WHERE datname = {}", literal(name)))?;
        if known.trim() == "1" {
            return Ok(false);
        }
        self.run(&format!("CREATE DATABASE {}", identifier(name)))?;
        Ok(true)
    }

    pub(crate) fn drop_database(&self, name: &str) -> Result<(), PostgresError> {
        self.run(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", identifier(name))).map(drop)
    }

    fn run(&self, statement: &str) -> Result<String, PostgresError> {
        let output = Command::new(&self.psql)
            .args(["--no-psqlrc", "--no-password", "--quiet", "--tuples-only", "--no-align"])
            .args(["--variable", "ON_ERROR_STOP=1", "--username", ROLE, "--dbname", "postgres"])
            .arg("--host")
            .arg(&self.socket_dir)
            .args(["--command", statement])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("PGOPTIONS", "-c client_min_messages=warning")
            .stdin(Stdio::null())
            .output()
            .map_err(|source| PostgresError::Spawn { program: self.psql.display().to_string(), source })?;
        if !output.status.success() {
            let detail = one_line(&String::from_utf8_lossy(&output.stderr));
            return Err(PostgresError::Tool { program: "psql".into(), detail });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// The URL of a database behind a socket folder. No TLS: there is no wire.
pub(crate) fn url(socket_dir: &Path, database: &str) -> String {
    let host = percent_encoded(socket_dir.as_os_str().as_bytes());
    format!(
        "postgres://{ROLE}@localhost/{}?host={host}&sslmode=disable",
        percent_encoded(database.as_bytes())
    )
}

fn percent_encoded(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, &byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                text.push(byte as char)
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
        text
    })
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_paths_encoded() {
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(
            url(Path::new("/with space/run"), "muster"),
            "postgres://muster@localhost/muster?host=/with%20space/run&sslmode=disable"
        );
    }
}

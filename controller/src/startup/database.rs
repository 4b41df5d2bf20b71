//! The database of the controller: a private Postgres in the data folder, or the one that the operator names.

use crate::startup::options::DataOptions;
use anyhow::{Context as _, bail};
use muster_db::Db;
use muster_postgres::{Config, PrivatePostgres};
use std::time::Duration;
use tokio::time::Instant;

/// How long a database that was named may take to answer at the start: longer than a restart of it.
const REACH_TIMEOUT: Duration = Duration::from_secs(60);

/// A database that is ready, and the server behind it when it is ours.
pub struct Database {
    /// The pool.
    pub db: Db,
    private: Option<PrivatePostgres>,
}

impl Database {
    /// Starts or reaches the database and brings its schema up to date.
    pub async fn open(options: &DataOptions) -> anyhow::Result<Self> {
        let (url, private) = match &options.database_url {
            Some(url) => (url.clone(), None),
            None => {
                let config =
                    Config { bin_dir: options.postgres_bin_dir.clone(), ..Config::new(&options.data_dir) };
                let private =
                    PrivatePostgres::start(config).await.context("the private database did not start")?;
                tracing::info!(major = private.installation().major, log = %private.log_file().display(), "the private database is up");
                (private.url(), Some(private))
            }
        };
        let db = Db::connect_lazy(&url).context("the database URL is not valid")?;
        let opened = Self { db, private };
        if let Err(error) = opened.prepare().await {
            // A server of ours must not outlive a start that failed.
            opened.close().await;
            return Err(error);
        }
        Ok(opened)
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            match self.db.conn().await {
                Ok(_) => break,
                Err(error) if since.elapsed() > REACH_TIMEOUT => {
                    return Err(error).context(
                        "the database cannot be reached: check --database-url and that the server runs",
                    );
                }
                Err(error) if error.unavailable() => {
                    tracing::warn!(
                        error = crate::background::chain(&error),
                        "the database cannot be reached yet"
                    );
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Err(error) => return Err(error).context("the database refuses the controller"),
            }
        }
        match self.db.migrate().await {
            Ok(()) => Ok(()),
            Err(error) => bail!(
                "the schema could not be brought up to date: {}\n\
                 hint: a newer controller may have used this database; this one must not",
                crate::background::chain(&error)
            ),
        }
    }

    /// Closes the pool, then stops the private server.
    pub async fn close(self) {
        self.db.close().await;
        if let Some(private) = self.private
            && let Err(error) = private.stop().await
        {
            tracing::error!(
                error = crate::background::chain(&error),
                "the private database did not stop cleanly"
            );
        }
    }
}

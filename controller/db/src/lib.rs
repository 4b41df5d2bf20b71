//! All SQL of the controller: one module per aggregate, concrete functions on [`Conn`].
//!
//! Must not: decide anything; begin or commit a transaction by itself (the caller holds the [`Tx`]); read a clock.
//! Start here: [`Db`], then the module of the aggregate.

pub mod applications;
pub mod artifacts;
pub mod assignments;
pub mod audit;
pub mod enrolments;
pub mod events;
pub mod fleet_configurations;
pub mod metrics;
pub mod mode_overrides;
pub mod nodes;
pub mod process_events;
pub mod processes;
pub mod reboot_requests;
pub mod releases;
pub mod reports;
pub mod resources;
pub mod rollouts;
pub mod secrets;
pub mod sessions;
pub mod tokens;
pub mod turns;
pub mod users;

mod decode;
mod error;

pub use error::DbError;

use sqlx::{
    PgPool, Postgres, Transaction,
    migrate::{MigrateError, Migrator},
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{str::FromStr, time::Duration};

/// What every function of this crate runs on: a pooled connection or a transaction.
pub type Conn = sqlx::PgConnection;

/// A transaction; rolled back unless committed.
pub type Tx = Transaction<'static, Postgres>;

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// The pool.
#[derive(Debug, Clone)]
pub struct Db {
    pool: PgPool,
}

/// Connections to Postgres. A controller on two processors gains nothing from more; a private Postgres allows 60.
const MAX_CONNECTIONS: u32 = 16;

/// How long a request waits for a connection before it is told that the database cannot be reached.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

impl Db {
    /// Makes a pool; the first connection is opened when it is needed.
    pub fn connect_lazy(url: &str) -> Result<Self, DbError> {
        let options = PgConnectOptions::from_str(url)?.application_name("muster-controller");
        Ok(Self {
            pool: PgPoolOptions::new()
                .max_connections(MAX_CONNECTIONS)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .connect_lazy_with(options),
        })
    }

    /// Wraps a pool that a test made.
    pub fn from_pool(pool: PgPool) -> Self {
        Self { pool }
    }

    /// The pool, for LISTEN and for health checks.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Brings the schema up to date. sqlx takes an advisory lock, so controllers that start together wait for each other.
    pub async fn migrate(&self) -> Result<(), MigrateError> {
        MIGRATIONS.run(&self.pool).await
    }

    /// A connection for reads.
    pub async fn conn(&self) -> Result<PoolConnection<Postgres>, DbError> {
        Ok(self.pool.acquire().await?)
    }

    /// A transaction.
    pub async fn begin(&self) -> Result<Tx, DbError> {
        Ok(self.pool.begin().await?)
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// A digest from a column.
pub(crate) fn digest(
    table: &'static str,
    column: &'static str,
    bytes: &[u8],
) -> Result<muster_domain::Digest, DbError> {
    <[u8; 32]>::try_from(bytes)
        .map(muster_domain::Digest::from_bytes)
        .map_err(|_| DbError::corrupt(table, column, "a digest has 32 bytes"))
}

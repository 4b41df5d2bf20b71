//! What can go wrong between the controller and Postgres.

/// An error of this room. A look-up that finds nothing is `None`, not an error.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// Postgres cannot be reached, or refused for a reason of its own.
    #[error("the database did not answer as expected")]
    Driver(#[source] sqlx::Error),
    /// A constraint of the schema was violated; its name says which rule.
    #[error("the constraint {0} does not allow this")]
    Constraint(String),
    /// The row changed since it was read.
    #[error("{0} was changed by somebody else at the same time")]
    Stale(&'static str),
    /// A stored value that no version of this program writes.
    #[error("table {table}, column {column} holds a value that is not valid: {reason}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl DbError {
    /// A stored value that does not decode.
    pub fn corrupt(table: &'static str, column: &'static str, reason: impl ToString) -> Self {
        Self::Corrupt { table, column, reason: reason.to_string() }
    }

    /// The violated constraint, if that is what it was.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Constraint(name) => Some(name),
            Self::Driver(_) | Self::Stale(_) | Self::Corrupt { .. } => None,
        }
    }

    /// A text holds what no column can: a NUL, which came from outside.
    pub fn unwritable_text(&self) -> bool {
        let Self::Driver(sqlx::Error::Database(error)) = self else { return false };
        error.code().as_deref() == Some("22021")
    }

    /// The database could not be reached: trying again later may help.
    pub fn unavailable(&self) -> bool {
        match self {
            Self::Driver(error) => match error {
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
                | sqlx::Error::Protocol(_) => true,
                // Class 57: operator intervention (shutdown, crash recovery). Class 08: connection. 53: resources.
                // 40: rolled back because of another transaction (a deadlock), which the next try does not meet.
                sqlx::Error::Database(e) => e
                    .code()
                    .is_some_and(|code| ["57", "08", "53", "40"].iter().any(|class| code.starts_with(class))),
                _ => false,
            },
            Self::Constraint(_) | Self::Stale(_) | Self::Corrupt { .. } => false,
        }
    }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|e| e.constraint()) {
            Some(name) => Self::Constraint(name.to_owned()),
            None => Self::Driver(error),
        }
    }
}

//! Coming from pm2.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Pm2 {
    /// Print what becomes of pm2's applications: every difference, and the part of a fleet file
    ///
    /// Needs no controller and changes nothing. Differences go to standard error, the part of a fleet file to standard
    /// output. Values that look like secrets are not printed: the fleet file names them, `muster secret set` takes them.
    ///
    /// A configuration in JavaScript is code, and is run with the Node.js on PATH, as pm2 would run it.
    Import {
        /// An ecosystem file or a dump.pm2, or a folder with one; default: ecosystem.config.{js,cjs,mjs,json,yaml,yml}
        /// here, else pm2's list of processes ($PM2_HOME/dump.pm2, as `pm2 save` writes it)
        file: Option<PathBuf>,
        /// Take this section env_NAME as pm2 does; default: every section becomes an override of an environment
        #[arg(long, value_name = "NAME")]
        env: Option<String>,
    },
}

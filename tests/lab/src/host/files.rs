//! What a lab keeps on disk about a host.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::place;

/// What a host is, for whoever boots it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) address: Ipv4Addr,
    pub(crate) hostname: String,
    /// What its root lies upon, the uppermost first.
    pub(crate) layers: Vec<PathBuf>,
    pub(crate) size: Option<String>,
    /// `from:to`
    pub(crate) binds: Vec<String>,
    pub(crate) v1: bool,
}

/// Where that is, and what else there is in the folder of a host.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    dir: PathBuf,
    images: PathBuf,
}

impl Files {
    pub(crate) fn new(lab: &Path, host: &str) -> Self {
        Self { dir: lab.join("hosts").join(host), images: lab.join("images") }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The images of its lab.
    pub(crate) fn images(&self) -> &Path {
        &self.images
    }

    pub(crate) fn record(&self) -> PathBuf {
        self.dir.join("host.json")
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    pub(crate) fn console(&self) -> PathBuf {
        self.dir.join("console.log")
    }

    /// Which process is its power supply.
    pub(crate) fn power(&self) -> PathBuf {
        self.dir.join("power.json")
    }

    /// Which process is its container.
    pub(crate) fn nspawn(&self) -> PathBuf {
        self.dir.join("nspawn.json")
    }

    /// How often it was booted.
    pub(crate) fn boots(&self) -> PathBuf {
        self.dir.join("boots.json")
    }

    pub(crate) fn count_of_boots(&self) -> Result<u64> {
        Ok(place::read(&self.boots())?.unwrap_or(0))
    }

    /// There while its cable is pulled.
    pub(crate) fn cut(&self) -> PathBuf {
        self.dir.join("cut")
    }

    /// There while it is not to boot again.
    pub(crate) fn halt(&self) -> PathBuf {
        self.dir.join("halt")
    }
}

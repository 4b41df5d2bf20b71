//! What a new host is to be, and making it.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::{Files, Host, Record};
use crate::lab::{Image, Lab};
use crate::{cgroups, network, place};

/// What a new host is to be.
#[must_use]
pub struct HostBuilder<'lab> {
    lab: &'lab Lab,
    name: String,
    hostname: Option<String>,
    image: Option<Image>,
    size: Option<String>,
    binds: Vec<String>,
    v1: bool,
}

impl<'lab> HostBuilder<'lab> {
    pub(crate) fn new(lab: &'lab Lab, name: &str) -> Self {
        let (name, hostname, image, size) = (name.to_owned(), None, None, None);
        Self { lab, name, hostname, image, size, binds: Vec::new(), v1: false }
    }

    /// Another hostname than its name in the lab.
    pub fn hostname(mut self, hostname: &str) -> Self {
        self.hostname = Some(hostname.to_owned());
        self
    }

    /// Begins as a copy of what was saved.
    pub fn image(mut self, image: &Image) -> Self {
        self.image = Some(image.clone());
        self
    }

    /// A disk of this size (`500M`, `2G`): `df` shows it, and it can be full.
    pub fn disk(mut self, size: &str) -> Self {
        self.size = Some(size.to_owned());
        self
    }

    /// A folder or file of the machine, seen in the host at this path.
    pub fn bind(mut self, from: &Path, to: &str) -> Self {
        self.binds.push(format!("{}:{to}", from.display()));
        self
    }

    /// cgroup v1 inside, with the controllers of the machine: limits of units are enforced.
    pub fn v1(mut self) -> Self {
        self.v1 = true;
        self
    }

    /// Makes the host and boots it.
    pub fn up(self) -> Result<Host> {
        place::check_name(&self.name)?;
        if self.v1 {
            cgroups::check_v1()?;
        }
        let lab = self.lab;
        let host = self.register()?;
        let booted = host.identify(lab).and_then(|()| host.start());
        if let Err(error) = booted {
            let console = host.console();
            host.down().context("cannot remove a host that did not come up")?;
            return Err(error.context(format!("the console said: {console}")));
        }
        Ok(host)
    }

    fn register(self) -> Result<Host> {
        // One at a time: they choose addresses.
        let _one = place::lock(&format!("hosts-{}", self.lab.slot()))?;
        let files = Files::new(self.lab.dir(), &self.name);
        if files.record().exists() {
            bail!("there is a host `{}` already", self.name);
        }
        let taken: Vec<Ipv4Addr> = self.lab.hosts()?.iter().map(Host::address).collect();
        let free =
            (11..=254).map(|last| network::address(self.lab.slot(), last)).find(|one| !taken.contains(one));
        let mut layers = vec![self.lab.base().root()];
        layers.splice(0..0, self.image.map(|image| image.layer));
        let record = Record {
            address: free.context("the lab has no free address")?,
            hostname: self.hostname.unwrap_or_else(|| self.name.clone()),
            layers,
            size: self.size,
            binds: self.binds,
            v1: self.v1,
        };
        let dir = files.dir();
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        place::write(&files.record(), &record)?;
        Ok(Host { slot: self.lab.slot(), name: self.name, files, record })
    }
}

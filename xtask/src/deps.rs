//! What the chores need from the distribution, installed when it is missing.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::shell::{Program, installed, note, step};
use crate::{node, repo};

/// Something that has to be on the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    /// The server binaries, for the controller's private database and the tests.
    Postgres,
    /// `curl` and `wget`, with either of which a host gets its agent.
    Fetchers,
    /// Node.js and npm, for the dashboard and for the applications that are run.
    Node,
    /// A C compiler, for the crates that build C.
    Compiler,
    /// A browser, for the tests of the dashboard.
    Browser,
    /// `setpriv` and `setsid`.
    UtilLinux,
    /// `wrk`, for the benchmarks only.
    LoadGenerator,
    /// What throw-away hosts are made with, for the lab only.
    Lab,
}

/// The programs of the lab. It is a crate of its own, which knows them as well (`tests/lab/src/machine.rs`).
const LAB: [&str; 6] = ["systemd-nspawn", "mmdebstrap", "ip", "nft", "ssh-keygen", "mkfs.ext4"];
const LAB_PACKAGES: [&str; 6] =
    ["systemd-container", "mmdebstrap", "iproute2", "nftables", "openssh-client", "e2fsprogs"];

const ALL: [Need; 6] =
    [Need::Postgres, Need::Fetchers, Need::Node, Need::Compiler, Need::Browser, Need::UtilLinux];

impl Need {
    fn present(self) -> bool {
        match self {
            Self::Postgres => server_installed(),
            Self::Fetchers => installed("curl") && installed("wget"),
            Self::Node => node::present(),
            Self::Compiler => installed("cc"),
            Self::Browser => installed("chromium") || installed("chromium-browser"),
            Self::LoadGenerator => installed("wrk"),
            Self::UtilLinux => installed("setpriv") && installed("setsid"),
            Self::Lab => LAB.iter().all(|program| installed(program)),
        }
    }

    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &["postgresql"],
            Self::Fetchers => &["curl", "wget"],
            Self::Node => &["nodejs", "npm"],
            Self::Compiler => &["gcc", "libc6-dev"],
            Self::Browser => &["chromium"],
            Self::LoadGenerator => &["wrk"],
            Self::UtilLinux => &["util-linux"],
            Self::Lab => &LAB_PACKAGES,
        }
    }

    fn why(self) -> &'static str {
        match self {
            Self::Postgres => "the controller keeps its data in PostgreSQL",
            Self::Fetchers => "hosts get their agent with either",
            Self::Node => "the dashboard is built with it and applications run on it",
            Self::Compiler => "some crates build C",
            Self::Browser => "the dashboard is tested in it",
            Self::LoadGenerator => "the benchmarks put load on servers with it",
            Self::UtilLinux => "servers are started in sessions of their own and stop with their parent",
            Self::Lab => "the lab makes throw-away hosts with them",
        }
    }
}

/// `cargo xtask deps`
pub(crate) fn run() -> Result<()> {
    ensure(&ALL)?;
    node::tested()?;
    note("everything is installed");
    Ok(())
}

/// Installs what is missing of these.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let missing: Vec<Need> = needs.iter().copied().filter(|need| !need.present()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.packages()).copied().collect();
    step(&format!("installing {}", packages.join(", ")));
    for need in &missing {
        note(&format!("{}: {}", need.packages().join(", "), need.why()));
    }
    if !installed("apt-get") {
        bail!("there is no apt-get here; please install the packages named above yourself");
    }
    apt(&["update"])?;
    apt(&[&["install", "--yes", "--no-install-recommends"], packages.as_slice()].concat())?;
    for need in missing {
        if !need.present() {
            bail!("{} is still missing after the installation of {}", need.why(), need.packages().join(", "));
        }
    }
    Ok(())
}

/// Two tries: one lock of apt is not covered by its own waiting.
fn apt(args: &[&str]) -> Result<()> {
    let once = || {
        let program = if repo::is_root()? {
            Program::new("apt-get")
        } else {
            // Not asking for a password: a chore without a terminal would hang.
            Program::new("sudo").args(["--non-interactive", "DEBIAN_FRONTEND=noninteractive", "apt-get"])
        };
        program
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"])
            .args(["-o", "Dpkg::Options::=--force-confold"])
            .args(args)
            .run()
    };
    if let Err(error) = once() {
        note(&format!("{error:#}; trying once more"));
        std::thread::sleep(std::time::Duration::from_secs(10));
        return once().context("cannot install; `sudo cargo xtask deps` may help");
    }
    Ok(())
}

fn server_installed() -> bool {
    let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") else { return installed("postgres") };
    versions.flatten().any(|version| Path::new(&version.path()).join("bin/postgres").is_file())
}

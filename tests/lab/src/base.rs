//! The base of all hosts: a small Debian like what a provider installs, built once per machine.
//!
//! It is addressed by a digest of its recipe, so that a changed recipe builds another one. Layers that were prepared
//! above it (hosts with packages that many tests want) are kept beside it and go with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::command::{attempt, check, run};
use crate::disk::remove_tree;
use crate::{machine, place};

/// Raised when something below changes that the recipe does not show.
const VERSION: u32 = 1;
/// What a provider's minimal image has, and `nftables` and `cron` beside it.
const PACKAGES: [&str; 17] = [
    "systemd",
    "systemd-sysv",
    "libpam-systemd",
    "dbus",
    "iproute2",
    "iputils-ping",
    "ca-certificates",
    "curl",
    "procps",
    "netbase",
    "cron",
    "logrotate",
    "sudo",
    "nftables",
    "openssh-server",
    "less",
    "adduser",
];
/// Would look for terminals that a container has not.
const MASKED: [&str; 2] = ["console-getty.service", "getty.target"];
/// Would hold the lock of dpkg whenever they like. Not masked: hosts can enable them.
const DISABLED: [&str; 2] = ["apt-daily.timer", "apt-daily-upgrade.timer"];
/// Settings of apt that hosts take over from the machine: what concerns the way to the archives.
const APT_SETTINGS: [&str; 5] = [
    "Acquire::Check-Valid-Until",
    "Acquire::Check-Date",
    "Acquire::Retries",
    "Acquire::http::Proxy",
    "Acquire::https::Proxy",
];
/// Certificates that the machine trusts beside the distribution's.
const CERTIFICATES: &str = "/usr/local/share/ca-certificates";
/// Memory is twice as fast as a disk here: dpkg waits for each file.
const FAST: &str = "/dev/shm";
/// Bases that nobody used for so long are removed when another one is built.
const UNUSED: Duration = Duration::from_secs(14 * 24 * 3600);

/// A base that is built.
#[derive(Clone, Debug)]
pub struct Base {
    dir: PathBuf,
}

impl Base {
    /// The base of this machine, built when there is none; `fresh` builds it in any case. Says on standard error what it
    /// does when that takes long.
    pub fn ensure(fresh: bool) -> Result<Self> {
        machine::check()?;
        let recipe = Recipe::of_machine()?;
        let name = recipe.digest();
        let base = Self { dir: place::bases().join(&name) };
        let _one = place::lock(&format!("base-{name}"))?;
        if fresh && base.recipe().exists() {
            base.refuse_in_use()?;
            remove_tree(&base.dir)?;
        }
        if !base.recipe().exists() {
            remove_tree(&base.dir)?;
            eprintln!("building the base of lab hosts, once per machine: {}", base.dir.display());
            recipe.build(&base)?;
            remove_unused(&base)?;
        }
        // Shows when it was used last.
        let used = fs::File::options().append(true).open(base.recipe());
        used.and_then(|file| file.set_modified(SystemTime::now()))
            .context("cannot touch the base's recipe")?;
        Ok(base)
    }

    /// Its folder of files.
    pub fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// Where a layer above it is kept.
    pub(crate) fn layer(&self, name: &str) -> PathBuf {
        self.dir.join("layers").join(name)
    }

    /// Written last, so that a base without it is half-built.
    fn recipe(&self) -> PathBuf {
        self.dir.join("recipe")
    }

    fn refuse_in_use(&self) -> Result<()> {
        if !attempt("sh", ["-c", "! grep -qF -- \"$1\" /proc/mounts", "sh", &self.root().to_string_lossy()]) {
            bail!("{} is in use: destroy the hosts first (`cargo xtask lab list`)", self.dir.display());
        }
        Ok(())
    }
}

/// A digest for the name of a folder.
pub(crate) fn short_digest(text: &str) -> String {
    Sha256::digest(text.as_bytes())[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What decides the content of a base.
struct Recipe {
    suite: String,
    sources: PathBuf,
    sources_text: String,
    settings: Vec<String>,
    certificates: Vec<(PathBuf, String)>,
}

impl Recipe {
    /// A base with the release, the archives and the certificates of this machine.
    fn of_machine() -> Result<Self> {
        let suite = run("sh", ["-c", ". /etc/os-release && printf %s \"$VERSION_CODENAME\""])?;
        let candidates = ["sources.list.d/debian.sources", "sources.list.d/ubuntu.sources", "sources.list"];
        let mut present =
            candidates.iter().map(|name| Path::new("/etc/apt").join(name)).filter(|path| path.exists());
        let sources = present.next().context("apt has no sources on this machine")?;
        let sources_text = read(&sources)?;
        let dump = run("apt-config", ["dump", "--format", "%f \"%v\"%n"])?;
        let wanted = |line: &&str| {
            APT_SETTINGS.iter().any(|name| line.starts_with(&format!("{name} "))) && !line.ends_with("\"\"")
        };
        let settings = dump.lines().filter(wanted).map(str::to_owned).collect();
        let certificates =
            place::names(CERTIFICATES.as_ref()).into_iter().filter(|name| name.ends_with(".crt"));
        let certificates = certificates.map(|name| Path::new(CERTIFICATES).join(name));
        let certificates =
            certificates.map(|path| Ok((path.clone(), read(&path)?))).collect::<Result<_>>()?;
        Ok(Self { suite, sources, sources_text, settings, certificates })
    }

    fn text(&self) -> String {
        let certificates: Vec<&str> = self.certificates.iter().map(|(_, text)| text.as_str()).collect();
        format!(
            "version {VERSION}\nsuite {}\npackages {}\nmasked {}\ndisabled {}\nsettings {}\n{}\n{}\n",
            self.suite,
            PACKAGES.join(" "),
            MASKED.join(" "),
            DISABLED.join(" "),
            self.settings.join("; "),
            self.sources_text,
            certificates.join("\n"),
        )
    }

    fn digest(&self) -> String {
        short_digest(&self.text())
    }

    fn build(&self, base: &Base) -> Result<()> {
        fs::create_dir_all(&base.dir).with_context(|| format!("cannot create {}", base.dir.display()))?;
        let fast = Path::new(FAST);
        let place = if fast.is_dir() && free_mebibytes(fast)? > 1024 { fast } else { base.dir.as_path() };
        let tree = place.join(format!("muster-lab-base-{}", std::process::id()));
        let built = self.make(&tree).and_then(|()| {
            run("cp", ["--archive".as_ref(), tree.as_os_str(), base.root().as_os_str()])?;
            // As a whole folder it belongs to root alone until here.
            run("chmod", ["755".as_ref(), base.root().as_os_str()])?;
            let recipe = base.recipe();
            fs::write(&recipe, self.text()).with_context(|| format!("cannot write {}", recipe.display()))
        });
        remove_tree(&tree)?;
        built
    }

    fn make(&self, tree: &Path) -> Result<()> {
        let mut command = std::process::Command::new("mmdebstrap");
        command.args(["--variant=minbase", "--dpkgopt=force-unsafe-io"]);
        command.arg(format!("--include={}", PACKAGES.join(",")));
        command.args(self.settings.iter().map(|setting| format!("--aptopt={setting}")));
        command.arg(&self.suite).arg(tree).arg(&self.sources);
        check(command).context("cannot build the base")?;
        // What differs from host to host is written when one is made.
        for name in ["etc/hostname", "etc/resolv.conf", "var/lib/dbus/machine-id"] {
            place::remove(&tree.join(name))?;
        }
        let machine_id = tree.join("etc/machine-id");
        fs::write(&machine_id, "").with_context(|| format!("cannot write {}", machine_id.display()))?;
        for name in place::names(&tree.join("etc/ssh")) {
            if name.starts_with("ssh_host_") {
                place::remove(&tree.join("etc/ssh").join(name))?;
            }
        }
        let root = tree.to_string_lossy();
        if !self.certificates.is_empty() {
            for (path, _) in &self.certificates {
                run(
                    "cp",
                    [
                        "--target-directory".as_ref(),
                        tree.join(&CERTIFICATES[1..]).as_os_str(),
                        path.as_os_str(),
                    ],
                )?;
            }
            run("chroot", [&*root, "update-ca-certificates"])?;
        }
        let systemctl = |verb: &str, units: &[&str]| {
            let root = format!("--root={root}");
            run("systemctl", [&["--quiet", &root, verb], units].concat()).map(drop)
        };
        systemctl("mask", &MASKED)?;
        systemctl("disable", &DISABLED)
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn free_mebibytes(dir: &Path) -> Result<u64> {
    let found = rustix::fs::statvfs(dir).with_context(|| format!("cannot inspect {}", dir.display()))?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize) / (1 << 20))
}

/// Removes bases of other recipes that were not used for long, and what became of interrupted builds.
fn remove_unused(current: &Base) -> Result<()> {
    for name in place::names(&place::bases()) {
        let other = Base { dir: place::bases().join(&name) };
        let used =
            other.recipe().metadata().or_else(|_| other.dir.metadata()).and_then(|found| found.modified());
        let old = used.is_ok_and(|used| used.elapsed().is_ok_and(|since| since > UNUSED));
        if other.dir != current.dir && old && other.refuse_in_use().is_ok() {
            remove_tree(&other.dir)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_in_the_recipe_makes_another_base() {
        let recipe = |suite: &str, settings: &[&str], certificate: &str| {
            Recipe {
                suite: suite.into(),
                sources: "/etc/apt/sources.list".into(),
                sources_text: "deb http://mirror.invalid stable main".into(),
                settings: settings.iter().map(|text| (*text).to_owned()).collect(),
                certificates: vec![("/a.crt".into(), certificate.into())],
            }
            .digest()
        };
        let first = recipe("stable", &["A \"1\""], "x");
        assert_eq!(first, recipe("stable", &["A \"1\""], "x"));
        assert_eq!(first.len(), 16);
        for other in [
            recipe("testing", &["A \"1\""], "x"),
            recipe("stable", &[], "x"),
            recipe("stable", &["A \"1\""], "y"),
        ] {
            assert_ne!(first, other);
        }
    }
}

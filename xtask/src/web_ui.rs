//! The dashboard: installs its packages, builds it into `web-ui/dist`. Does nothing when nothing changed.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::node::Node;
use crate::repo;
use crate::shell::note;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Build although nothing changed
    #[arg(long)]
    force: bool,
}

/// `cargo xtask web-ui`
pub(crate) fn run(options: &Options) -> Result<()> {
    build(&Node::ensure()?, options.force)
}

/// The folder of the dashboard.
pub(crate) fn dir() -> PathBuf {
    repo::root().join("web-ui")
}

/// Installs the locked packages unless they are there.
pub(crate) fn install(node: &Node) -> Result<()> {
    let dir = dir();
    let wanted = digest(&["package.json".into(), "package-lock.json".into()])?;
    // Inside the folder, so that it goes when the packages go.
    let stamp = dir.join("node_modules/.muster-stamp");
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    node.npm(&dir, &["ci", "--no-audit", "--no-fund"]).run()?;
    std::fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
}

/// Builds unless the sources are those of the last build.
pub(crate) fn build(node: &Node, force: bool) -> Result<()> {
    let dir = dir();
    let wanted = digest(&sources()?)?;
    let stamp = repo::target().join("web-ui.stamp");
    let built = dir.join("dist/index.html");
    if !force && built.is_file() && std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        note("web-ui/dist is up to date");
        return Ok(());
    }
    install(node)?;
    node.npm(&dir, &["run", "build"]).run()?;
    if !built.is_file() {
        bail!("the build left no {}", built.display());
    }
    repo::write_if_changed(&stamp, wanted.as_bytes())?;
    Ok(())
}

/// Whether `package.json` has a script of that name.
pub(crate) fn has_script(name: &str) -> Result<bool> {
    let path = dir().join("package.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let package: serde_json::Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?;
    Ok(package["scripts"][name].is_string())
}

fn sources() -> Result<Vec<PathBuf>> {
    let files =
        repo::files()?.into_iter().filter_map(|file| file.strip_prefix("web-ui").ok().map(Path::to_owned));
    // Tests do not get into the build.
    Ok(files.filter(|file| !file.starts_with("e2e")).collect())
}

fn digest(files: &[PathBuf]) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for file in files {
        let path = dir().join(file);
        file.hash(&mut hasher);
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

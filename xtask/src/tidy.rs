//! `cargo xtask tidy`: rules of the repository that no compiler knows.
//!
//! Start here: each rule is a function that answers its complaints; `run` prints them all.

mod edges;
mod text;

use anyhow::{Result, bail};

use crate::repo;
use crate::shell::{Program, note, step};

#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Accept the present crate edges: write them to xtask/golden/crate-edges.txt
    #[arg(long)]
    write: bool,
}

/// What the rules found.
#[derive(Default)]
pub(crate) struct Findings {
    errors: Vec<String>,
    warnings: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    step("tidy");
    let mut findings = Findings::default();
    edges::check(options.write, &mut findings)?;
    forbidden_crates(&mut findings)?;
    text::check(&mut findings)?;
    for warning in &findings.warnings {
        note(&format!("warning: {warning}"));
    }
    for error in &findings.errors {
        eprintln!("error: {error}");
    }
    if findings.errors.is_empty() {
        return Ok(());
    }
    bail!("tidy found {} problems", findings.errors.len())
}

/// Two crypto providers in one binary make rustls panic at run time unless every call names one, so the second one
/// must not be built at all. It may stay in the lock file, where optional dependencies are listed as well.
fn forbidden_crates(findings: &mut Findings) -> Result<()> {
    for name in ["ring", "openssl-sys"] {
        let (_, tree, _) = Program::cargo()
            .dir(&repo::root())
            .args(["tree", "--quiet", "--workspace", "--edges", "normal,build,dev", "--invert", name])
            .outcome()?;
        if tree.contains(&format!("{name} v")) {
            findings.errors.push(format!("`{name}` is in the build graph:\n{tree}"));
        }
    }
    Ok(())
}

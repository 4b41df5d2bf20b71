//! What a person has to know once the fleet is up.

use std::fmt::Write as _;

use anyhow::Result;

use super::stage::{APPLICATION, ENVIRONMENT, Stage};

/// The text of a demo that is up.
pub(super) fn text(stage: &Stage) -> Result<String> {
    let muster = stage.cli.shown();
    let mut text = format!(
        "\nThe fleet is up.\n\n  dashboard   {}\n  sign in     admin / {}\n\n  application",
        stage.url, stage.password
    );
    for (host, address) in stage.hosts.iter().filter_map(|host| Some((host, host.application?))) {
        write!(text, "  http://{address} ({})", host.name)?;
    }
    let fleet = stage.fleet_dir();
    write!(text, "\n  fleet files {}\n\nThings to try in another terminal:\n\n", fleet.display())?;
    writeln!(text, "  alias muster='{muster}'")?;
    for line in [
        "muster node list".to_owned(),
        "muster ps".to_owned(),
        format!("muster logs {APPLICATION} -f"),
        format!("muster deploy {APPLICATION} --release 2 --environment {ENVIRONMENT} --wait"),
        format!(
            "muster deploy {APPLICATION} --release 3 --environment {ENVIRONMENT} --wait   # broken: watch it return"
        ),
        format!("muster rollback {APPLICATION} --environment {ENVIRONMENT} --wait"),
        format!("muster apply -f {}   # after changing something in there", fleet.display()),
        "muster events".to_owned(),
    ] {
        writeln!(text, "  {line}")?;
    }
    write!(text, "\nCtrl-C stops everything.")?;
    Ok(text)
}

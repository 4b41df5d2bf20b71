//! `muster-agent uninstall`: says in numbers what it will do, asks, and does it.

use super::{Place, REFUSED, fail, say};
use muster_agent::install::InstallError;
use muster_agent::install::layout::Layout;
use muster_agent::install::systemd::Systemctl;
use muster_agent::uninstall::{Applications, Inventory, Uninstaller};
use std::io::{BufRead as _, IsTerminal as _};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Uninstall {
    /// Let the applications run on, under their supervisor.
    #[arg(long, conflicts_with = "remove_applications")]
    keep_applications: bool,
    /// Stop and delete the applications, and everything else of Muster on this host.
    #[arg(long)]
    remove_applications: bool,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(arguments: Uninstall) -> ExitCode {
    if !rustix::process::geteuid().is_root() {
        return fail(1, &InstallError::NotRoot);
    }
    let state = arguments.place.state_dir(false);
    let (layout, units) = (Layout::system(), Systemctl);
    let inventory = Inventory::take(&layout, &state).await;
    if inventory.nothing() {
        say("Nothing of Muster is installed on this host.");
        return ExitCode::SUCCESS;
    }
    let Some(choice) = choice(&arguments, &inventory) else {
        return refuse("applications run on this host: say --keep-applications or --remove-applications");
    };
    for line in inventory.describe(choice) {
        say(&line);
    }
    if !arguments.yes {
        if !std::io::stdin().is_terminal() {
            return refuse("nobody is there to ask: repeat it with --yes");
        }
        if !matches!(ask("Go on? [y/N] ").as_str(), "y" | "yes") {
            return refuse("nothing was changed");
        }
    }
    let uninstaller = Uninstaller { layout: &layout, state: &state, units: &units };
    match uninstaller.uninstall(choice).await {
        Err(error) => fail(1, &error),
        Ok(left) if left.is_empty() => {
            say(&farewell(choice, &inventory));
            ExitCode::SUCCESS
        }
        Ok(left) => {
            for error in &left {
                fail(1, error);
            }
            ExitCode::FAILURE
        }
    }
}

/// What becomes of the applications; `None` when nobody said and nobody can be asked.
fn choice(arguments: &Uninstall, inventory: &Inventory) -> Option<Applications> {
    match (arguments.keep_applications, arguments.remove_applications) {
        (_, true) => Some(Applications::Remove),
        // Nothing to keep: nothing has to stay for it.
        (_, false) if inventory.applications.is_empty() => Some(Applications::Remove),
        (true, false) => Some(Applications::Keep),
        (false, false) if std::io::stdin().is_terminal() => {
            let question = format!(
                "{} applications with {} processes run on this host. Keep them running, or remove them? [keep/remove] ",
                inventory.applications.len(),
                inventory.processes()
            );
            match ask(&question).as_str() {
                "keep" => Some(Applications::Keep),
                "remove" => Some(Applications::Remove),
                _ => None,
            }
        }
        (false, false) => None,
    }
}

#[expect(clippy::print_stderr, reason = "a question to the person who typed the command")]
fn ask(question: &str) -> String {
    eprint!("{question}");
    let mut answer = String::new();
    match std::io::stdin().lock().read_line(&mut answer) {
        Ok(_) => answer.trim().to_ascii_lowercase(),
        Err(_) => String::new(),
    }
}

#[expect(clippy::print_stderr, reason = "one line for the person who typed the command")]
fn refuse(text: &str) -> ExitCode {
    eprintln!("error: {text}");
    ExitCode::from(REFUSED)
}

fn farewell(choice: Applications, inventory: &Inventory) -> String {
    let mut text = match choice {
        Applications::Keep => {
            "The agent is gone; the applications run on. To remove them later: muster-agent uninstall --remove-applications".to_owned()
        }
        Applications::Remove => "Muster is gone from this host.".to_owned(),
    };
    if let Some((name, _)) = &inventory.node {
        text.push_str(&format!(
            "\nThe fleet still knows the node. From where you administer it: muster node revoke {name} && muster node remove {name}"
        ));
    }
    text
}

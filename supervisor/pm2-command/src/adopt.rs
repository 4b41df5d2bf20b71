//! `adopt`: applications move from a running pm2 to us one after the other, each with one reload.

mod held;
mod plan;
mod rpc;
mod sockets;

use std::io::{BufRead, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use muster_pm2::differences;
use muster_supervisor_protocol::{AppSpec, ApplyOutcome, Client, LastExit};
use tokio::time::Instant;

use crate::context::refused;
use crate::{Context, Failure, start};
use plan::{Candidate, Sockets, Way};
use rpc::Rpc;

/// Arguments.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Only these applications
    #[arg(value_name = "name")]
    pub names: Vec<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask before applications are stopped for a moment
    #[arg(short, long)]
    pub yes: bool,
    /// Folder of that pm2; by default ours
    #[arg(long, value_name = "path")]
    pub from: Option<PathBuf>,
}

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// For how long an application is looked at before it is trusted, whatever its `min_uptime` is.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// Runs it.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let from = context.cwd.join(args.from.clone().unwrap_or_else(|| context.home.dir().to_owned()));
    let mut pm2 = Rpc::connect(&from).await.ok_or_else(|| {
        Failure::new(format!("no pm2 runs with the folder {}", from.display()))
            .hint("name its folder with --from PATH; a saved list is brought back by `pm2 resurrect`")
    })?;
    if pm2.uid != rustix::process::geteuid().as_raw() {
        // Ours would run as somebody else than the applications did, with another environment.
        return Err(Failure::new(format!(
            "that pm2 runs as the user {}, and this command does not",
            pm2.uid
        ))
        .hint("run it as that user"));
    }
    let records = pm2.list().await?;
    let (taken, state) = take(pm2.daemon);
    let mut candidates = plan::candidates(&records, &args.names, &state, &context.surroundings())?;
    if candidates.is_empty() {
        context.output.message("pm2 runs no application");
        return Ok(());
    }
    // What can move unnoticed goes first.
    candidates.sort_by_key(|candidate| matches!(candidate.way, Way::StopFirst { .. }));
    tell(context, &candidates, &taken);
    if args.dry_run {
        return Ok(());
    }
    if !args.yes && candidates.iter().any(|candidate| matches!(candidate.way, Way::StopFirst { .. })) {
        ask()?;
    }
    let mut failed = Vec::new();
    for candidate in &candidates {
        match adopt(context, &mut pm2, candidate, &taken).await {
            Ok(()) => context.output.message(format!("{} moved", candidate.app.name)),
            Err(failure) => {
                context.output.error(format!("{} stays with pm2: {failure}", candidate.app.name));
                failed.push(candidate.app.name.clone());
            }
        }
    }
    if failed.len() < candidates.len() {
        crate::saved_list::save(context).await?;
    }
    let left = pm2.list().await?.len();
    if left == 0 {
        context.output.message("pm2 has nothing left. End it with its own `pm2 kill`, and its startup script with its own `pm2 unstartup`; then `muster-supervisor pm2 startup` sets up ours");
    } else {
        context.output.message(format!("pm2 still runs {left} process{}", if left == 1 { "" } else { "es" }));
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::new(format!("not moved: {}", failed.join(", ")))) }
}

/// Copies of the sockets the daemon listens on.
fn take(daemon: u32) -> (Vec<OwnedFd>, Sockets) {
    match sockets::take(daemon) {
        Ok(taken) => (taken, Sockets::Taken),
        Err(errno) => {
            let why = format!(
                "the kernel does not let this user take the sockets pm2 listens on ({errno}); where Yama is the reason, `sudo sysctl kernel.yama.ptrace_scope=0` allows it meanwhile"
            );
            (Vec::new(), Sockets::Denied(why))
        }
    }
}

fn tell(context: &Context, candidates: &[Candidate], taken: &[OwnedFd]) {
    let out = &context.output;
    let shared = sockets::addresses(taken).join(", ");
    for candidate in candidates {
        let count = candidate.ids.len();
        let s = if count == 1 { "" } else { "s" };
        let how = match &candidate.way {
            Way::StartFirst if shared.is_empty() => "start first, then pm2's end".to_owned(),
            Way::StartFirst => format!("start first on pm2's own sockets ({shared}), then pm2's end"),
            Way::StopFirst { because } => format!("STOP FIRST, so requests fail for a moment: {because}"),
            Way::Stopped => "stopped, and stays so".to_owned(),
        };
        out.line(format!("{} ({count} instance{s}): {how}", out.style.bold(&candidate.app.name)));
    }
    let apps: Vec<_> = candidates.iter().map(|candidate| candidate.app.clone()).collect();
    out.line("\nWhat is different here:");
    for candidate in candidates.iter().filter(|candidate| !candidate.app.shell_variables.is_empty()) {
        out.line(format!(
            "- {}: pm2 keeps variables of the shell that once started it ({}); here they are those of this shell",
            candidate.app.name,
            candidate.app.shell_variables.join(", "),
        ));
    }
    // Most differences are about fleet files, which are no matter here.
    for found in differences(&apps).into_iter().filter(|found| TRUE_HERE.contains(&found.field.as_str())) {
        let app = found.app.map(|app| format!("{app}: ")).unwrap_or_default();
        out.line(format!("- {app}{}: pm2: {}; here: {}", found.field, found.pm2, found.muster));
    }
    out.line("");
}

/// Differences between pm2 and a fleet that are as well between pm2 and this command.
const TRUE_HERE: [&str; 5] =
    ["unhandledRejection", "pmx", "reload", "environment of a restart", "crash loops"];

fn ask() -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(
            "some applications have to be stopped for a moment, and nobody can be asked",
        )
        .hint("say --yes, or name the others"));
    }
    print!("Go on? [y/N] ");
    let mut answer = String::new();
    let read = std::io::stdout().flush().and_then(|()| std::io::stdin().lock().read_line(&mut answer));
    match read {
        Ok(_) if matches!(answer.trim(), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::new("nothing was done")),
    }
}

async fn adopt(
    context: &Context,
    pm2: &mut Rpc,
    candidate: &Candidate,
    taken: &[OwnedFd],
) -> Result<(), Failure> {
    let name = &candidate.app.name;
    let spec = crate::spec::build(context, &candidate.app)?;
    let mut client = context.connect().await?;
    if client.list().await.map_err(refused)?.iter().any(|app| app.name == *name) {
        return Err(Failure::new(format!("there is an application {name} here already"))
            .hint(format!("delete it first: `pm2 delete {name}`")));
    }
    match &candidate.way {
        Way::StartFirst => start_first(context, pm2, candidate, &spec, taken).await,
        Way::StopFirst { .. } => {
            pm2.call_each("stopProcessId", &candidate.ids).await?;
            match apply(context, &spec, &[]).await {
                Ok(_) => pm2.call_each("deleteProcessId", &candidate.ids).await,
                Err(failure) => {
                    forget(context, name).await;
                    pm2.call_each("startProcessId", &candidate.ids).await?;
                    Err(failure)
                }
            }
        }
        Way::Stopped => {
            // Nothing starts by being applied.
            let applied = context.connect().await?.apply(&spec).await.map_err(refused)?;
            if let ApplyOutcome::Failed { reason, .. } = applied.outcome {
                return Err(Failure::new(reason));
            }
            pm2.call_each("deleteProcessId", &candidate.ids).await
        }
    }
}

async fn start_first(
    context: &Context,
    pm2: &mut Rpc,
    candidate: &Candidate,
    spec: &AppSpec,
    taken: &[OwnedFd],
) -> Result<(), Failure> {
    let ports = sockets::ports(taken);
    match apply(context, spec, taken).await {
        Ok(Up::Listens) => {}
        // The daemon's sockets may all be those of others.
        Ok(Up::Silent) if sockets::connections(&candidate.pids, &ports) == 0 => {
            context.output.warn(format!(
                "{} listens nowhere and is taken for an application without a port",
                spec.name
            ));
        }
        Ok(Up::Silent) => {
            forget(context, &spec.name).await;
            return Err(Failure::new(format!("it does not listen within {} ms", spec.listen_timeout_ms)));
        }
        Err(failure) => {
            forget(context, &spec.name).await;
            return Err(failure);
        }
    }
    // From here on only ours accept; pm2's workers answer what they have.
    let held = held::hold(pm2.daemon, &ports).await;
    let left = held::answered(&candidate.pids, &ports).await;
    if left > 0 {
        context
            .output
            .warn(format!("{left} connections were still open and are cut, as with a reload of pm2"));
    }
    held::end(&candidate.pids, candidate.kill_timeout).await;
    // The first thing the daemon reads when it goes on: nothing is restarted.
    let sent = pm2.send_each("deleteProcessId", &candidate.ids).await;
    if let Some(held) = held {
        held.release(pm2.daemon, &ports);
    }
    pm2.receive_each("deleteProcessId", &sent?).await
}

/// Makes it run here, with pm2's sockets where it asks for their addresses.
async fn apply(context: &Context, spec: &AppSpec, sockets: &[OwnedFd]) -> Result<Up, Failure> {
    let mut client = context.connect().await?;
    if !sockets.is_empty() {
        let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
        client.adopt_sockets(&spec.name, &sockets).await.map_err(refused)?;
    }
    start::bring_up(context, &mut client, vec![spec.clone()]).await?;
    stays(&mut client, spec).await?;
    Ok(if !sockets.is_empty() && listens(&mut client, spec).await? { Up::Listens } else { Up::Silent })
}

/// Watches it for as long as an exit would be an early one: pm2's processes are let go only for one that stays.
async fn stays(client: &mut Client, spec: &AppSpec) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_millis(spec.min_uptime_ms).min(LONGEST_LOOK);
    loop {
        let apps = client.list().await.map_err(refused)?;
        let instances = apps.iter().filter(|app| app.name == spec.name).flat_map(|app| &app.instances);
        // What runs once and has done its work did not fail.
        let failed = |exit: &&LastExit| spec.autorestart || exit.code != Some(0);
        if let Some(ended) = instances.filter_map(|instance| instance.last_exit.as_ref()).find(failed) {
            let said = ended.last_stderr.last().map(|line| format!(": {line}")).unwrap_or_default();
            return Err(Failure::new(format!("it does not stay up: {}{said}", ended.reason)));
        }
        if Instant::now() >= deadline {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// How an application came up.
enum Up {
    /// It listens on a socket we hold.
    Listens,
    /// It does not, or opens its port itself.
    Silent,
}

/// Waits until an application that is up listens as well; pm2's processes end only then.
async fn listens(client: &mut Client, spec: &AppSpec) -> Result<bool, Failure> {
    let deadline = Instant::now() + Duration::from_millis(spec.listen_timeout_ms);
    loop {
        let apps = client.list().await.map_err(refused)?;
        if apps.iter().any(|app| app.name == spec.name && !app.listening.is_empty()) {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Lets go of what could not be brought up.
async fn forget(context: &Context, name: &str) {
    let deleted = async { context.connect().await?.delete(name).await.map_err(refused) };
    if let Err(failure) = deleted.await {
        context.output.warn(format!("{name} could not be deleted here: {failure}"));
    }
}

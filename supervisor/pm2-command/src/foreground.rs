//! Staying in the foreground: `pm2-runtime`, `--no-daemon` and `--attach`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Parser;
use muster_supervisor_protocol::{Client, LogLine, LogStreamName, LogsRequest};
use tokio::signal::unix::{SignalKind, signal};

use crate::context::refused;
use crate::flags::Flags;
use crate::output::print;
use crate::process::Process;
use crate::{Context, Failure, daemon_verbs, list, start};

/// When it is first asked whether anything is online, how often then, and how often it may be nothing.
const FIRST_LOOK: Duration = Duration::from_secs(6);
const LOOK_EVERY: Duration = Duration::from_secs(2);
const MISSES: u32 = 4;

/// pm2-runtime: runs applications in the foreground and ends with them.
#[derive(Debug, Parser)]
#[command(
    name = "pm2-runtime",
    disable_version_flag = true,
    disable_help_subcommand = true,
    args_override_self = true
)]
struct Runtime {
    /// `start`, then a script or a configuration file
    #[arg(value_name = "app.js|json_file", required = true)]
    targets: Vec<String>,
    /// Lines as key=value
    #[arg(long)]
    format: bool,
    /// Lines as they come
    #[arg(long)]
    raw: bool,
    /// |id|app|line
    #[arg(long)]
    formatted: bool,
    /// Lines as JSON
    #[arg(long)]
    json: bool,
    /// Seconds before the start
    #[arg(long, default_value_t = 0.0)]
    delay: f64,
    /// Stay when nothing is online
    #[arg(long)]
    no_auto_exit: bool,
    /// Of the hosted service
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    web: Option<String>,
    /// Of the hosted service
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    secret: Option<String>,
    /// Of the hosted service
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    public: Option<String>,
    /// Of the hosted service
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    machine_name: Option<String>,
    #[command(flatten)]
    flags: Flags,
}

/// How lines are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Raw,
    Formatted,
    KeyValue,
    Json,
}

/// Runs the command `pm2-runtime`, whose exit code this is.
pub(crate) fn runtime(words: Vec<OsString>, script_args: Option<Vec<String>>) -> u8 {
    let mut runtime =
        match Runtime::try_parse_from(std::iter::once(OsString::from("pm2-runtime")).chain(words)) {
            Ok(runtime) => runtime,
            Err(error) => {
                drop(error.print());
                return u8::from(error.use_stderr());
            }
        };
    if runtime.targets.len() > 1 && runtime.targets[0] == "start" {
        runtime.targets.remove(0);
    }
    let shape = match () {
        () if runtime.json => Shape::Json,
        () if runtime.format => Shape::KeyValue,
        () if runtime.formatted => Shape::Formatted,
        () => Shape::Raw,
    };
    let mut flags = runtime.flags;
    // What is printed is not stored as well, unless it is asked for.
    flags.output.get_or_insert_with(|| "/dev/null".to_owned());
    flags.error.get_or_insert_with(|| "/dev/null".to_owned());
    let delay = Duration::try_from_secs_f64(runtime.delay).unwrap_or_default();
    crate::dispatch::blocking(flags, script_args, |context| {
        let plan = Plan { targets: runtime.targets, shape, auto_exit: !runtime.no_auto_exit, delay };
        async move { plan.run(&context).await }
    })
}

/// `pm2 start ... --no-daemon`.
pub(crate) async fn no_daemon(context: &Context, targets: &[String]) -> Result<(), Failure> {
    context
        .output
        .line("pm2 launched in no-daemon mode (you can add DEBUG=\"*\" env variable to get more messages)");
    let plan =
        Plan { targets: targets.to_vec(), shape: Shape::Formatted, auto_exit: false, delay: Duration::ZERO };
    plan.run(context).await
}

/// `--attach`: the logs, until somebody has seen enough.
pub(crate) async fn attach(context: &Context) -> Result<(), Failure> {
    context.output.info("Log streaming apps, exit with Ctrl-C");
    let names = Names::ask(context).await?;
    tokio::select! {
        ended = stream(context, Shape::Formatted, names) => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

struct Plan {
    targets: Vec<String>,
    shape: Shape,
    auto_exit: bool,
    delay: Duration,
}

impl Plan {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::new(format!("signals cannot be heard: {error}")));
        let mut terminate = listen(SignalKind::terminate())?;
        let mut interrupt = listen(SignalKind::interrupt())?;
        let mut client = context.connect().await?;
        let outcome = tokio::select! {
            outcome = self.until_over(context, &mut client) => outcome,
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
            () = reap_orphans() => Ok(()),
        };
        match Client::connect(context.home.socket()).await {
            Ok(client) => daemon_verbs::shut_down(context, client).await?,
            // It is gone, with everything it ran.
            Err(_) => return outcome.and(Err(Failure::new("the daemon ended"))),
        }
        outcome
    }

    async fn until_over(&self, context: &Context, client: &mut Client) -> Result<(), Failure> {
        tokio::time::sleep(self.delay).await;
        let began = tokio::time::Instant::now();
        let names = Names::ask(context).await?;
        // Lines from the first on: before anything is started.
        let lines = stream(context, self.shape, names);
        let started = async {
            let started = start::targets(context, client, &self.targets).await;
            if self.shape == Shape::Formatted && !context.output.silent && started.is_ok() {
                list::show(context, &crate::snapshot::Snapshot::take(client).await?);
            }
            // One that fails leaves the others running, and the looks below decide.
            if let Err(failure) = started {
                if !failure.message.is_empty() {
                    context.output.error(failure.to_string());
                }
                if context.processes(client).await?.is_empty() {
                    return Err(Failure { code: 1, ..Failure::new("") });
                }
            }
            if !self.auto_exit {
                return std::future::pending().await;
            }
            tokio::time::sleep_until(began + FIRST_LOOK).await;
            until_nothing_is_online(context, client).await
        };
        tokio::select! {
            ended = lines => ended,
            ended = started => ended,
        }
    }
}

async fn until_nothing_is_online(context: &Context, client: &mut Client) -> Result<(), Failure> {
    let mut misses = 0;
    loop {
        let processes = context.processes(client).await?;
        if processes.iter().any(|process| matches!(process.status(), "online" | "launching")) {
            misses = 0;
        } else {
            misses += 1;
            print(&format!("0 application online, retry = {}\n", MISSES - misses));
            if misses >= MISSES {
                return Err(Failure { code: 2, ..Failure::new("") });
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Ids and namespaces of what writes lines.
struct Names {
    processes: Vec<Process>,
    client: Client,
}

impl Names {
    async fn ask(context: &Context) -> Result<Self, Failure> {
        Ok(Self { processes: Vec::new(), client: context.connect().await? })
    }

    async fn id(&mut self, context: &Context, line: &LogLine) -> u32 {
        let find = |processes: &[Process]| {
            let same = |it: &&Process| it.name == line.app && it.instance.index == line.instance;
            processes.iter().find(same).map(Process::id)
        };
        if let Some(id) = find(&self.processes) {
            return id;
        }
        if let Ok(processes) = context.processes(&mut self.client).await {
            self.processes = processes;
        }
        find(&self.processes).unwrap_or(line.instance)
    }
}

/// Prints lines until the supervisor is gone.
async fn stream(context: &Context, shape: Shape, mut names: Names) -> Result<(), Failure> {
    let client = context.connect().await?;
    let request = LogsRequest { follow: true, ..LogsRequest::default() };
    let mut lines = client.logs(request).await.map_err(refused)?;
    while let Some(line) = lines.next().await.map_err(refused)? {
        let id = if shape == Shape::Raw { 0 } else { names.id(context, &line).await };
        print(&shown(shape, id, &line));
    }
    Ok(())
}

fn shown(shape: Shape, id: u32, line: &LogLine) -> String {
    let kind = match line.stream {
        LogStreamName::Out => "out",
        LogStreamName::Err => "err",
    };
    match shape {
        Shape::Raw => format!("{}\n", line.line),
        Shape::Formatted => format!("{id}|{}  | {}\n", line.app, line.line),
        Shape::KeyValue => {
            let at = line.at.with_timezone(&chrono::Local).format("%Y-%m-%d-%H:%M:%S%:z");
            format!("timestamp={at} app={} id={id} type={kind} message={}\n", line.app, line.line)
        }
        Shape::Json => {
            let at = line.at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
            let object = serde_json::json!({
                "message": format!("{}\n", line.line), "timestamp": at, "type": kind, "process_id": id,
                "app_name": line.app,
            });
            format!("{object}\n")
        }
    }
}

/// As the first process of a container nobody else buries the dead. Never ends; elsewhere it only waits.
async fn reap_orphans() {
    let first = std::process::id() == 1;
    let Ok(mut children) = signal(SignalKind::child()) else { return std::future::pending().await };
    loop {
        children.recv().await;
        if first {
            let options = rustix::process::WaitOptions::NOHANG;
            while let Ok(Some(_)) = rustix::process::wait(options) {}
        }
    }
}

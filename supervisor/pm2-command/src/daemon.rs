//! The supervisor under `PM2_HOME`: started when it is needed, once, whoever else starts it at the same time.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use muster_supervisor_protocol::Client;

use crate::{Context, Failure, Home, context};

/// Starting takes some milliseconds; a machine that boots may be busy.
const START_LIMIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(4);
/// How much of the log is shown when it does not start.
const LOG_TAIL_BYTES: u64 = 2_048;

/// What of the caller's environment the supervisor itself gets. Applications get theirs with their specs; what a shell
/// holds beyond that would only lie around in the supervisor's memory.
const INHERITED: [&str; 13] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "MUSTER_LOG",
    "RUST_BACKTRACE",
    "NOTIFY_SOCKET",
];

/// A connection to the supervisor, which is started when nobody answers.
pub(crate) async fn connect(context: &Context) -> Result<Client, Failure> {
    if let Ok(client) = Client::connect(context.home.socket()).await {
        return Ok(client);
    }
    let home = &context.home;
    let say = |text: String| match context.for_programs {
        true => context.output.error_line(text),
        false => context.output.line(text),
    };
    let quiet = context.switch("PM2_DISCRETE_MODE").is_some();
    if !quiet {
        say(format!(
            "{}Spawning PM2 daemon with pm2_home={}",
            context.output.style.green("[PM2] "),
            home.dir().display()
        ));
    }
    prepare(home)?;
    let mut child = spawn(home, &context.env)?;
    let mut client = wait(home, &mut child).await?;
    let pong = client.ping().await.map_err(context::refused)?;
    write_pid(home, pong.pid)?;
    if !quiet {
        say(format!("{}PM2 Successfully daemonized", context.output.style.green("[PM2] ")));
    }
    Ok(client)
}

/// The folders that pm2's users expect.
fn prepare(home: &Home) -> Result<(), Failure> {
    for folder in [home.dir().to_owned(), home.logs(), home.pids()] {
        fs::create_dir_all(&folder).map_err(|error| unusable(&folder, &error))?;
    }
    Ok(())
}

fn spawn(home: &Home, env: &std::collections::BTreeMap<String, String>) -> Result<Child, Failure> {
    let binary = crate::program::supervisor()?;
    let path = home.daemon_log();
    let log =
        OpenOptions::new().create(true).append(true).open(&path).map_err(|error| unusable(&path, &error))?;
    let again = log.try_clone().map_err(|error| unusable(&path, &error))?;
    let inherited = env
        .iter()
        .filter(|(name, _)| INHERITED.contains(&name.as_str()) || name.starts_with("PM2_"))
        .map(|(name, value)| (name.as_str(), value.as_str()));
    Command::new(&binary)
        .arg("run")
        .arg("--state-dir")
        .arg(home.state_dir())
        .arg("--new-session")
        // Rotated by the daemon; what it says before the file is its own comes by standard error into the same one.
        .arg("--log-file")
        .arg(&path)
        .env_clear()
        .envs(inherited)
        .env("PM2_HOME", home.dir())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(again)
        .spawn()
        .map_err(|error| Failure::new(format!("the daemon {} cannot be started: {error}", binary.display())))
}

/// Waits until somebody answers: what was started here, or what another command started a moment before.
async fn wait(home: &Home, child: &mut Child) -> Result<Client, Failure> {
    let socket = home.socket();
    let deadline = Instant::now() + START_LIMIT;
    let mut ended = None;
    loop {
        if let Ok(client) = Client::connect(&socket).await {
            return Ok(client);
        }
        // It ends at once when another one has the lock. That one may still be starting.
        if let Ok(Some(status)) = child.try_wait() {
            ended = Some(status);
            if nobody_has_the_lock(&home.state_dir()) && Client::connect(&socket).await.is_err() {
                break;
            }
        }
        if Instant::now() >= deadline {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    let how = match ended {
        Some(status) => format!("the daemon ended at once ({status})"),
        None => format!("the daemon does not answer within {} s", START_LIMIT.as_secs()),
    };
    let log = home.daemon_log();
    Err(Failure::new(format!("{how}; its log ends with\n{}", tail(&log)))
        .hint(format!("the whole log is {}", log.display())))
}

fn nobody_has_the_lock(state_dir: &Path) -> bool {
    let file = OpenOptions::new().write(true).open(state_dir.join("supervisor.lock"));
    match file {
        // The lock ends with the file, right here.
        Ok(file) => file.try_lock().is_ok(),
        Err(_) => true,
    }
}

fn tail(path: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = fs::File::open(path)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(LOG_TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    };
    read().unwrap_or_else(|error| format!("(it cannot be read: {error})"))
}

/// Writes `pm2.pid`.
pub(crate) fn write_pid(home: &Home, pid: u32) -> Result<(), Failure> {
    let path = home.daemon_pid();
    fs::write(&path, pid.to_string()).map_err(|error| unusable(&path, &error))
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("{} cannot be used: {error}", path.display()))
        .hint("set PM2_HOME to a folder that you may write to")
}

//! Private PostgreSQL servers for the chores: one for developers that stays up, one per chore that needs one.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::repo;
use crate::shell::{Program, note, step};

const PROGRAM: &str = "muster-private-postgres";
const DEV_DATABASE: &str = "muster_dev";
const START_BOUND: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Stop the developers' database
    #[arg(long)]
    stop: bool,
    /// Drop the database and apply all migrations anew
    #[arg(long)]
    reset: bool,
}

/// `cargo xtask dev-db`
pub(crate) fn run(options: &Options) -> Result<()> {
    let dir = repo::scratch("dev-db")?;
    if options.stop {
        return stop_developers(&dir);
    }
    let url = start_developers(&dir)?;
    let stamp = dir.join("migrations.stamp");
    let wanted = migrations_digest()?;
    if options.reset || std::fs::read_to_string(&stamp).unwrap_or_default() != wanted {
        step("the migrations have changed: laying the database anew");
        let server = url.replacen(DEV_DATABASE, "postgres", 1);
        psql(&server, &["-c", &format!("DROP DATABASE IF EXISTS {DEV_DATABASE} WITH (FORCE)")])?;
        psql(&server, &["-c", &format!("CREATE DATABASE {DEV_DATABASE}")])?;
        migrate(&url)?;
        repo::write_if_changed(&stamp, wanted.as_bytes())?;
    }
    let env = repo::root().join(".env");
    if repo::write_if_changed(&env, format!("DATABASE_URL={url}\n").as_bytes())? {
        note("wrote .env, which the query macros read");
    }
    println!("{url}");
    Ok(())
}

fn start_developers(dir: &Path) -> Result<String> {
    let url_file = dir.join("url");
    if let Ok(url) = std::fs::read_to_string(&url_file)
        && psql(&url, &["-c", "SELECT 1"]).is_ok()
    {
        return Ok(url);
    }
    let program = build()?;
    let log = dir.join("launcher.log");
    let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    remove(&url_file)?;
    // In a session of its own, so that it outlives the terminal.
    let mut command = Command::new("setsid");
    command.arg(&program).args(server_arguments(dir, DEV_DATABASE, &url_file));
    command.current_dir("/").stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let mut child = command.spawn().context("cannot start `setsid` (package util-linux)")?;
    let url = await_url(&mut child, &url_file, &log)?;
    repo::write_if_changed(&dir.join("launcher.pid"), child.id().to_string().as_bytes())?;
    note(&format!("the developers' database runs as process {}", child.id()));
    Ok(url)
}

fn stop_developers(dir: &Path) -> Result<()> {
    let pid_file = dir.join("launcher.pid");
    let pid = std::fs::read_to_string(&pid_file)
        .context("the developers' database was not started by this chore")?;
    // The id may have been reused since, so look at what runs under it.
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    if String::from_utf8_lossy(&command).contains(PROGRAM) {
        Program::new("kill").args(["-INT", &pid]).run()?;
    } else {
        note("it does not run");
    }
    remove(&pid_file)?;
    remove(&dir.join("url"))
}

/// A database that lives as long as this value, for a chore.
pub(crate) struct Temporary {
    child: Child,
    dir: PathBuf,
    url: String,
}

impl Temporary {
    /// Starts a server on an empty cluster.
    pub(crate) fn start(name: &str) -> Result<Self> {
        let program = build()?;
        let dir = repo::scratch(&format!("{name}-{}", std::process::id()))?;
        let url_file = dir.join("url");
        let log = dir.join("launcher.log");
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        // Stops when we end in whatever way; in a group of its own, because Ctrl-C is for us and the server has to
        // outlast what uses it.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "INT", "--"]).arg(&program);
        command.args(server_arguments(&dir, "muster", &url_file));
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        let mut child = command.spawn().context("cannot start `setpriv` (package util-linux)")?;
        let url = await_url(&mut child, &url_file, &log)?;
        Ok(Self { child, dir, url })
    }

    /// The URL of its database, which is empty.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let stopped = Program::new("kill").args(["-INT", &self.child.id().to_string()]).read();
        if let Err(error) = stopped.and_then(|_| Ok(self.child.wait()?)) {
            note(&format!("cannot stop the temporary database: {error:#}"));
            return;
        }
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            note(&format!("cannot remove {}: {error}", self.dir.display()));
        }
    }
}

fn build() -> Result<PathBuf> {
    Program::cargo().dir(&repo::root()).args(["build", "--quiet", "-p", "muster-postgres"]).run()?;
    Ok(repo::target().join("debug").join(PROGRAM))
}

fn server_arguments(dir: &Path, database: &str, url_file: &Path) -> Vec<std::ffi::OsString> {
    let mut arguments: Vec<std::ffi::OsString> = vec!["--no-fsync".into(), "--max-connections=200".into()];
    arguments.extend(["--database".into(), database.into()]);
    arguments.extend(["--data-dir".into(), dir.into(), "--url-file".into(), url_file.into()]);
    arguments
}

fn await_url(child: &mut Child, url_file: &Path, log: &Path) -> Result<String> {
    let deadline = Instant::now() + START_BOUND;
    loop {
        if let Ok(url) = std::fs::read_to_string(url_file) {
            return Ok(url);
        }
        if let Some(status) = child.try_wait()? {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            bail!("the database did not start ({status}): {}", said.trim());
        }
        if Instant::now() > deadline {
            bail!("the database was not ready within {} s, see {}", START_BOUND.as_secs(), log.display());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Applies every migration in order. Plain SQL files, so no tool but `psql` is needed.
pub(crate) fn migrate(url: &str) -> Result<()> {
    for file in migrations()? {
        let path = file.to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {path}"))?;
        let one_transaction = !text.starts_with("-- no-transaction");
        let mut arguments = vec!["-f", &path];
        if one_transaction {
            arguments.push("-1");
        }
        psql(url, &arguments)?;
    }
    Ok(())
}

fn psql(url: &str, arguments: &[&str]) -> Result<String> {
    Program::new("psql").args(["-XqtA", "-v", "ON_ERROR_STOP=1", "-d", url]).args(arguments).read()
}

fn migrations() -> Result<Vec<PathBuf>> {
    let dir = repo::root().join("migrations");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sql")
            && !path.to_string_lossy().ends_with(".golden.sql")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn migrations_digest() -> Result<String> {
    let mut all = String::new();
    for file in migrations()? {
        all.push_str(&format!("-- {}\n", file.display()));
        all.push_str(&std::fs::read_to_string(&file)?);
    }
    Ok(all)
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

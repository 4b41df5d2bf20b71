//! `muster-controller doctor`: looks at an installation and says what to mend. It changes nothing, and works whether the
//! controller runs or not.

use crate::{
    install::Programs,
    startup::{
        self,
        instance::{self, Addresses},
        options::{DoctorOptions, LogFormat},
    },
};
use chrono::{TimeDelta, Utc};
use muster_identity::FleetIdentity;
use serde::Serialize;
use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warning,
    Wrong,
}

#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, text: text.into(), mend: None }
    }

    fn not(verdict: Verdict, check: &'static str, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, verdict, text: text.into(), mend: Some(mend.into()) }
    }
}

/// Below this much space, uploads and the database are about to fail.
const SPACE_FLOOR_BYTES: u64 = 1024 * 1024 * 1024;

/// How long a listener of this machine may take to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs every check and prints what it found. Exit code 1 when something is wrong; warnings do not count.
pub fn run(options: &DoctorOptions) -> anyhow::Result<ExitCode> {
    let dir = &options.data.data_dir;
    let mut findings = vec![folder(dir)];
    if findings[0].verdict == Verdict::Ok {
        findings.push(space(dir));
        findings.extend(identity(dir));
        let addresses = instance::read_addresses(dir);
        findings.extend(listeners(addresses.as_ref()));
    }
    findings.push(match &options.data.database_url {
        Some(url) => named_database(url),
        None => private_database(dir, options.data.postgres_bin_dir.as_deref()),
    });
    findings.extend(programs(startup::agent_dir(options.agents.agent_dir.clone())?));
    let mut out = std::io::stdout().lock();
    match options.output {
        LogFormat::Json => writeln!(out, "{}", serde_json::to_string_pretty(&findings)?)?,
        LogFormat::Text => {
            for Finding { check, verdict, text, mend } in &findings {
                let mark = match verdict {
                    Verdict::Ok => "ok     ",
                    Verdict::Warning => "warning",
                    Verdict::Wrong => "WRONG  ",
                };
                writeln!(out, "{mark}  {check}: {text}")?;
                if let Some(mend) = mend {
                    writeln!(out, "         -> {mend}")?;
                }
            }
        }
    }
    let wrong = findings.iter().any(|f| f.verdict == Verdict::Wrong);
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn folder(dir: &Path) -> Finding {
    match fs::read_dir(dir) {
        Ok(_) => Finding::ok("data folder", dir.display().to_string()),
        Err(error) => Finding::not(
            Verdict::Wrong,
            "data folder",
            format!("{} cannot be read: {error}", dir.display()),
            "name the folder with --data-dir, and run doctor as the user that runs the controller",
        ),
    }
}

fn space(dir: &Path) -> Finding {
    match rustix::fs::statvfs(dir) {
        Err(error) => {
            Finding::not(Verdict::Warning, "disk space", format!("not known: {error}"), "look at `df -h`")
        }
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let text = format!("{} MiB are free", free / (1024 * 1024));
            if free >= SPACE_FLOOR_BYTES {
                Finding::ok("disk space", text)
            } else {
                Finding::not(
                    Verdict::Wrong,
                    "disk space",
                    text,
                    format!(
                        "make room on the file system of {}; below 1 GiB uploads are refused and the database may stop",
                        dir.display()
                    ),
                )
            }
        }
    }
}

fn identity(dir: &Path) -> Vec<Finding> {
    if !dir.join("identity").exists() {
        return vec![Finding::not(
            Verdict::Warning,
            "identity",
            "there is none yet",
            "the first `muster-controller serve` makes it; if this fleet has nodes already, restore the folder from the backup instead",
        )];
    }
    match FleetIdentity::open(dir) {
        Err(error) => vec![Finding::not(
            Verdict::Wrong,
            "identity",
            crate::background::chain(&error),
            format!(
                "restore {} from the backup, or mend its permissions (0700, files 0600, owned by the controller's user)",
                dir.join("identity").display()
            ),
        )],
        Ok(identity) => {
            let left = identity.ca.issuers_expire_at() - Utc::now();
            let text = format!("fleet {}, issuers end in {} days", identity.ca.fleet_id(), left.num_days());
            vec![if left > TimeDelta::days(90) {
                Finding::ok("identity", text)
            } else {
                Finding::not(Verdict::Warning, "identity", text, "plan the renewal of the fleet's issuers")
            }]
        }
    }
}

fn listeners(addresses: Option<&Addresses>) -> Vec<Finding> {
    let Some(addresses) = addresses else {
        return vec![Finding::not(
            Verdict::Warning,
            "listeners",
            "the controller does not serve now",
            "start it with `muster-controller serve`; its log says why if it does not come up",
        )];
    };
    let all = [
        ("people", Some(&addresses.people)),
        ("people, plain HTTP", addresses.people_http.as_ref()),
        ("agents", Some(&addresses.agents)),
    ];
    all.into_iter()
        .filter_map(|(name, url)| url.map(|url| (name, url)))
        .map(|(name, url)| {
            let address = url.rsplit("//").next().unwrap_or(url).parse::<SocketAddr>();
            match address
                .map_err(|e| e.to_string())
                .and_then(|a| TcpStream::connect_timeout(&a, CONNECT_TIMEOUT).map_err(|e| e.to_string()))
            {
                Ok(_) => Finding::ok("listener", format!("{name}: {url} takes connections")),
                Err(error) => Finding::not(
                    Verdict::Wrong,
                    "listener",
                    format!("{name}: {url} does not take connections: {error}"),
                    "restart the controller; if it is stuck, its log says where",
                ),
            }
        })
        .collect()
}

fn private_database(dir: &Path, bin_dir: Option<&Path>) -> Finding {
    match muster_postgres::find_installation(bin_dir, Some(dir)) {
        Err(error) => Finding::not(
            Verdict::Wrong,
            "private database",
            crate::background::chain(&error),
            "install the server programs (`apt install postgresql`), or name a database with --database-url",
        ),
        Ok(found) => {
            let version = fs::read_to_string(dir.join("postgres").join("data").join("PG_VERSION"))
                .ok()
                .and_then(|text| text.trim().parse::<u32>().ok());
            match version {
                Some(made) if made != found.major => Finding::not(
                    Verdict::Wrong,
                    "private database",
                    format!("it was made by PostgreSQL {made}, installed is {}", found.major),
                    format!("install postgresql-{made}, or move the data with pg_upgrade"),
                ),
                Some(made) => Finding::ok(
                    "private database",
                    format!("PostgreSQL {made}, programs in {}", found.bin_dir.display()),
                ),
                None => Finding::ok(
                    "private database",
                    format!("none yet; PostgreSQL {} will make it", found.major),
                ),
            }
        }
    }
}

/// What invitations offer to hosts.
fn programs(folder: PathBuf) -> Vec<Finding> {
    const CHECK: &str = "programs for hosts";
    let catalogue = match Programs::new(folder.clone()).catalogue() {
        Ok(catalogue) => catalogue,
        Err(problem) => {
            return vec![Finding::not(Verdict::Warning, CHECK, problem.reason, problem.mend)];
        }
    };
    let kinds: Vec<&str> = catalogue.architectures().iter().map(|kind| kind.as_str()).collect();
    let mut findings =
        vec![Finding::ok(CHECK, format!("for {} in {}", kinds.join(" and "), folder.display()))];
    findings.extend(catalogue.flaws.iter().map(|flaw| {
        let mend = "copy the programs of one build there, or remove what is there";
        Finding::not(Verdict::Warning, CHECK, flaw.clone(), mend)
    }));
    findings
}

fn named_database(url: &str) -> Finding {
    let check = async {
        let db = muster_db::Db::connect_lazy(url).map_err(|e| crate::background::chain(&e))?;
        let outcome = db.conn().await.map(drop).map_err(|e| crate::background::chain(&e));
        db.close().await;
        outcome
    };
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())
        .and_then(|runtime| runtime.block_on(check));
    match outcome {
        Ok(()) => Finding::ok("database", "it can be reached"),
        Err(error) => Finding::not(
            Verdict::Wrong,
            "database",
            error,
            "check --database-url, that the server runs, and that it lets this machine in",
        ),
    }
}

//! `report`: what somebody who looks into a problem wants to know, without values of anybody's environment.

use std::fs;
use std::io::{Read, Seek, SeekFrom};

use muster_pm2::looks_secret;

use crate::output::print;
use crate::{Context, Failure, sysinfos};

/// Last lines of the daemon's log.
const LOG_LINES: usize = 20;
const LOG_BYTES: u64 = 64 * 1024;

/// Runs it.
pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let mut client = context.connect().await?;
    let pong = client.ping().await.map_err(crate::context::refused)?;
    let processes = context.processes(&mut client).await?;
    let mut text = String::from(
        "```\n--- PM2 report ----------------------------------------------------------------\n",
    );
    let mut field = |name: &str, value: String| text.push_str(&format!("{name:<20} : {value}\n"));
    field("Date", chrono::Local::now().to_rfc2822());
    field("daemon version", pong.version);
    field("daemon pid", pong.pid.to_string());
    field("daemon since", pong.started_at.to_rfc3339());
    field("daemon upgrades", pong.upgrades.to_string());
    field("command version", env!("CARGO_PKG_VERSION").to_owned());
    field("user", context.env.get("USER").cloned().unwrap_or_default());
    field("uid", rustix::process::geteuid().as_raw().to_string());
    field("pm2 home", context.home.dir().display().to_string());
    let facts = serde_json::to_string(&sysinfos::facts()).expect("maps have texts as keys");
    field("machine", facts);
    text.push_str("--- Processes -----------------------------------------------------------------\n");
    for process in &processes {
        let instance = &process.instance;
        let exit = instance.last_exit.as_ref().map(|exit| format!(", {}", exit.reason)).unwrap_or_default();
        text.push_str(&format!(
            "{:>3} {} [{}] {} pid {} restarts {} ({} unstable) {} MB{exit}\n",
            process.id(),
            process.name,
            process.namespace,
            process.status(),
            instance.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            instance.restarts,
            instance.unstable_restarts,
            instance.memory_bytes / 1_048_576,
        ));
    }
    text.push_str("--- Daemon logs ---------------------------------------------------------------\n");
    for line in last_lines(context) {
        text.push_str(&redacted(&line));
        text.push('\n');
    }
    text.push_str("```\n");
    print(&text);
    Ok(())
}

fn last_lines(context: &Context) -> Vec<String> {
    let read = || -> std::io::Result<String> {
        let mut file = fs::File::open(context.home.daemon_log())?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(LOG_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(LOG_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_else(|error| format!("(it cannot be read: {error})"));
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].iter().map(|line| (*line).to_owned()).collect()
}

/// Without what looks like a secret: a report is pasted where everybody reads it.
fn redacted(line: &str) -> String {
    let word = |word: &str| match word.split_once('=') {
        Some((name, value)) if looks_secret(name, value.trim_matches('"')) => format!("{name}=***"),
        None if looks_secret("", word) => "***".to_owned(),
        _ => word.to_owned(),
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out() {
        let line = "start app=web API_TOKEN=abc123 url=postgres://u:p@db/x at postgres://u:p@db/y ok";
        assert_eq!(redacted(line), "start app=web API_TOKEN=*** url=*** at *** ok");
    }
}

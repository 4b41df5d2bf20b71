//! `attach` and `send`: the standard input of a process, and what it writes.

use muster_supervisor_protocol::{LogsRequest, Request, Target};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::context::refused;
use crate::output::print;
use crate::{Context, Failure};

/// Arguments.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Id
    #[arg(value_name = "pm_id")]
    pub id: String,
    /// What ends a line that is sent, by default a line feed
    #[arg(value_name = "command separator", allow_hyphen_values = true)]
    pub separator: Option<String>,
}

/// Runs `attach`: until standard input ends.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let target = target(context, &args.id).await?;
    let separator = args.separator.unwrap_or_else(|| "\n".to_owned());
    let request = LogsRequest {
        apps: vec![target.app.clone()],
        instances: target.instances.clone(),
        follow: true,
        ..LogsRequest::default()
    };
    let mut logs = context.connect().await?.logs(request).await.map_err(refused)?;
    let mut client = context.connect().await?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            line = logs.next() => match line.map_err(refused)? {
                Some(line) if line.app == target.app && target.means(line.instance) => {
                    print(&format!("{}\n", line.line));
                }
                Some(_) => {}
                None => return Ok(()),
            },
            line = lines.next_line() => match line {
                Ok(Some(line)) => {
                    let data = format!("{line}{separator}");
                    client.carry_out(&Request::Input { target: target.clone(), data }).await.map_err(refused)?;
                }
                Ok(None) => return Ok(()),
                Err(error) => return Err(Failure::new(format!("standard input cannot be read: {error}"))),
            },
        }
    }
}

/// Runs `send`: one line.
pub(crate) async fn send(context: &Context, id: &str, line: &str) -> Result<(), Failure> {
    let target = target(context, id).await?;
    let mut client = context.connect().await?;
    client.carry_out(&Request::Input { target, data: format!("{line}\n") }).await.map_err(refused)
}

async fn target(context: &Context, id: &str) -> Result<Target, Failure> {
    let number: u32 = id.trim().parse().map_err(|_| {
        Failure::new("pm_id must be a process number (not a process name)").hint("`pm2 list` shows the ids")
    })?;
    let mut client = context.connect().await?;
    let processes = context.processes(&mut client).await?;
    let process = processes.iter().find(|process| process.id() == number);
    process
        .map(crate::process::Process::target)
        .ok_or_else(|| Failure::new(format!("Process with pm_id {id} not found")))
}

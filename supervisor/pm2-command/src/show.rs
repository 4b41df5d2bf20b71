//! Verbs that only print: `list`, `jlist`, `prettylist`, `id`, `pid`, `env`.

use std::time::Duration;

use crate::output::print;
use crate::record::{self, Secrets};
use crate::snapshot::Snapshot;
use crate::{Context, Failure, inspect, list, words};

/// How often `list --watch` looks.
const LOOK_EVERY: Duration = Duration::from_millis(900);

/// `pm2 list`; with `--watch` again and again.
pub(crate) async fn table(context: &Context) -> Result<(), Failure> {
    let mut client = context.connect().await?;
    loop {
        let snapshot = Snapshot::take(&mut client).await?;
        if context.flags.watch.is_empty() {
            list::show(context, &snapshot);
            return Ok(());
        }
        let now = chrono::Local::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, false);
        print(&format!("\x1b[2J\x1b[0fLast refresh:  {now}\n"));
        list::show(context, &snapshot);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// `pm2 jlist`.
pub(crate) async fn json(context: &Context) -> Result<(), Failure> {
    print(&record::list(&snapshot(context).await?).json());
    Ok(())
}

/// `pm2 prettylist`.
pub(crate) async fn pretty(context: &Context) -> Result<(), Failure> {
    print(&inspect::inspect(&record::list(&snapshot(context).await?)));
    Ok(())
}

async fn snapshot(context: &Context) -> Result<Snapshot, Failure> {
    let mut client = context.connect().await?;
    Snapshot::take(&mut client).await
}

/// `pm2 id name`.
pub(crate) async fn id(context: &Context, name: &str) -> Result<(), Failure> {
    let mut client = context.connect().await?;
    let processes = context.processes(&mut client).await?;
    let ids: Vec<u32> =
        processes.iter().filter(|process| process.name == name).map(|process| process.id()).collect();
    context.output.line(words::ids(&ids));
    Ok(())
}

/// `pm2 pid [name]`.
pub(crate) async fn pid(context: &Context, name: Option<&str>) -> Result<(), Failure> {
    let mut client = context.connect().await?;
    let processes = context.processes(&mut client).await?;
    let pids: Vec<String> = (processes.iter())
        .filter(|process| name.is_none_or(|name| process.name == name))
        .map(|process| process.instance.pid.unwrap_or(0).to_string())
        .collect();
    context.output.line(pids.join("\n"));
    Ok(())
}

/// `pm2 env id`: what the process has, values and all; whoever may ask may read it from the kernel as well.
pub(crate) async fn env(context: &Context, id: &str) -> Result<(), Failure> {
    let snapshot = snapshot(context).await?;
    let found = snapshot.processes.iter().find(|process| process.id().to_string() == id.trim());
    let spec = found.and_then(|process| snapshot.specs.get(&process.name));
    let (Some(process), Some(spec)) = (found, spec) else {
        return Err(Failure::new(format!("Modules with id {id} not found")));
    };
    let record = record::pm2_env(spec, process, Secrets::Shown);
    let mut lines: Vec<(String, String)> =
        spec.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    for name in ["namespace", "version", "node_version", &spec.instance_var] {
        if let (Some(value), false) = (record.get(name), spec.env.contains_key(name)) {
            lines.push((name.to_owned(), value.shown()));
        }
    }
    for (name, value) in lines {
        context.output.line(format!("{name}: {}", context.output.style.green(&value)));
    }
    Ok(())
}

//! What the supervisor is told to run for an application.

use crate::config::StateDir;
use muster_domain::resource::{Application, ExecMode, Readiness};
use muster_planning::convergence::{InvalidRange, NodeRange, newest_satisfying};
use muster_platform::{Host, NodeRuntime};
use muster_supervisor_protocol as protocol;
use muster_supervisor_protocol::{AppSpec, LogSettings};
use std::collections::BTreeMap;

/// Programs that applications may expect to find.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long one probe may take.
const PROBE_TIMEOUT_MS: u64 = 1_000;

/// The Node.js that an application runs on: the newest that is installed and satisfies it.
pub fn find_node(
    host: &dyn Host,
    state: &StateDir,
    wanted: &Application,
) -> Result<Option<NodeRuntime>, InvalidRange> {
    let range = NodeRange::parse(&wanted.nodejs_range)?;
    let runtimes = host.node_runtimes(&state.nodejs());
    let newest = newest_satisfying(&range, runtimes.iter().map(|runtime| runtime.version.as_str()));
    Ok(newest.and_then(|version| runtimes.iter().find(|runtime| runtime.version == version)).cloned())
}

/// The spec, with a digest over all of it: the same application on the same Node.js always gives the same.
pub fn spec(wanted: &Application, state: &StateDir, node: &NodeRuntime, cpus: u32) -> AppSpec {
    let Application {
        name,
        release_id,
        release_version,
        artifact_digest: _,
        nodejs_range: _,
        script,
        args,
        node_args,
        instances,
        exec_mode,
        port,
        env,
        // They are in `env`, and mean nothing to a process.
        secrets: _,
        readiness,
        listen_timeout_ms,
        kill_timeout_ms,
        max_restarts,
        min_uptime_ms,
        restart_delay_ms,
        user,
    } = wanted;
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    // The release's own path, never `current`: a restart after the next release came must still start this one.
    let cwd = text(&state.release(name, *release_id));
    let mut spec = AppSpec {
        release: release_version.to_string(),
        release_id: release_id.to_string(),
        interpreter: Some(text(&node.path)),
        interpreter_args: node_args.clone(),
        args: args.clone(),
        env: environment(env, state, wanted, node).into(),
        exec_mode: match exec_mode {
            ExecMode::Cluster => protocol::ExecMode::Cluster,
            ExecMode::Fork => protocol::ExecMode::Fork,
        },
        instances: if *instances == 0 { cpus.max(1) } else { *instances },
        port: *port,
        readiness: match readiness {
            Readiness::Listening => protocol::Readiness::Listening,
            Readiness::ReadyMessage => protocol::Readiness::ReadyMessage,
            Readiness::Http { path } => {
                protocol::Readiness::Http { port: None, path: path.clone(), timeout_ms: PROBE_TIMEOUT_MS }
            }
            Readiness::Tcp => protocol::Readiness::Tcp { port: None, timeout_ms: PROBE_TIMEOUT_MS },
            Readiness::Started => protocol::Readiness::Started,
        },
        listen_timeout_ms: (*listen_timeout_ms).into(),
        kill_timeout_ms: (*kill_timeout_ms).into(),
        max_restarts: *max_restarts,
        min_uptime_ms: (*min_uptime_ms).into(),
        restart_delay_ms: (*restart_delay_ms).into(),
        user: user.clone(),
        logs: LogSettings { dir: Some(text(&state.logs())), ..LogSettings::default() },
        ..AppSpec::new(name.as_str(), cwd, script)
    };
    let bytes = serde_json::to_vec(&spec).expect("text and numbers always encode");
    spec.spec_digest = blake3::hash(&bytes).to_hex().to_string();
    spec
}

/// The whole environment. What the application declares wins over what is set for it.
fn environment(
    declared: &BTreeMap<String, String>,
    state: &StateDir,
    wanted: &Application,
    node: &NodeRuntime,
) -> BTreeMap<String, String> {
    let beside = node.path.parent().map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default();
    let mut env = BTreeMap::from([
        ("PATH".to_owned(), format!("{beside}:{SEARCH_PATH}")),
        ("HOME".to_owned(), state.home(&wanted.name).to_string_lossy().into_owned()),
    ]);
    if let Some(port) = wanted.port {
        env.insert("PORT".to_owned(), port.to_string());
    }
    env.extend(declared.iter().map(|(name, value)| (name.clone(), value.clone())));
    env
}

//! Applications on the nodes that run them, and the Node.js versions that they need.

use super::{CompileInput, CompileProblem, ReleaseFacts};
use muster_domain::{
    ApplicationName,
    fleet::{self, ApplicationOverride, Duration, EnvValue, Health, Instances},
    resource::{Application, DesiredState, ExecMode, Nodejs, Readiness, Resource, ResourceKey},
    selection::Target,
};
use std::collections::BTreeMap;

/// How long an instance may take to become ready. pm2 waits 3 s and then calls the instance online whatever it does; here
/// the wait decides whether a release fails, and a real application that compiles templates and opens its connections on
/// a small VPS needs more than 3 s. A healthy one is not slowed down: the wait ends when it is ready.
pub const LISTEN_TIMEOUT_MS: u32 = 10_000;
/// pm2's: the time between the stop signal and SIGKILL.
pub const KILL_TIMEOUT_MS: u32 = 1_600;
/// pm2's: unstable exits until the supervisor gives up.
pub const MAX_RESTARTS: u32 = 16;
/// pm2's: an exit before this age is unstable.
pub const MIN_UPTIME_MS: u32 = 1_000;
/// pm2's: restart at once.
pub const RESTART_DELAY_MS: u32 = 0;
/// pm2's: one process.
const INSTANCES: u32 = 1;
/// What the assignment says for one instance per processor.
const INSTANCES_MAX: u32 = 0;

/// Adds the applications that are meant for the node and have a release there, and their Node.js.
pub(super) fn compile(
    input: &CompileInput<'_>,
    target: &Target<'_>,
    resources: &mut Vec<Resource>,
    problems: &mut Vec<CompileProblem>,
) {
    let mut runtimes: BTreeMap<ResourceKey, Resource> = BTreeMap::new();
    for (name, application) in &input.configuration.applications {
        let Some(release) = input.releases.get(name).filter(|_| target.runs(application)) else { continue };
        let desired = desired(input, name, application, release, problems);
        let range = desired.nodejs_range.clone();
        let runtime = ResourceKey::new("nodejs", &range);
        runtimes.entry(runtime.clone()).or_insert_with(|| Resource {
            key: runtime.clone(),
            depends_on: Vec::new(),
            desired: DesiredState::Nodejs(Nodejs { range }),
        });
        resources.push(Resource {
            key: ResourceKey::new("application", name),
            depends_on: vec![runtime],
            desired: DesiredState::Application(desired),
        });
    }
    resources.extend(runtimes.into_values());
}

fn desired(
    input: &CompileInput<'_>,
    name: &ApplicationName,
    declared: &fleet::Application,
    release: &ReleaseFacts,
    problems: &mut Vec<CompileProblem>,
) -> Application {
    // Exhaustive, so that a new field of the configuration cannot be forgotten here.
    let fleet::Application {
        nodejs,
        build: _,
        script,
        args,
        node_args,
        instances,
        exec_mode,
        port,
        health,
        wait_ready,
        listen_timeout,
        kill_timeout,
        min_uptime,
        max_restarts,
        restart_delay,
        user,
        env: _,
        secrets: _,
        on: _,
        overrides,
    } = declared;
    let mut milliseconds = |field: &str, duration: &Option<Duration>, default: u32| match duration {
        None => default,
        Some(duration) => duration.as_ms().unwrap_or_else(|| {
            problems.push(CompileProblem::Invalid {
                place: format!("applications.{name}.{field}"),
                reason: "use a whole number of milliseconds, or text such as \"30s\"".to_owned(),
            });
            default
        }),
    };
    let listen_timeout_ms = milliseconds("listen_timeout", listen_timeout, LISTEN_TIMEOUT_MS);
    let kill_timeout_ms = milliseconds("kill_timeout", kill_timeout, KILL_TIMEOUT_MS);
    let min_uptime_ms = milliseconds("min_uptime", min_uptime, MIN_UPTIME_MS);
    let restart_delay_ms = milliseconds("restart_delay", restart_delay, RESTART_DELAY_MS);

    let of_environment = overrides.get(input.environment);
    let of_node = input.configuration.nodes.get(input.node).and_then(|node| node.overrides.get(name));
    let layers = [of_environment, of_node];
    let port = layers.iter().flatten().filter_map(|layer| layer.port).next_back().or(*port);
    let instances = layers.iter().flatten().filter_map(|layer| layer.instances).next_back().or(*instances);
    let exec_mode = match exec_mode {
        None | Some(fleet::ExecMode::Cluster) => ExecMode::Cluster,
        Some(fleet::ExecMode::Fork) => ExecMode::Fork,
    };
    Application {
        name: name.clone(),
        release_id: release.id,
        release_version: release.version.clone(),
        artifact_digest: release.artifact_digest,
        nodejs_range: nodejs.trim().to_owned(),
        script: script.clone(),
        args: args.clone(),
        node_args: node_args.clone(),
        instances: match instances {
            None => INSTANCES,
            Some(Instances::Count(count)) => count,
            Some(Instances::Max(_)) => INSTANCES_MAX,
        },
        exec_mode,
        port,
        env: environment(input, name, declared, layers, problems),
        secrets: declared.secrets.iter().cloned().collect(),
        readiness: readiness(health.as_ref(), *wait_ready, exec_mode, port),
        listen_timeout_ms,
        kill_timeout_ms,
        max_restarts: max_restarts.unwrap_or(MAX_RESTARTS),
        min_uptime_ms,
        restart_delay_ms,
        user: user.clone(),
    }
}

/// The environment of the process, from the general to the particular; secrets win over everything, so that a variable in
/// a file can never shadow one.
fn environment(
    input: &CompileInput<'_>,
    name: &ApplicationName,
    declared: &fleet::Application,
    layers: [Option<&ApplicationOverride>; 2],
    problems: &mut Vec<CompileProblem>,
) -> BTreeMap<String, String> {
    let of_environment = input.configuration.environments.get(input.environment).map(|e| &e.env);
    let plain: [Option<&BTreeMap<String, EnvValue>>; 4] = [
        of_environment,
        Some(&declared.env),
        layers[0].map(|layer| &layer.env),
        layers[1].map(|layer| &layer.env),
    ];
    let mut env: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in plain.into_iter().flatten().flatten() {
        env.insert(key.clone(), value.to_text());
    }
    for secret in &declared.secrets {
        match input.secrets.get(secret) {
            Some(value) => {
                env.insert(secret.clone(), value.clone());
            }
            None => problems.push(CompileProblem::SecretMissing {
                secret: secret.clone(),
                application: name.clone(),
                environment: input.environment.clone(),
            }),
        }
    }
    env
}

/// The strongest sign that was declared; without one, what the way of running can show by itself.
fn readiness(health: Option<&Health>, wait_ready: bool, exec_mode: ExecMode, port: Option<u16>) -> Readiness {
    match (health, wait_ready, exec_mode) {
        (Some(Health::Http(path)), _, _) => Readiness::Http { path: path.clone() },
        (Some(Health::Tcp(true)), _, _) => Readiness::Tcp,
        (Some(Health::Tcp(false)) | None, true, _) => Readiness::ReadyMessage,
        (Some(Health::Tcp(false)) | None, false, ExecMode::Cluster) => Readiness::Listening,
        (Some(Health::Tcp(false)) | None, false, ExecMode::Fork) if port.is_some() => Readiness::Tcp,
        (Some(Health::Tcp(false)) | None, false, ExecMode::Fork) => Readiness::Started,
    }
}

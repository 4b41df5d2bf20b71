//! Applications on the nodes that run them, and the Node.js versions that they need.

mod process;

use super::{CompileInput, CompileProblem, ReleaseFacts};
use muster_domain::{
    ApplicationName,
    fleet::{self, EnvValue, Health, Instances, Runner},
    resource::{Application, DesiredState, ExecMode, Nodejs, Readiness, Resource, ResourceKey},
    selection::Target,
};
use process::{Layers, Reader, in_force};
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
        let runtime = (!range.is_empty()).then(|| ResourceKey::new("nodejs", &range));
        if let Some(runtime) = &runtime {
            let mirror = input.configuration.nodejs.mirror.clone();
            runtimes.entry(runtime.clone()).or_insert_with(|| {
                Resource::new(runtime.clone(), Vec::new(), DesiredState::Nodejs(Nodejs { range, mirror }))
            });
        }
        resources.push(Resource::new(
            ResourceKey::new("application", name),
            runtime.into_iter().collect(),
            DesiredState::Application(desired),
        ));
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
    let of_environment = declared.overrides.get(input.environment);
    let of_node = input.configuration.nodes.get(input.node).and_then(|node| node.overrides.get(name));
    let layers = [of_environment, of_node];
    let instances = in_force(layers, |o| o.instances, declared.instances);
    let port = in_force(layers, |o| o.port, declared.port);
    let exec_mode = match declared.mode() {
        fleet::ExecMode::Cluster => ExecMode::Cluster,
        fleet::ExecMode::Fork => ExecMode::Fork,
    };
    let env = environment(input, name, declared, layers, problems);
    let mut reader = Reader { application: name.as_str(), problems };
    let listen_timeout = in_force(layers, |o| o.listen_timeout.as_ref(), declared.listen_timeout.as_ref());
    let kill_timeout = in_force(layers, |o| o.kill_timeout.as_ref(), declared.kill_timeout.as_ref());
    let process = process::settings(declared, layers, instances, &mut reader);
    Application {
        name: name.clone(),
        release_id: release.id,
        release_version: release.version.clone(),
        artifact_digest: release.artifact_digest,
        nodejs_range: nodejs_range(declared),
        script: declared.script.clone(),
        args: in_force(layers, |o| o.args.clone(), Some(declared.args.clone())).unwrap_or_default(),
        node_args: in_force(layers, |o| o.node_args.clone(), Some(declared.node_args.clone()))
            .unwrap_or_default(),
        instances: match instances {
            None => INSTANCES,
            Some(Instances::Count(count)) => count,
            Some(Instances::Max(_)) => INSTANCES_MAX,
        },
        exec_mode,
        port,
        env,
        secrets: declared.secrets.iter().cloned().collect(),
        readiness: readiness(declared, exec_mode, port, !process.listen_fds.is_empty()),
        listen_timeout_ms: reader.milliseconds("listen_timeout", listen_timeout, LISTEN_TIMEOUT_MS),
        kill_timeout_ms: reader.milliseconds("kill_timeout", kill_timeout, KILL_TIMEOUT_MS),
        max_restarts: declared.max_restarts.unwrap_or(MAX_RESTARTS),
        min_uptime_ms: reader.milliseconds("min_uptime", declared.min_uptime.as_ref(), MIN_UPTIME_MS),
        restart_delay_ms: reader.milliseconds(
            "restart_delay",
            declared.restart_delay.as_ref(),
            RESTART_DELAY_MS,
        ),
        user: in_force(layers, |o| o.user.clone(), declared.user.clone()),
        process,
    }
}

/// The Node.js that it needs. A command line most likely starts one; another interpreter only when somebody says so.
fn nodejs_range(declared: &fleet::Application) -> String {
    let range = declared.nodejs.trim();
    match declared.runner() {
        Runner::Itself | Runner::Program(_) if range == fleet::Application::ANY_NODEJS => String::new(),
        Runner::Nodejs | Runner::Shell | Runner::Itself | Runner::Program(_) => range.to_owned(),
    }
}

/// The environment of the process, from the general to the particular; secrets win over everything, so that a variable in
/// a file can never shadow one.
fn environment(
    input: &CompileInput<'_>,
    name: &ApplicationName,
    declared: &fleet::Application,
    layers: Layers<'_>,
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
fn readiness(
    declared: &fleet::Application,
    exec_mode: ExecMode,
    port: Option<u16>,
    sockets_held: bool,
) -> Readiness {
    match (&declared.health, declared.wait_ready, exec_mode) {
        (Some(Health::Http(path)), _, _) => Readiness::Http { path: path.clone() },
        (Some(Health::Tcp(true)), _, _) => Readiness::Tcp,
        (Some(Health::Tcp(false)) | None, true, _) => Readiness::ReadyMessage,
        (Some(Health::Tcp(false)) | None, false, ExecMode::Cluster) => Readiness::Listening,
        // A socket that the supervisor holds takes connections whether anybody serves them or not.
        (Some(Health::Tcp(false)) | None, false, ExecMode::Fork) if port.is_some() && !sockets_held => {
            Readiness::Tcp
        }
        (Some(Health::Tcp(false)) | None, false, ExecMode::Fork) => Readiness::Started,
    }
}

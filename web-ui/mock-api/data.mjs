// A realistic fleet for the tests and for work on the dashboard without a controller. Same shapes as `controller/api-types`.
import { randomUUID } from "node:crypto";
import { calmResources, counts, overrides, resources, turns } from "./resources.mjs";

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const now = Date.now();
export const ago = (seconds) => new Date(now - seconds * 1000).toISOString();
export const ahead = (seconds) => new Date(Date.now() + seconds * 1000).toISOString();
const MIN = 60;
const HOUR = 3600;
const DAY = 86_400;
const hex = (seed, length) => {
  let x = [...seed].reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) >>> 0, 7);
  let out = "";
  while (out.length < length) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    out += x.toString(16).padStart(8, "0");
  }
  return out.slice(0, length);
};

export const FLEET_FILES = {
  "fleet.yaml": `# The shop: one load balancer, two application servers, a machine for staging.
environments:
  staging: {}
  production:
    env: {NODE_ENV: production}

nodes:
  lb-1:    {environment: production, roles: [load_balancer]}
  app-1:   {environment: production, roles: [app_server]}
  app-2:   {environment: production, roles: [app_server]}
  app-3:   {environment: production, roles: [app_server]}   # ordered, not delivered
  data-1:  {environment: production, roles: [datastore]}
  stage-1: {environment: staging, roles: [load_balancer, app_server, datastore]}

files:
  motd:
    path: /etc/motd
    content: "Managed by Muster. Changes here are put back.\\n"
  limits: {path: /etc/security/limits.d/shop.conf, source: limits.conf, mode: "0644", on: {roles: [app_server]}}
`,
  "applications/web.yaml": `applications:
  web:
    nodejs: "22"
    build: npm ci && npm run build && npm prune --omit=dev
    script: dist/server.js
    instances: 4
    port: 3000
    health: {http: /healthz}
    env: {LOG_LEVEL: info, CACHE_SECONDS: 60}
    secrets: [STRIPE_KEY, SESSION_KEY]
    overrides:
      staging: {instances: 1, env: {LOG_LEVEL: debug}}
  api:
    nodejs: ">=20.19"
    script: server.js
    instances: 2
    port: 4000
    health: {http: /health}
    secrets: [DATABASE_URL]
`,
  "limits.conf": "web soft nofile 65536\nweb hard nofile 65536\n",
};

export function summary(name, environment, roles, over = {}) {
  return {
    id: randomUUID(),
    name,
    environment,
    roles,
    liveness: "up",
    liveness_changed_at: ago(9 * DAY),
    last_heartbeat_at: ago(4),
    converged: true,
    convergence: "converged",
    generation: 42,
    reported_generation: 42,
    ...counts([]),
    reboot_required: null,
    mode: "enforce",
    mode_override_count: 0,
    process_count: 0,
    process_ready_count: 0,
    cpu_percent: 12.5,
    memory_used_bytes: Math.round(1.9 * GIB),
    memory_total_bytes: 4 * GIB,
    disk_used_bytes: 21 * GIB,
    disk_total_bytes: 80 * GIB,
    load_1: 0.42,
    ...over,
  };
}

function process(node, environment, application, instance, release, over = {}) {
  return {
    node,
    environment,
    application,
    instance,
    release,
    state: "ready",
    pid: 20_000 + instance * 17 + node.length * 131,
    restarts: 0,
    started_at: ago(2 * DAY + instance * 3),
    cpu_percent: 3.4 + instance,
    memory_bytes: (118 + instance * 7) * MIB,
    unstable_restarts: 0,
    last_exit: null,
    limits_by: "systemd scope",
    dropped_log_lines: 0,
    listening: [application === "web" ? "tcp 0.0.0.0:3000" : "tcp 0.0.0.0:4000"],
    last_failure: null,
    reported_at: ago(4),
    ...over,
  };
}

function release(application, version, seconds, over = {}) {
  return {
    id: randomUUID(),
    application,
    version,
    artifact_digest: hex(application + version, 64),
    file_count: 2318,
    total_bytes: Math.round(41.7 * MIB),
    git: { commit: hex(version + application, 40), branch: "main", dirty: false },
    build_command: "npm ci && npm run build && npm prune --omit=dev",
    created_by: "ci",
    created_at: ago(seconds),
    target_of: [],
    ...over,
  };
}

export function rolloutOf(application, environment, releaseVersion, former, nodes, over = {}) {
  return {
    id: randomUUID(),
    kind: "deploy",
    application,
    environment,
    release: releaseVersion,
    former_release: former,
    status: "completed",
    reason: null,
    created_by: "amara",
    created_at: ago(2 * DAY),
    updated_at: ago(2 * DAY - 48),
    finished_at: ago(2 * DAY - 48),
    nodes: nodes.map((node) => ({ node, state: "moved", former_release: former, since: ago(2 * DAY - 40), deadline: null, reason: null })),
    ...over,
  };
}

let restartSequence = 900;
/** What happened to a process `seconds` ago; `exit` null for what was done on purpose. */
export function processEvent(seconds, node, application, instance, release, reason, exit, over = {}) {
  restartSequence -= 1;
  return {
    sequence: restartSequence,
    at: ago(seconds),
    reported_at: ago(seconds),
    kind: "process.exited",
    severity: "warning",
    node,
    environment: node.startsWith("stage") ? "staging" : "production",
    application,
    instance,
    release,
    reason,
    restarts: null,
    exit: exit && { code: null, signal: null, out_of_memory: false, uptime_ms: 1200, last_stderr: [], ...exit },
    ...over,
  };
}

const STACK = [
  "/opt/muster/applications/api/releases/1.8.3/server.js:41",
  "    throw new Error(`no route to ${host}: ${reason}`);",
  "    ^",
  "",
  "Error: no route to data-1: connect EHOSTUNREACH 10.0.3.11:5432, with password [redacted]",
  "    at Pool.connect (/opt/muster/applications/api/releases/1.8.3/server.js:41:11)",
  "    at process.processTicksAndRejections (node:internal/process/task_queues:105:5)",
  "",
  "Node.js v22.11.0",
];

function restarts() {
  const crash = "exited with code 1 after 1.2 s: Error: no route to data-1: connect EHOSTUNREACH 10.0.3.11:5432, with password [redacted]";
  return [
    processEvent(14 * MIN, "app-2", "api", 1, "1.8.3", crash, { code: 1, last_stderr: STACK }, { restarts: 7 }),
    processEvent(14 * MIN + 30, "app-2", "api", 1, "1.8.3", crash, { code: 1, uptime_ms: 850, last_stderr: STACK }, { restarts: 6 }),
    processEvent(52 * MIN, "app-2", "web", 3, "2.4.1", "killed by SIGKILL after 2 d 1 h: memory limit of 512 MiB exhausted", { signal: "SIGKILL", out_of_memory: true, uptime_ms: 49 * HOUR * 1000 }, { restarts: 1, severity: "error" }),
    processEvent(2 * HOUR, "app-1", "web", 0, "2.4.1", "reloaded: 530 MiB are above max_memory_restart of 512 MiB", null, { kind: "process.memory_restart" }),
    processEvent(9 * HOUR, "app-1", "api", 0, "1.8.3", 'restarted: cron_restart "0 3 * * *" is due', null, { kind: "process.cron_restart", severity: "info" }),
    processEvent(26 * HOUR, "app-1", "api", null, "1.9.0", "the former release was kept: instance 0 exited with code 1 after 240 ms", null, { kind: "process.replace_failed", severity: "error" }),
    processEvent(2 * DAY, "app-1", "web", null, "2.4.1", "4 instances were replaced, start-first", null, { kind: "process.replaced", severity: "info" }),
  ];
}

let sequence = 1000;
export function event(seconds, kind, severity, message, over = {}) {
  sequence += 1;
  return { sequence, at: ago(seconds), kind, severity, message, actor: "controller", node: null, environment: null, application: null, rollout: null, ...over };
}

export function empty() {
  return {
    session: { username: "admin", role: "admin", expires_at: ahead(11 * HOUR), controller_version: "0.1.0" },
    nodes: [],
    environments: [],
    missing: [],
    attention: [],
    applications: [],
    releases: {},
    processes: [],
    rollouts: [],
    processEvents: [],
    events: [event(40, "user.created", "info", "admin was created at the first start", { actor: "controller" })],
    versions: [],
    secrets: [],
    tokens: [],
    enrolments: [],
    resources: {},
    overrides: {},
    turns: [],
    reboots: {},
    plans: {},
  };
}

export function full() {
  const web = ["app-1", "app-2"];
  const completed = rolloutOf("web", "production", "2.4.1", "2.4.0", web);
  const failed = rolloutOf("api", "production", "1.9.0", "1.8.3", web, {
    status: "rolled_back",
    reason: "api did not become ready on app-1: instance 0 exited with code 1 after 240 ms: Error: Cannot find module './config'",
    created_at: ago(26 * HOUR),
    finished_at: ago(26 * HOUR - 95),
    nodes: [
      { node: "app-1", state: "returned", former_release: "1.8.3", since: ago(26 * HOUR - 95), deadline: null, reason: "instance 0 exited with code 1 after 240 ms" },
      { node: "app-2", state: "pending", former_release: "1.8.3", since: null, deadline: null, reason: null },
    ],
  });
  const active = rolloutOf("web", "staging", "2.5.0-rc.1", "2.4.1", ["stage-1"], {
    status: "running",
    created_at: ago(38),
    updated_at: ago(30),
    finished_at: null,
    created_by: "ci",
    nodes: [{ node: "stage-1", state: "moving", former_release: "2.4.1", since: ago(31), deadline: ahead(269), reason: null }],
  });
  const old = rolloutOf("web", "production", "2.4.0", "2.3.2", web, { created_at: ago(6 * DAY), finished_at: ago(6 * DAY - 52) });
  const nodes = [
    summary("lb-1", "production", ["load_balancer"], { reboot_required: "linux-image-6.1.0-29-amd64 is installed, 6.1.0-28-amd64 runs", cpu_percent: 4.1, load_1: 0.08, memory_used_bytes: Math.round(0.6 * GIB), memory_total_bytes: 2 * GIB, disk_used_bytes: 6 * GIB, disk_total_bytes: 40 * GIB }),
    summary("app-1", "production", ["app_server"], { converged: false, convergence: "drifted", mode_override_count: 1, process_count: 6, process_ready_count: 6, cpu_percent: 34.2, load_1: 1.21 }),
    summary("app-2", "production", ["app_server"], { process_count: 6, process_ready_count: 5, cpu_percent: 86.4, load_1: 3.9, converged: false, convergence: "failed", disk_used_bytes: Math.round(79.1 * GIB), memory_used_bytes: Math.round(3.3 * GIB) }),
    summary("data-1", "production", ["datastore"], { liveness: "down", liveness_changed_at: ago(11 * MIN), last_heartbeat_at: ago(12 * MIN), converged: true, memory_total_bytes: 16 * GIB, memory_used_bytes: 9 * GIB }),
    summary("stage-1", "staging", ["load_balancer", "app_server", "datastore"], { process_count: 3, process_ready_count: 3, generation: 43, converged: false, convergence: "pending", mode: "report", mode_override_count: 1, cpu_percent: 21 }),
  ];
  const byNode = Object.fromEntries(nodes.map((node) => [node.name, resources(node.name)]));
  for (const node of nodes) Object.assign(node, counts(byNode[node.name]));
  const processes = [
    ...[0, 1, 2, 3].map((i) => process("app-1", "production", "web", i, "2.4.1")),
    ...[0, 1].map((i) => process("app-1", "production", "api", i, "1.8.3", { memory_bytes: 84 * MIB })),
    ...[0, 1, 2, 3].map((i) => process("app-2", "production", "web", i, "2.4.1", { cpu_percent: 19 + i, memory_bytes: (301 + i * 20) * MIB })),
    process("app-2", "production", "api", 0, "1.8.3", { memory_bytes: 84 * MIB, restarts: 3, started_at: ago(14 * MIN) }),
    process("app-2", "production", "api", 1, "1.8.3", { state: "backing_off", pid: null, started_at: null, restarts: 7, unstable_restarts: 4, dropped_log_lines: 1240, cpu_percent: 0, memory_bytes: 0, last_exit: "exited with code 1 after 1.2 s", last_failure: "release 1.9.0 did not become ready within 3 s" }),
    process("stage-1", "staging", "web", 0, "2.4.1", { memory_bytes: 121 * MIB }),
    ...[0, 1].map((i) => process("stage-1", "staging", "api", i, "1.9.0", { memory_bytes: 84 * MIB, started_at: ago(27 * HOUR) })),
  ];
  const place = (environment, releaseVersion, nodeNames, application, rollout = null) => {
    const mine = processes.filter((p) => p.environment === environment && p.application === application);
    return { environment, release: releaseVersion, nodes: nodeNames, process_count: mine.length, process_ready_count: mine.filter((p) => p.state === "ready").length, active_rollout: rollout };
  };
  const events = [
    event(31, "rollout.node_moving", "info", "stage-1 was given web 2.5.0-rc.1", { node: "stage-1", environment: "staging", application: "web", rollout: active.id }),
    event(38, "rollout.started", "info", "rollout of web 2.5.0-rc.1 to staging: 1 node", { actor: "ci", environment: "staging", application: "web", rollout: active.id }),
    event(95, "release.created", "info", "release web 2.5.0-rc.1, 2,322 files, 41.8 MiB", { actor: "ci", application: "web" }),
    event(11 * MIN, "node.down", "error", "data-1 has missed 3 heartbeats and counts as down", { node: "data-1", environment: "production" }),
    event(12 * MIN, "node.turn_waiting", "info", "app-1 waits for its turn: app-2 keeps its place because its change failed", { node: "app-1", environment: "production" }),
    event(14 * MIN, "process.exited", "warning", "api #1 on app-2 exited with code 1 after 1.2 s; next start in 26 s", { node: "app-2", environment: "production", application: "api", actor: "node app-2" }),
    event(22 * MIN, "resource.failed", "error", "file:/etc/security/limits.d/shop.conf failed on app-2: no space left on device", { node: "app-2", environment: "production", actor: "node app-2" }),
    event(40 * MIN, "node.mode_set", "warning", "stage-1 was set to report for 4 h: load test until tonight, hands off", { node: "stage-1", environment: "staging", actor: "jonas" }),
    event(2 * HOUR, "node.reboot_required", "warning", "lb-1 has to be restarted: linux-image-6.1.0-29-amd64 is installed", { node: "lb-1", environment: "production", actor: "node lb-1" }),
    event(3 * HOUR, "resource.corrected", "warning", "file:/etc/motd on app-1 had drifted and was put back", { node: "app-1", environment: "production", actor: "node app-1" }),
    event(5 * HOUR, "fleet_configuration.applied", "info", "version 7 applied: applications.web changed, 2 nodes affected", { actor: "amara" }),
    event(26 * HOUR - 95, "rollout.rolled_back", "error", failed.reason, { environment: "production", application: "api", rollout: failed.id }),
    event(26 * HOUR, "rollout.started", "info", "rollout of api 1.9.0 to production: 2 nodes", { actor: "amara", environment: "production", application: "api", rollout: failed.id }),
    event(27 * HOUR, "rollout.node_moved", "info", "stage-1 runs api 1.9.0", { node: "stage-1", environment: "staging", application: "api" }),
    event(2 * DAY - 48, "rollout.completed", "info", "rollout of web 2.4.1 to production completed in 48 s", { environment: "production", application: "web", rollout: completed.id }),
    event(2 * DAY - 46, "rollout.node_moved", "info", "app-2 runs web 2.4.1", { node: "app-2", environment: "production", application: "web", rollout: completed.id }),
    event(2 * DAY - 24, "rollout.node_moved", "info", "app-1 runs web 2.4.1", { node: "app-1", environment: "production", application: "web", rollout: completed.id }),
    event(2 * DAY, "rollout.started", "info", "rollout of web 2.4.1 to production: 2 nodes", { actor: "amara", environment: "production", application: "web", rollout: completed.id }),
    event(9 * DAY, "node.enrolled", "info", "app-2 joined as app_server of production", { node: "app-2", environment: "production", actor: "node app-2" }),
    event(9 * DAY + 60, "node.enrolled", "info", "app-1 joined as app_server of production", { node: "app-1", environment: "production", actor: "node app-1" }),
  ];
  const files = (over = {}) => Object.entries({ ...FLEET_FILES, ...over }).map(([path, content]) => ({ path, content }));
  const versions = [
    { version: 7, author: "amara", created_at: ago(5 * HOUR), files: files() },
    { version: 6, author: "amara", created_at: ago(3 * DAY), files: files({ "applications/web.yaml": FLEET_FILES["applications/web.yaml"].replace("instances: 4", "instances: 2").replace(", CACHE_SECONDS: 60", "") }) },
    { version: 5, author: "jonas", created_at: ago(9 * DAY), files: files({ "applications/web.yaml": FLEET_FILES["applications/web.yaml"].replace("instances: 4", "instances: 2").replace("  api:", "  backend:"), "limits.conf": "web soft nofile 4096\n" }) },
  ];
  return {
    ...empty(),
    nodes,
    environments: [
      { name: "production", node_count: 5, node_up_count: 3, node_converged_count: 3 },
      { name: "staging", node_count: 1, node_up_count: 1, node_converged_count: 0 },
    ],
    missing: ["app-3"],
    attention: [
      { severity: "error", message: "data-1 is down since 11 minutes", hint: "Look whether the host is up and reaches the controller: systemctl status muster-agent. It catches up by itself.", node: "data-1", application: null },
      { severity: "error", message: "file:/etc/security/limits.d/shop.conf fails on app-2: no space left on device", hint: "Free space on app-2 (disk 99 % full); the agent tries again within 30 s.", node: "app-2", application: null },
      { severity: "warning", message: "api #1 on app-2 does not stay up: 7 restarts", hint: "Read its log: muster logs api --node app-2 --instance 1", node: null, application: "api" },
    ],
    processes,
    applications: [
      { name: "api", declared: true, environments: [place("production", "1.8.3", ["app-1", "app-2"], "api"), place("staging", "1.9.0", ["stage-1"], "api")], release_count: 2, latest_release: "1.9.0" },
      { name: "web", declared: true, environments: [place("production", "2.4.1", ["app-1", "app-2"], "web"), place("staging", "2.5.0-rc.1", ["stage-1"], "web", active.id)], release_count: 4, latest_release: "2.5.0-rc.1" },
      { name: "reports", declared: true, environments: [place("production", null, ["app-1", "app-2"], "reports")], release_count: 0, latest_release: null },
    ],
    releases: {
      web: [release("web", "2.5.0-rc.1", 95, { target_of: ["staging"], file_count: 2322 }), release("web", "2.4.1", 2 * DAY + HOUR, { target_of: ["production"] }), release("web", "2.4.0", 6 * DAY + HOUR), release("web", "2.3.2", 14 * DAY, { created_by: "jonas", git: { commit: hex("x", 40), branch: "fix/cart", dirty: true } })],
      api: [release("api", "1.9.0", 28 * HOUR, { target_of: ["staging"], total_bytes: Math.round(12.2 * MIB), file_count: 812 }), release("api", "1.8.3", 5 * DAY, { target_of: ["production"], total_bytes: Math.round(12.1 * MIB), file_count: 809, git: null })],
      reports: [],
    },
    rollouts: [active, failed, completed, old],
    events,
    processEvents: restarts(),
    versions,
    secrets: [
      { name: "DATABASE_URL", environment: "production", updated_by: "amara", updated_at: ago(9 * DAY), used_by: ["api"] },
      { name: "DATABASE_URL", environment: "staging", updated_by: "amara", updated_at: ago(9 * DAY), used_by: ["api"] },
      { name: "SESSION_KEY", environment: null, updated_by: "jonas", updated_at: ago(6 * DAY), used_by: ["web"] },
      { name: "STRIPE_KEY", environment: "production", updated_by: "amara", updated_at: ago(3 * HOUR), used_by: ["web"] },
      { name: "OLD_WEBHOOK", environment: null, updated_by: "amara", updated_at: ago(40 * DAY), used_by: [] },
    ],
    tokens: [
      { id: randomUUID(), name: "laptop of Amara", username: "admin", created_at: ago(20 * DAY), expires_at: null, last_used_at: ago(5 * HOUR), revoked_at: null },
      { id: randomUUID(), name: "ci", username: "admin", created_at: ago(20 * DAY), expires_at: ahead(70 * DAY), last_used_at: ago(95), revoked_at: null },
      { id: randomUUID(), name: "old laptop", username: "admin", created_at: ago(90 * DAY), expires_at: null, last_used_at: ago(30 * DAY), revoked_at: ago(21 * DAY) },
    ],
    enrolments: [],
    resources: byNode,
    overrides: overrides(),
    turns: turns(active.id),
  };
}

/** All is well: what most people see on most days. */
export function calm() {
  const state = full();
  state.attention = [];
  state.missing = [];
  state.overrides = {};
  state.turns = [];
  state.rollouts = state.rollouts.filter((rollout) => rollout.status !== "running");
  for (const node of state.nodes) {
    Object.assign(node, { liveness: "up", converged: true, convergence: "converged", reboot_required: null, mode: "enforce", mode_override_count: 0, reported_generation: node.generation, process_ready_count: node.process_count, last_heartbeat_at: ago(3) });
    state.resources[node.name] = calmResources(node.name);
    Object.assign(node, counts(state.resources[node.name]));
    if (node.cpu_percent > 80) Object.assign(node, { cpu_percent: 28, disk_used_bytes: 24 * GIB, load_1: 0.9 });
  }
  for (const each of state.processes) if (each.state !== "ready") Object.assign(each, { state: "ready", pid: 20_412, started_at: ago(2 * DAY), memory_bytes: 84 * MIB, cpu_percent: 3 });
  for (const app of state.applications) {
    for (const each of app.environments) Object.assign(each, { active_rollout: null, process_ready_count: each.process_count });
  }
  for (const each of state.environments) Object.assign(each, { node_count: state.nodes.filter((n) => n.environment === each.name).length, node_up_count: state.nodes.filter((n) => n.environment === each.name).length, node_converged_count: state.nodes.filter((n) => n.environment === each.name).length });
  state.events = state.events.filter((each) => each.severity !== "error" || each.rollout !== null);
  return state;
}

export const SCENARIOS = { full, empty, calm };

// The REST operations over the state of data.mjs. Refuses what the controller refuses, as far as the dashboard can see it.
import { randomUUID } from "node:crypto";
import { ago, ahead, event, rolloutOf, summary } from "./data.mjs";
import { CONVERGENCE_ROUTES } from "./convergence.mjs";
import { series } from "./metrics.mjs";
import { Refused, find, nodeOf, notFound, page } from "./refuse.mjs";
import { listed } from "./resources.mjs";

const terminal = new Set(["completed", "rolled_back", "aborted"]);

function convergence(nodes) {
  const counts = { converged: 0, pending: 0, waiting: 0, drifted: 0, failed: 0 };
  for (const node of nodes) if (node.liveness !== "revoked") counts[node.convergence] += 1;
  return counts;
}

const environments = (state) => state.environments.map((each) => ({ ...each, convergence: convergence(state.nodes.filter((node) => node.environment === each.name)) }));

function overview(state) {
  return {
    attention: state.attention,
    environments: environments(state),
    nodes: state.nodes,
    convergence: convergence(state.nodes),
    turns: state.turns,
    missing_nodes: state.missing,
    active_rollouts: state.rollouts.filter((rollout) => !terminal.has(rollout.status)),
    recent_events: state.events.slice(0, 20),
    fleet_configuration_version: state.versions[0]?.version ?? 0,
    application_count: state.applications.length,
  };
}

const appOf = (state, name) => find(state.applications, (app) => app.name === name, `application "${name}"`);

function nodeDetail(state, name) {
  const node = nodeOf(state, name);
  return {
    ...node,
    enrolled_at: ago(9 * 86_400),
    revoked_at: node.liveness === "revoked" ? ago(10) : null,
    certificate_expires_at: ahead(15.4 * 3600),
    facts: { hostname: `${name}.shop.example`, os: "Debian GNU/Linux 12", kernel: "6.1.0-28-amd64", architecture: "x86_64", cpus: 4, memory_bytes: node.memory_total_bytes, agent_version: "0.1.0", rootless: name.startsWith("stage") },
    converged_at: ago(25),
    compile_error: null,
    resources: (state.resources[name] ?? []).map(listed),
    mode_overrides: state.overrides[name] ?? [],
    turn: state.turns.find((turn) => turn.node === name) ?? null,
    reboot_request: state.reboots[name] ?? null,
    processes: state.processes.filter((process) => process.node === name),
  };
}

function startRollout(world, body, kind) {
  const { state } = world;
  const app = appOf(state, body.application);
  const place = find(app.environments, (each) => each.environment === body.environment, `environment "${body.environment}"`);
  if (place.active_rollout) throw new Refused(409, "rollout_in_progress", "A rollout is under way", `${app.name} is being moved in ${place.environment}`, "Wait for it, or abort it.");
  const release = body.release ?? state.rollouts.find((r) => r.application === app.name && r.environment === place.environment && r.status === "completed")?.former_release;
  const rollout = rolloutOf(app.name, place.environment, release, place.release, place.nodes, {
    kind,
    status: "running",
    created_by: state.session.username,
    created_at: new Date().toISOString(),
    updated_at: new Date().toISOString(),
    finished_at: null,
  });
  rollout.nodes = rollout.nodes.map((node) => ({ ...node, state: "pending", since: null }));
  place.active_rollout = rollout.id;
  place.release = release;
  state.rollouts.unshift(rollout);
  world.say("rollout.started", "info", `rollout of ${app.name} ${release} to ${place.environment}: ${rollout.nodes.length} nodes`, { application: app.name, environment: place.environment, rollout: rollout.id, actor: state.session.username });
  world.drive(rollout, place);
  return rollout;
}

/** [method, path pattern, handler, status]. */
export const ROUTES = [
  ["GET", "/session", ({ state }) => state.session],
  ["DELETE", "/session", (world) => void (world.signedIn = false), 204],
  ["GET", "/overview", ({ state }) => overview(state)],
  ["GET", "/nodes", ({ state }) => page(state.nodes)],
  ["GET", "/nodes/:name", ({ state }, { name }) => nodeDetail(state, name)],
  ["POST", "/nodes/:name/converge", ({ state }, { name }) => void nodeOf(state, name), 202],
  [
    "POST",
    "/nodes/:name/revoke",
    (world, { name }) => {
      Object.assign(nodeOf(world.state, name), { liveness: "revoked", liveness_changed_at: new Date().toISOString(), process_count: 0, process_ready_count: 0 });
      world.say("node.revoked", "warning", `${name} was revoked`, { node: name, actor: world.state.session.username });
      world.send({ topic: "node", name });
      return nodeDetail(world.state, name);
    },
  ],
  ["DELETE", "/nodes/:name", ({ state }, { name }) => void (state.nodes = state.nodes.filter((node) => node.name !== name)), 204],
  ["GET", "/nodes/:name/metrics", ({ state }, { name }, query) => series(nodeOf(state, name), Date.parse(query.from), Date.parse(query.to), Number(query.points))],
  ...CONVERGENCE_ROUTES,
  ["GET", "/enrolments", ({ state }) => page(state.enrolments)],
  [
    "POST",
    "/enrolments",
    (world, _, __, body) => {
      const { state } = world;
      if (state.nodes.some((node) => node.name === body.node && node.liveness !== "revoked")) throw new Refused(409, "node_exists", "The name is taken", `a node named "${body.node}" has joined already`, "Revoke it first, or choose another name.");
      const enrolment = { id: randomUUID(), node: body.node, environment: body.environment ?? "production", roles: body.roles ?? ["app_server"], status: "invited", created_by: state.session.username, created_at: new Date().toISOString(), expires_at: ahead(body.ttl_s ?? 900), enrolled_at: null };
      state.enrolments.unshift(enrolment);
      const token = `muster_join_${enrolment.id.replaceAll("-", "").slice(0, 12)}_Qm9vdHN0cmFwIHRoZSBub2RlIHdpdGggdGhpcyB0b2tlbg_4f1d2c9be0a74f1d2c9be0a74f1d2c9be0a74f1d2c9be0a74f1d2c9be0a70e11`;
      world.joinSoon(enrolment);
      const controller_url = "https://muster.shop.example:8444";
      const install = `sh -c 'set -eu; umask 077; read -r t; d=$(mktemp -d); trap "rm -rf $d" EXIT; cd "$d"; u=${controller_url}/install; curl -fsSk "$u/root.der" >root.der; [ "$(sha256sum <root.der)" = "\${t##*_}  -" ] || exit 1; { echo -----BEGIN CERTIFICATE-----; base64 root.der; echo -----END CERTIFICATE-----; } >root.pem; curl -fsS --cacert root.pem --capath . "$u/install.sh" >install.sh; echo "$t" | sh install.sh "$u"'`;
      const cloud_init = `#cloud-config\nwrite_files:\n  - path: /run/muster-join-token\n    permissions: "0600"\n    content: |\n      ${token}\nruncmd:\n  - |\n    ${install} </run/muster-join-token\n    rm -f /run/muster-join-token\n`;
      return { enrolment, token, controller_url, command: `echo ${token} | ${install}`, cloud_init, install_problem: null };
    },
    201,
  ],
  ["DELETE", "/enrolments/:id", ({ state }, { id }) => void (find(state.enrolments, (each) => each.id === id, "invitation").status = "withdrawn"), 204],
  ["GET", "/environments", ({ state }) => page(environments(state))],
  ["GET", "/applications", ({ state }) => page(state.applications)],
  [
    "GET",
    "/applications/:name",
    ({ state }, { name }) => ({
      ...appOf(state, name),
      declaration: { nodejs: "22", build: "npm ci && npm run build", script: "dist/server.js", args: [], instances: 4, exec_mode: null, port: 3000, health: { http: "/healthz" }, env: { LOG_LEVEL: "info", CACHE_SECONDS: 60 }, secrets: ["STRIPE_KEY", "SESSION_KEY"], overrides: { staging: { instances: 1, env: { LOG_LEVEL: "debug" } } } },
      processes: state.processes.filter((process) => process.application === name),
    }),
  ],
  ["GET", "/applications/:name/releases", ({ state }, { name }) => page(state.releases[name] ?? [])],
  ["POST", "/rollouts", (world, _, __, body) => startRollout(world, body, "deploy"), 201],
  ["POST", "/rollouts/rollback", (world, _, __, body) => startRollout(world, body, "rollback"), 201],
  ["GET", "/rollouts", ({ state }, _, query) => page(state.rollouts.filter((r) => (!query.application || r.application === query.application) && (!query.environment || r.environment === query.environment)))],
  ["GET", "/rollouts/:id", ({ state }, { id }) => find(state.rollouts, (rollout) => rollout.id === id, "rollout of that id")],
  [
    "POST",
    "/rollouts/:id/abort",
    (world, { id }) => {
      const rollout = find(world.state.rollouts, (each) => each.id === id, "rollout of that id");
      if (terminal.has(rollout.status)) throw new Refused(409, "rollout_ended", "The rollout has ended", "it cannot be aborted any more");
      world.abort(rollout);
      return rollout;
    },
  ],
  [
    "GET",
    "/process-events",
    ({ state }, _, query) => {
      const all = state.processEvents.filter((each) => ["node", "application"].every((field) => !query[field] || each[field] === query[field]));
      const rest = query.cursor ? all.filter((each) => each.sequence < Number(query.cursor)) : all;
      const items = rest.slice(0, Number(query.limit ?? 100));
      return { items, next_cursor: items.length < rest.length ? String(items.at(-1).sequence) : null };
    },
  ],
  [
    "GET",
    "/events",
    ({ state }, _, query) =>
      page(
        state.events
          .filter((each) => ["severity", "node", "environment", "application", "kind"].every((field) => !query[field] || each[field] === query[field]))
          .slice(0, Number(query.limit ?? 100)),
      ),
  ],
  [
    "GET",
    "/fleet-configuration",
    ({ state }) => {
      if (state.versions.length === 0) throw notFound("fleet configuration yet");
      return { ...state.versions[0], configuration: {} };
    },
  ],
  ["GET", "/fleet-configuration/versions", ({ state }) => page(state.versions.map(({ version, author, created_at }) => ({ version, author, created_at })))],
  ["GET", "/fleet-configuration/versions/:version", ({ state }, { version }) => ({ ...find(state.versions, (each) => each.version === Number(version), `version ${version}`), configuration: {} })],
  ["GET", "/secrets", ({ state }) => page(state.secrets)],
  [
    "PUT",
    "/secrets/:name",
    ({ state }, { name }, _, body) => {
      state.secrets = state.secrets.filter((each) => each.name !== name || each.environment !== (body.environment ?? null));
      state.secrets.push({ name, environment: body.environment ?? null, updated_by: state.session.username, updated_at: new Date().toISOString(), used_by: [] });
    },
    204,
  ],
  ["DELETE", "/secrets/:name", ({ state }, { name }, query) => void (state.secrets = state.secrets.filter((each) => each.name !== name || each.environment !== (query.environment ?? null))), 204],
  ["GET", "/tokens", ({ state }) => page(state.tokens)],
  [
    "POST",
    "/tokens",
    ({ state }, _, __, body) => {
      const token = { id: randomUUID(), name: body.name, username: state.session.username, created_at: new Date().toISOString(), expires_at: body.ttl_s ? ahead(body.ttl_s) : null, last_used_at: null, revoked_at: null };
      state.tokens.unshift(token);
      return { token, secret: `muster_api_${token.id.replaceAll("-", "").slice(0, 12)}_kWc1n0Wm5tQ2vXy8Zb4Jd6Lf9Hs3Rg7Tp0Ua2Ve5Oi` };
    },
    201,
  ],
  ["DELETE", "/tokens/:id", ({ state }, { id }) => void (find(state.tokens, (each) => each.id === id, "token").revoked_at = new Date().toISOString()), 204],
];

export { event, summary };

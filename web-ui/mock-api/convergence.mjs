// Resources, modes, turns, restarts, plans and inspections.
import { randomUUID } from "node:crypto";
import { Refused, find, nodeOf, notFound, page } from "./refuse.mjs";
import { FRAGMENT, NOTES, changesOf, planOf } from "./resources.mjs";

const PLAN_MS = 500;
const soon = (seconds) => new Date(Date.now() + seconds * 1000).toISOString();
const resourceOf = (state, name, key) => find(state.resources[name] ?? [], (each) => each.key === key, `resource "${key}" on ${name}`);

function tell(world, name, kind, message) {
  const node = nodeOf(world.state, name);
  world.say(kind, "warning", message, { node: name, environment: node.environment, actor: world.state.session.username });
  world.send({ topic: "node", name });
}

function setMode(world, name, body) {
  const { state } = world;
  const node = nodeOf(state, name);
  const lifts = body.mode === "enforce";
  if (!lifts && !body.reason?.trim()) throw new Refused(422, "reason_missing", "Why is missing", "a reason of one line with at most 300 characters is needed");
  const resource = body.resource ?? null;
  const kept = (state.overrides[name] ?? []).filter((each) => each.resource !== resource);
  if (!lifts) kept.push({ resource, mode: body.mode, reason: body.reason, set_by: state.session.username, set_at: soon(0), expires_at: body.expires_in_s ? soon(body.expires_in_s) : null });
  state.overrides[name] = kept;
  for (const each of state.resources[name]) if (resource === null || each.key === resource) each.mode = body.mode;
  Object.assign(node, { mode_override_count: kept.length, mode: kept.find((each) => each.resource === null)?.mode ?? "enforce" });
  tell(world, name, "node.mode_set", `${resource ?? name} was set to ${body.mode}`);
  return page(kept);
}

function startPlan(world, body) {
  const { state } = world;
  const nodes = state.nodes.filter((node) => node.liveness !== "revoked" && (!body.node || node.name === body.node) && (!body.environment || node.environment === body.environment));
  if (body.node && nodes.length === 0) throw notFound(`node "${body.node}"`);
  const answers = nodes.map((node) => planOf(node, state.resources[node.name] ?? []));
  // Only a candidate is compiled for nodes that no host has joined as.
  if (body.files !== undefined && body.node === undefined) {
    for (const name of state.missing) answers.push({ node: name, environment: "production", state: "missing", problem: null, change_count: 0, generation: null, reboot_required: null, resources: [], unchanged_count: 0 });
  }
  const waiting = answers.map((each) => (each.state !== "planned" ? each : { ...each, state: "waiting", change_count: 0, unchanged_count: 0, resources: [], generation: null, reboot_required: null }));
  const plan = { id: randomUUID(), created_by: state.session.username, created_at: soon(0), candidate: body.files !== undefined, finished: false, nodes: waiting };
  state.plans[plan.id] = plan;
  world.later(PLAN_MS, () => Object.assign(plan, { nodes: answers, finished: true }));
  return plan;
}

export const CONVERGENCE_ROUTES = [
  [
    "GET",
    "/nodes/:name/resource",
    ({ state }, { name }, { key }) => {
      nodeOf(state, name);
      return { node: name, ...resourceOf(state, name, key), changes: changesOf(state.resources[name], key) };
    },
  ],
  [
    "GET",
    "/nodes/:name/changes",
    ({ state }, { name }, query) => {
      nodeOf(state, name);
      const all = changesOf(state.resources[name] ?? [], query.key);
      const from = Number(query.cursor ?? 0);
      const until = from + Number(query.limit ?? 50);
      return { items: all.slice(from, until), next_cursor: until < all.length ? String(until) : null };
    },
  ],
  ["PUT", "/nodes/:name/mode", (world, { name }, _, body) => setMode(world, name, body)],
  [
    "POST",
    "/nodes/:name/reboot",
    (world, { name }, _, body) => {
      const { state } = world;
      state.reboots[name] = { id: randomUUID(), requested_by: state.session.username, requested_at: soon(0), reason: body.reason, now: body.now ?? false };
      tell(world, name, "node.reboot_requested", `a restart of ${name} was asked for: ${body.reason}`);
      return state.reboots[name];
    },
    202,
  ],
  [
    "DELETE",
    "/nodes/:name/reboot",
    (world, { name }) => {
      delete world.state.reboots[name];
      tell(world, name, "node.reboot_cancelled", `the restart of ${name} was taken back`);
    },
    204,
  ],
  [
    "POST",
    "/nodes/:name/turn/release",
    (world, { name }) => {
      const { state } = world;
      const turn = find(state.turns, (each) => each.node === name && each.state === "failed", `failed turn of ${name}`);
      state.turns = state.turns.filter((each) => each !== turn);
      const next = state.turns.find((each) => each.environment === turn.environment && each.state === "waiting");
      if (next) Object.assign(next, { state: "granted", detail: "", since: soon(0), expires_at: soon(900) });
      tell(world, name, "node.turn_released", `others may go on without ${name}`);
    },
    204,
  ],
  [
    "POST",
    "/nodes/:name/inspect",
    ({ state }, { name }) => {
      const node = nodeOf(state, name);
      if (node.liveness === "down") throw new Refused(409, "node_away", "The node is away", `node ${name} is not connected`, "Look whether the host is up.");
      return { node: name, fragment: FRAGMENT(name), notes: NOTES, inventory: {} };
    },
  ],
  ["POST", "/plans", (world, _, __, body) => startPlan(world, body), 201],
  ["GET", "/plans/:id", ({ state }, { id }) => state.plans[id] ?? (() => { throw notFound("plan of that id: plans are kept for ten minutes"); })()],
];

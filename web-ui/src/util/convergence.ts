// What the resources of a node, its modes and its plans mean, in numbers and sentences.
import type { Convergence, ConvergenceCounts, Mode, ModeOverride, NodeDetail, NodePlan, NodeSummary, PlannedResource, ResourceState, ResourceStatus, Turn } from "../api/types";
import { duration, list, plural } from "./format";
import { CONVERGENCE_WORDS } from "./status";

/** `file:/etc/motd` as its kind and its name. */
export function splitKey(key: string): { kind: string; name: string } {
  const at = key.indexOf(":");
  return at === -1 ? { kind: "", name: key } : { kind: key.slice(0, at), name: key.slice(at + 1) };
}

export const STATUS_WORDS: readonly ResourceStatus[] = ["failed", "skipped", "drifted", "waiting", "unsupported", "converged"];

/** How many resources stand how: the words that occur, the worst first. */
export function countStatus(resources: readonly ResourceState[]): { status: ResourceStatus; count: number }[] {
  return STATUS_WORDS.map((status) => ({ status, count: resources.filter((each) => each.status === status).length })).filter(({ count }) => count > 0);
}

/** The words of an environment that some node has, the worst first. */
export function countConvergence(counts: ConvergenceCounts): { convergence: Convergence; count: number }[] {
  return CONVERGENCE_WORDS.map((convergence) => ({ convergence, count: counts[convergence] })).filter(({ count }) => count > 0);
}

export interface ResourceFilter {
  q?: string;
  kind?: string;
  /** A status, or `problems`, `corrective`, `held`. */
  show?: string;
}

export function passesFilter(resource: ResourceState, { kind, show }: ResourceFilter): boolean {
  if (kind !== undefined && resource.kind !== kind) return false;
  if (show === undefined) return true;
  if (show === "problems") return resource.status !== "converged" && resource.status !== "unsupported";
  if (show === "corrective") return resource.change === "corrective";
  return show === "held" ? resource.mode !== "enforce" : resource.status === show;
}

/** All resources of a node in a few words. What its agent cannot manage is not wrong, and not as it should be either. */
export function resourcesNote(resources: readonly ResourceState[]): string {
  if (resources.length === 0) return "";
  const unmanaged = resources.filter((each) => each.status === "unsupported").length;
  const wrong = resources.filter((each) => each.status !== "converged").length - unmanaged;
  const rest = unmanaged > 0 ? `, ${unmanaged} not managed by its agent` : "";
  if (wrong > 0) return `${wrong} of ${resources.length} not as they should be${rest}`;
  return unmanaged > 0 ? `${resources.length - unmanaged} of ${resources.length} as they should be${rest}` : `${plural(resources.length, "resource")}, all as they should be`;
}

const STRICTNESS: Record<Mode, number> = { enforce: 0, report: 1, ignore: 2 };

/** Mirrors `muster_planning::modes`: an override only ever holds the agent back. */
export const strictest = (a: Mode, b: Mode): Mode => (STRICTNESS[b] > STRICTNESS[a] ? b : a);

export const overrideOf = (overrides: readonly ModeOverride[], resource: string | null): ModeOverride | null => overrides.find((each) => each.resource === resource) ?? null;

export const MODES: readonly { mode: Mode; means: string }[] = [
  { mode: "enforce", means: "Differences are put right." },
  { mode: "report", means: "Differences are told and left as they are." },
  { mode: "ignore", means: "Not even looked at." },
];

/** What setting a mode will do to what, in numbers. `resource` null: the whole node. */
export function modeConsequences(node: NodeDetail, resource: string | null, mode: Mode, forSeconds: number | null): string[] {
  const about = resource === null ? node.resources : node.resources.filter((each) => each.key === resource);
  const set = overrideOf(node.mode_overrides, resource);
  const until = forSeconds === null ? "until somebody lifts it" : `for ${duration(forSeconds * 1000)}; then it is lifted by itself`;
  const what = resource ?? `every resource of ${node.name}`;
  if (mode === "enforce") {
    if (set === null) return [`Nothing was set for ${resource ?? node.name}: what the configuration declares holds already.`];
    const differing = about.filter((each) => each.status === "drifted" || each.differs).length;
    const others = resource === null ? node.mode_overrides.filter((each) => each.resource !== null).length : 0;
    return [
      `What ${set.set_by} set (${set.mode}) is lifted: what the configuration declares holds again for ${resource ?? plural(about.length, "resource")}.`,
      differing > 0 ? `${plural(differing, "resource differs", "resources differ")} now and ${differing === 1 ? "is" : "are"} put right at the next run, unless the configuration itself says otherwise.` : "None is known to differ.",
      ...(set.mode === "ignore" ? ["What was ignored was not looked at: what differs there is not known. Make a plan after lifting, if in doubt."] : []),
      ...(others > 0 ? [`${plural(others, "mode")} set for single resources ${others === 1 ? "stays" : "stay"}.`] : []),
      ...(resource !== null && overrideOf(node.mode_overrides, null) !== null ? ["What is set for the whole node goes on holding for it."] : []),
    ];
  }
  const held = about.filter((each) => strictest(each.mode, mode) !== each.mode);
  const already = about.length - held.length;
  const applications = held.filter((each) => each.kind === "application");
  return [
    mode === "report" ? `Muster goes on looking at ${what} and changes nothing, ${until}.` : `Muster does not even look at ${what}, ${until}.`,
    resource === null
      ? `${plural(held.length, "resource")} of ${about.length} ${held.length === 1 ? "is" : "are"} held back by this${already > 0 ? `; ${already} ${already === 1 ? "is" : "are"} held back as much already` : ""}.`
      : held.length === 0
        ? "It is held back as much already, by what is declared or set for the node."
        : "New versions of the configuration do not reach it meanwhile, and changes by hand stay.",
    ...(resource === null ? ["New versions of the configuration do not reach it meanwhile, and changes by hand stay."] : []),
    ...(applications.length > 0 ? [`${list(applications.map((each) => splitKey(each.key).name))} ${applications.length === 1 ? "gets" : "get"} no new release here meanwhile; what runs goes on running.`] : []),
  ];
}

/** What a restart will do to what, in numbers. */
export function rebootConsequences(node: NodeDetail, now: boolean): string[] {
  const applications = [...new Set(node.processes.map((process) => process.application))];
  const roles = node.roles.map((role) => role.replaceAll("_", " "));
  const missing = node.resources.filter((each) => each.status !== "converged" && each.status !== "unsupported").length;
  return [
    `The host ${node.facts.hostname || node.name} is restarted: it is away for a minute or so.`,
    node.processes.length > 0 ? `${plural(node.processes.length, "process", "processes")} of ${list(applications)} ${node.processes.length === 1 ? "stops and is" : "stop and are"} started again when it is back.` : "It runs no processes.",
    now ? `It does not wait for its turn: other nodes of ${node.environment} may be changing at the same time.` : `It waits for its turn, so that not too many nodes${roles.length > 0 ? ` (${list(roles)})` : ""} of ${node.environment} are away at once, and keeps it until it does its work again.`,
    ...(missing > 0 ? [`${plural(missing, "resource is", "resources are")} not converged now: it may not come back as it should be.`] : []),
    node.liveness === "up" ? "The node is told with its next heartbeat, within 10 s. It can be taken back until then." : "The node is not up: it is told when it is heard again, unless this is taken back before.",
  ];
}

export type PlanGroup = "change" | "restart" | "remove" | "stuck" | "held";

export const PLAN_GROUPS: readonly { group: PlanGroup; title: string; note: string }[] = [
  { group: "change", title: "Would change", note: "made or altered" },
  { group: "restart", title: "Would reload, restart or run", note: "because of what changes" },
  { group: "remove", title: "Would remove or release", note: "no longer declared" },
  { group: "stuck", title: "Not tried or not known", note: "and why" },
  { group: "held", title: "Not in force", note: "differs, and its mode says to leave it" },
];

/** Where a planned resource belongs. What a mode holds back stands by itself: it would not be made. */
export function planGroup(resource: PlannedResource): PlanGroup | null {
  if (resource.change === "none") return null;
  if (resource.mode !== "enforce") return "held";
  switch (resource.change) {
    case "change":
      return "change";
    case "reload":
    case "restart":
    case "run":
      return "restart";
    case "remove":
    case "release":
      return "remove";
    case "skip":
    case "unknown":
      return "stuck";
  }
}

export function groupPlan(plan: NodePlan): Map<PlanGroup, PlannedResource[]> {
  const groups = new Map<PlanGroup, PlannedResource[]>();
  for (const resource of plan.resources) {
    const group = planGroup(resource);
    if (group !== null) groups.set(group, [...(groups.get(group) ?? []), resource]);
  }
  return groups;
}

/** A plan in one sentence. */
export function planSentence(nodes: readonly NodePlan[]): string {
  const answered = nodes.filter((node) => node.state === "planned");
  const changing = answered.filter((node) => node.change_count > 0);
  const changes = changing.reduce((sum, node) => sum + node.change_count, 0);
  const disruptive = answered.reduce((sum, node) => sum + node.resources.filter((each) => each.disruptive && each.mode === "enforce" && each.change !== "none").length, 0);
  const problems = nodes.filter((node) => node.state === "problem").length;
  const hostless = nodes.filter((node) => node.state === "missing").length;
  const head =
    answered.length === 0
      ? "No node has answered"
      : changes === 0
        ? answered.length === 1 ? `Nothing would change on ${answered[0]?.node}` : `Nothing would change on ${plural(answered.length, "node")}`
        : `${plural(changes, "change")} on ${changing.length === 1 ? changing[0]?.node : plural(changing.length, "node")}`;
  return `${head}${disruptive > 0 ? `, ${disruptive} of them disruptive` : ""}${problems > 0 ? `; ${plural(problems, "node")} without an answer` : ""}${hostless > 0 ? `; ${plural(hostless, "node")} without a host yet` : ""}.`;
}

/** The worst first, then in the order of the fleet: failed turns hold the others up. */
export function sortTurns(turns: readonly Turn[]): Turn[] {
  const order: Record<Turn["state"], number> = { failed: 0, granted: 1, waiting: 2 };
  return turns.toSorted((a, b) => order[a.state] - order[b.state] || a.environment.localeCompare(b.environment) || a.since.localeCompare(b.since));
}

/** Nodes of which somebody should know that they have to be restarted. */
export const restartNeeded = (nodes: readonly NodeSummary[]): NodeSummary[] => nodes.filter((node) => node.reboot_required !== null && node.liveness !== "revoked");

// Every status of the API as a look (shape and colour) and a word. One table per kind, so that no page invents its own.
import type { Convergence, Liveness, Mode, NodePlan, NodeSummary, PlannedChange, ProcessState, ResourceStatus, Rollout, RolloutNodeState, RolloutStatus, Severity, Turn } from "../api/types";
import { words } from "./format";

/** Each look has a shape and a colour of its own; `Status.tsx` draws them. */
export type Look = "ok" | "busy" | "waiting" | "warning" | "error" | "off" | "info";

export interface StatusWord {
  look: Look;
  word: string;
}

const LIVENESS: Record<Liveness, StatusWord> = {
  pending: { look: "waiting", word: "not heard yet" },
  up: { look: "ok", word: "up" },
  late: { look: "warning", word: "late" },
  down: { look: "error", word: "down" },
  revoked: { look: "off", word: "revoked" },
};

const PROCESS: Record<ProcessState, StatusWord> = {
  stopped: { look: "off", word: "stopped" },
  starting: { look: "busy", word: "starting" },
  ready: { look: "ok", word: "ready" },
  backing_off: { look: "warning", word: "backing off" },
  crash_looping: { look: "error", word: "crash looping" },
  stopping: { look: "busy", word: "stopping" },
};

const RESOURCE: Record<ResourceStatus, StatusWord> = {
  converged: { look: "ok", word: "converged" },
  failed: { look: "error", word: "failed" },
  skipped: { look: "warning", word: "skipped" },
  unsupported: { look: "off", word: "unsupported" },
  drifted: { look: "warning", word: "drifted" },
  waiting: { look: "waiting", word: "waiting" },
};

const CONVERGENCE: Record<Convergence, StatusWord> = {
  converged: { look: "ok", word: "converged" },
  pending: { look: "busy", word: "pending" },
  waiting: { look: "waiting", word: "waiting" },
  drifted: { look: "warning", word: "drifted" },
  failed: { look: "error", word: "failed" },
};

const MODE: Record<Mode, StatusWord> = {
  enforce: { look: "ok", word: "enforce" },
  report: { look: "info", word: "report" },
  ignore: { look: "off", word: "ignore" },
};

const PLANNED: Record<PlannedChange, StatusWord> = {
  none: { look: "ok", word: "stays" },
  change: { look: "info", word: "change" },
  remove: { look: "warning", word: "remove" },
  release: { look: "off", word: "release" },
  reload: { look: "info", word: "reload" },
  restart: { look: "info", word: "restart" },
  run: { look: "info", word: "run" },
  skip: { look: "warning", word: "skip" },
  unknown: { look: "error", word: "not known" },
};

const ROLLOUT: Record<RolloutStatus, StatusWord> = {
  planned: { look: "waiting", word: "planned" },
  running: { look: "busy", word: "running" },
  rolling_back: { look: "warning", word: "going back" },
  completed: { look: "ok", word: "completed" },
  rolled_back: { look: "error", word: "failed, rolled back" },
  aborted: { look: "off", word: "aborted" },
};

const ROLLOUT_NODE: Record<RolloutNodeState, StatusWord> = {
  pending: { look: "waiting", word: "comes later" },
  waiting: { look: "waiting", word: "waits for its turn" },
  away: { look: "off", word: "down, catches up later" },
  moving: { look: "busy", word: "moving" },
  moved: { look: "ok", word: "moved" },
  failed: { look: "error", word: "failed" },
  returning: { look: "busy", word: "going back" },
  returned: { look: "ok", word: "back on its former release" },
  return_unconfirmed: { look: "error", word: "return not confirmed" },
};

const SEVERITY: Record<Severity, StatusWord> = {
  info: { look: "info", word: "info" },
  warning: { look: "warning", word: "warning" },
  error: { look: "error", word: "error" },
};

const PROCESS_EVENT: Record<string, string> = {
  "process.exited": "ended",
  "process.crash_looping": "given up",
  "process.stopped": "stopped",
  "process.restarted": "restarted",
  "process.replaced": "replaced",
  "process.replace_failed": "not replaced",
  "process.deleted": "removed",
  "process.memory_restart": "memory limit",
  "process.cron_restart": "schedule",
  "process.watch_restart": "file changed",
};

// A newer controller may know states that this page does not: show the word rather than fail.
const pick = <K extends string>(table: Record<K, StatusWord>, key: K): StatusWord => table[key] ?? { look: "info", word: key };

export const livenessStatus = (liveness: Liveness): StatusWord => pick(LIVENESS, liveness);
export const processStatus = (state: ProcessState): StatusWord => pick(PROCESS, state);
export const resourceStatus = (status: ResourceStatus): StatusWord => pick(RESOURCE, status);
export const convergenceStatus = (convergence: Convergence): StatusWord => pick(CONVERGENCE, convergence);
export const modeStatus = (mode: Mode): StatusWord => pick(MODE, mode);
export const plannedStatus = (change: PlannedChange): StatusWord => pick(PLANNED, change);
export const rolloutStatus = (status: RolloutStatus): StatusWord => pick(ROLLOUT, status);
export const severityStatus = (severity: Severity): StatusWord => pick(SEVERITY, severity);

/** What happened to a process, in a word or two. */
export const processEventWord = (kind: string): string => PROCESS_EVENT[kind] ?? words(kind.replace(/^process\./, ""));

/** The words of convergence in the order in which they matter. */
export const CONVERGENCE_WORDS: readonly Convergence[] = ["failed", "drifted", "waiting", "pending", "converged"];

/** How a node stands to what it should be, with how many of its resources say so. */
export function nodeConvergence(node: NodeSummary): StatusWord {
  const { look, word } = convergenceStatus(node.convergence);
  const count = { failed: node.failed_count, drifted: node.drifted_count, waiting: node.waiting_count, pending: 0, converged: 0 }[node.convergence] ?? 0;
  return { look, word: count === 0 ? word : `${count} ${word}` };
}

/** What one mark says about a node as a whole: liveness first, then what failed or drifted, then its processes. */
export function nodeStatus(node: NodeSummary): StatusWord {
  if (node.liveness !== "up") return livenessStatus(node.liveness);
  if (node.convergence === "failed" || node.convergence === "drifted") return nodeConvergence(node);
  if (node.process_ready_count < node.process_count) return { look: "warning", word: `${node.process_ready_count} of ${node.process_count} processes ready` };
  if (node.convergence !== "converged" && node.converged === null) return { look: "waiting", word: "no report yet" };
  return nodeConvergence(node);
}

/** The same without convergence, where that has a place of its own. */
export function nodeHealth(node: NodeSummary): StatusWord {
  if (node.liveness !== "up" || node.process_ready_count === node.process_count) return livenessStatus(node.liveness);
  return { look: "warning", word: `${node.process_ready_count} of ${node.process_count} processes ready` };
}

/** A node's turn: a failed one holds its place until a person lets others go on. */
export function turnStatus(turn: Turn): StatusWord {
  const what = turn.kind === "reboot" ? "restart" : "change";
  switch (turn.state) {
    case "waiting":
      return { look: "waiting", word: `waits to ${what}` };
    case "granted":
      return { look: "busy", word: turn.kind === "reboot" ? "restarting" : turn.rollout === null ? "changing" : "moved by a rollout" };
    case "failed":
      return { look: "error", word: `${what} failed` };
  }
}

export function nodePlanStatus(plan: NodePlan): StatusWord {
  if (plan.state === "waiting") return { look: "busy", word: "asking" };
  if (plan.state === "problem") return { look: "error", word: "no answer" };
  if (plan.state === "missing") return { look: "off", word: "no host yet" };
  const stuck = plan.resources.filter((each) => each.change === "unknown" || each.change === "skip").length;
  if (plan.change_count > 0) return { look: "info", word: plan.change_count === 1 ? "1 change" : `${plan.change_count} changes` };
  return stuck > 0 ? { look: "warning", word: `${stuck} not known` } : { look: "ok", word: "nothing would change" };
}

export function processesStatus(ready: number, all: number): StatusWord {
  if (all === 0) return { look: "off", word: "no processes" };
  if (ready === all) return { look: "ok", word: "all ready" };
  return { look: ready === 0 ? "error" : "warning", word: `${ready} of ${all} ready` };
}

/** How a node of a rollout stands; a node whose turn never came was not touched. */
export function rolloutNodeStatus(state: RolloutNodeState, ended = false): StatusWord {
  return ended && (state === "pending" || state === "waiting") ? { look: "off", word: "not touched" } : pick(ROLLOUT_NODE, state);
}

/** Mirrors `RolloutStatus::terminal` of the controller. */
export function rolloutEnded(status: RolloutStatus): boolean {
  return status === "completed" || status === "rolled_back" || status === "aborted";
}

export interface RolloutProgress {
  /** Nodes that are where they should end up. */
  done: number;
  /** Nodes that take part: those that were down do not. */
  total: number;
}

export function rolloutProgress(rollout: Rollout): RolloutProgress {
  const part = rollout.nodes.filter((node) => node.state !== "away");
  const goingBack = rollout.status === "rolling_back" || rollout.status === "rolled_back" || rollout.status === "aborted";
  const done = part.filter((node) => (goingBack ? node.state === "returned" || node.state === "pending" || node.state === "waiting" : node.state === "moved"));
  return { done: done.length, total: part.length };
}

const RANK: Record<Look, number> = { error: 0, warning: 1, busy: 2, waiting: 3, info: 4, off: 5, ok: 6 };

/** Sorts the worst first. */
export const rank = (look: Look): number => RANK[look];

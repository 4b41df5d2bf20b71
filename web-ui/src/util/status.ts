// Every status of the API as a look (shape and colour) and a word. One table per kind, so that no page invents its own.
import type { Liveness, NodeSummary, ProcessState, ResourceStatus, Rollout, RolloutNodeState, RolloutStatus, Severity } from "../api/types";
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
  pending: { look: "waiting", word: "waits for its turn" },
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
export const rolloutStatus = (status: RolloutStatus): StatusWord => pick(ROLLOUT, status);
export const severityStatus = (severity: Severity): StatusWord => pick(SEVERITY, severity);

/** What happened to a process, in a word or two. */
export const processEventWord = (kind: string): string => PROCESS_EVENT[kind] ?? words(kind.replace(/^process\./, ""));

/** What one mark says about a node as a whole: liveness first, then convergence, then its processes. */
export function nodeStatus(node: NodeSummary): StatusWord {
  if (node.liveness !== "up") return livenessStatus(node.liveness);
  if (node.problem_count > 0) return { look: "error", word: node.problem_count === 1 ? "1 resource needs you" : `${node.problem_count} resources need you` };
  if (node.process_ready_count < node.process_count) return { look: "warning", word: `${node.process_ready_count} of ${node.process_count} processes ready` };
  if (node.converged === null) return { look: "waiting", word: "no report yet" };
  if (!node.converged || node.reported_generation < node.generation) return { look: "busy", word: "converging" };
  return { look: "ok", word: "as it should be" };
}

export function processesStatus(ready: number, all: number): StatusWord {
  if (all === 0) return { look: "off", word: "no processes" };
  if (ready === all) return { look: "ok", word: "all ready" };
  return { look: ready === 0 ? "error" : "warning", word: `${ready} of ${all} ready` };
}

/** How a node of a rollout stands; a node whose turn never came was not touched. */
export function rolloutNodeStatus(state: RolloutNodeState, ended = false): StatusWord {
  return ended && state === "pending" ? { look: "off", word: "not touched" } : pick(ROLLOUT_NODE, state);
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
  const done = part.filter((node) => (goingBack ? node.state === "returned" || node.state === "pending" : node.state === "moved"));
  return { done: done.length, total: part.length };
}

const RANK: Record<Look, number> = { error: 0, warning: 1, busy: 2, waiting: 3, info: 4, off: 5, ok: 6 };

/** Sorts the worst first. */
export const rank = (look: Look): number => RANK[look];

// From a live message to the queries that it makes stale, and the throttle between them. No I/O: see liveConnection.ts.
import type { QueryKey } from "@tanstack/react-query";
import { keys } from "./queries";
import type { LiveMessage } from "./types";

/** The keys that a message makes stale; `"everything"` when messages were lost. */
export function staleKeys(message: LiveMessage): QueryKey[] | "everything" {
  switch (message.topic) {
    case "node":
      return [keys.overview, keys.nodes, keys.environments, keys.node(message.name), keys.metrics(message.name), keys.enrolments, keys.applications, ["application"]];
    case "rollout":
      return [keys.overview, keys.rollouts, keys.rollout(message.id), keys.applications, keys.application(message.application)];
    case "application":
      return [keys.overview, keys.applications, keys.application(message.name), keys.releases(message.name)];
    case "fleet_configuration":
      return [keys.overview, keys.nodes, keys.environments, keys.fleetConfiguration, keys.applications, ["application"], keys.secrets];
    case "event":
      // What happened to a process is in a list of its own as well.
      return message.event.kind.startsWith("process.") ? [keys.events, keys.overview, keys.processEvents] : [keys.events, keys.overview];
    case "resync":
      return "everything";
  }
}

export function parseLiveMessage(data: string): LiveMessage | null {
  try {
    const message = JSON.parse(data) as LiveMessage;
    // A newer controller may send topics that this page does not know; they are none of its business.
    return typeof message === "object" && message !== null && TOPICS.has(message.topic) ? message : null;
  } catch {
    return null;
  }
}

const TOPICS: ReadonlySet<string> = new Set(["node", "rollout", "application", "fleet_configuration", "event", "resync"]);

export interface Batch {
  keys: QueryKey[];
  everything: boolean;
}

/**
 * Gathers stale keys and hands them out at most once per `periodMs`, the first ones after `firstMs`: a fleet that
 * reports all the time costs one read per query and period.
 */
export class Throttle {
  private pending = new Map<string, QueryKey>();
  private everything = false;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private lastFlush = Number.NEGATIVE_INFINITY;
  private readonly flushTo: (batch: Batch) => void;
  private readonly periodMs: number;
  private readonly firstMs: number;

  constructor(flushTo: (batch: Batch) => void, periodMs = 1000, firstMs = 60) {
    this.flushTo = flushTo;
    this.periodMs = periodMs;
    this.firstMs = firstMs;
  }

  push(message: LiveMessage): void {
    const stale = staleKeys(message);
    if (stale === "everything") this.everything = true;
    else for (const key of stale) this.pending.set(JSON.stringify(key), key);
    this.timer ??= setTimeout(() => this.flush(), Math.max(this.firstMs, this.lastFlush + this.periodMs - Date.now()));
  }

  stop(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.pending.clear();
    this.everything = false;
  }

  private flush(): void {
    const batch = { keys: [...this.pending.values()], everything: this.everything };
    this.stop();
    this.lastFlush = Date.now();
    this.flushTo(batch);
  }
}

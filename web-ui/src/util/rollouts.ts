// What rollouts say of the past, and what the next one would do.
import type { ApplicationDetail, ApplicationEnvironment, NodeSummary, Rollout } from "../api/types";
import { list, plural } from "./format";

/** The release that an environment ran before the one that it runs now; null when there was none. */
export function formerRelease(rollouts: readonly Rollout[], place: ApplicationEnvironment): string | null {
  const arrived = rollouts
    .filter((rollout) => rollout.environment === place.environment && rollout.status === "completed" && rollout.release === place.release)
    .toSorted((a, b) => b.created_at.localeCompare(a.created_at))[0];
  return arrived?.former_release ?? null;
}

/** What moving an environment to a release will do to what, in numbers. */
export function consequences(application: ApplicationDetail, place: ApplicationEnvironment, release: string, nodes: readonly NodeSummary[]): string[] {
  const known = new Map(nodes.map((node) => [node.name, node]));
  const away = place.nodes.filter((name) => known.get(name)?.liveness === "down" || known.get(name)?.liveness === "pending");
  const reachable = place.nodes.filter((name) => !away.includes(name));
  const processes = application.processes.filter((process) => process.environment === place.environment && reachable.includes(process.node)).length;
  const first = place.release === null;
  const out = [
    first
      ? `${application.name} starts in ${place.environment} for the first time, with ${release}, on ${plural(reachable.length, "node")}.`
      : `${application.name} in ${place.environment} goes from ${place.release} to ${release}: ${plural(reachable.length, "node")}, ${plural(processes, "process", "processes")}.`,
  ];
  if (reachable.length > 1) out.push(`One node at a time: ${list(reachable, 6)}. The next begins when every process of the one before is ready.`);
  if (!first && processes > 0) out.push("On each node the new processes must be ready before the old ones are asked to go. The port stays open meanwhile.");
  if (away.length > 0) out.push(`${list(away)} ${away.length === 1 ? "is down and is" : "are down and are"} left out; ${away.length === 1 ? "it catches" : "they catch"} up alone.`);
  out.push(
    first
      ? "If a node is not ready within 5 minutes, the rollout ends and the application is taken away again."
      : `If a node is not ready within 5 minutes, every node that was touched goes back to ${place.release} by itself.`,
  );
  return out;
}

// From points of the API to the columns that the graphs draw.
import type { FleetEvent, MetricsPoint } from "../api/types";

export interface Marker {
  /** Unix seconds. */
  at: number;
  label: string;
  kind: "release" | "failure" | "configuration";
}

/** Columns of figures; a gap in the samples becomes a gap in the line rather than a slope across it. */
export function columns(points: readonly MetricsPoint[], stepS: number, pick: readonly ((point: MetricsPoint) => number)[]): (number | null)[][] {
  const times: number[] = [];
  const values: (number | null)[][] = pick.map(() => []);
  const typical = stepS > 0 ? stepS : medianStep(points);
  let previous: number | null = null;
  for (const point of points) {
    const at = Date.parse(point.at) / 1000;
    if (previous !== null && typical > 0 && at - previous > typical * 3.5) {
      times.push(previous + typical);
      for (const column of values) column.push(null);
    }
    times.push(at);
    pick.forEach((value, index) => values[index]!.push(value(point)));
    previous = at;
  }
  return [times, ...values];
}

function medianStep(points: readonly MetricsPoint[]): number {
  const steps = points.slice(1).map((point, index) => (Date.parse(point.at) - Date.parse(points[index]!.at)) / 1000);
  return steps.toSorted((a, b) => a - b)[Math.floor(steps.length / 2)] ?? 0;
}

const MARKED: Record<string, Marker["kind"]> = {
  "rollout.node_moved": "release",
  "rollout.rolled_back": "failure",
  "rollout.aborted": "failure",
  "fleet_configuration.applied": "configuration",
};

/** What belongs on the time axis of a node: releases and configurations of its environment. */
export function markers(events: readonly FleetEvent[], node: string, environment: string): Marker[] {
  return events
    .filter((event) => event.kind in MARKED)
    .filter((event) => event.node === null || event.node === node)
    .filter((event) => event.environment === null || event.environment === environment)
    .map((event) => ({ at: Date.parse(event.at) / 1000, label: event.message, kind: MARKED[event.kind]! }));
}

// The time that the graphs of a node show. In the URL: `range=6h`, which is live, or `from=..&to=..`, which is fixed.
import type { MetricsWindow } from "../api/queries";

export const RANGES = [
  { value: "15m", label: "15 min", spanS: 900 },
  { value: "1h", label: "1 h", spanS: 3600 },
  { value: "6h", label: "6 h", spanS: 21_600 },
  { value: "24h", label: "24 h", spanS: 86_400 },
  { value: "7d", label: "7 d", spanS: 604_800 },
  { value: "30d", label: "30 d", spanS: 2_592_000 },
] as const;

/** A node that has just joined has no hour to show. */
const YOUNG_MS = 20 * 60_000;

export const defaultRange = (enrolledAt: string, nowMs: number): string => (nowMs - Date.parse(enrolledAt) < YOUNG_MS ? "15m" : "1h");

export interface Range {
  live: boolean;
  /** One of RANGES, or empty when the ends are fixed. */
  value: string;
  window: MetricsWindow;
  /** Unix seconds. */
  at: (nowMs: number) => { from: number; to: number };
}

export function parseRange(search: { range?: string; from?: string; to?: string }, fallback = "1h"): Range {
  const [from, to] = [Date.parse(search.from ?? ""), Date.parse(search.to ?? "")];
  if (Number.isFinite(from) && Number.isFinite(to) && from < to) {
    return {
      live: false,
      value: "",
      window: { label: `${from}-${to}`, ends: () => ({ from: new Date(from), to: new Date(to) }) },
      at: () => ({ from: from / 1000, to: to / 1000 }),
    };
  }
  const { value, spanS } = RANGES.find((range) => range.value === search.range) ?? RANGES.find((range) => range.value === fallback) ?? RANGES[1];
  return {
    live: true,
    value,
    window: {
      label: value,
      ends: () => {
        const now = Date.now();
        return { from: new Date(now - spanS * 1000), to: new Date(now) };
      },
    },
    at: (nowMs) => ({ from: nowMs / 1000 - spanS, to: nowMs / 1000 }),
  };
}

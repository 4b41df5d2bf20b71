import type { JSX } from "react";
import { useNow } from "../hooks/useNow";
import { duration, exact, relative } from "../util/format";

/** `3 min ago`, with the exact time on hover. */
export function Ago({ at, none = "never" }: { at: string | null | undefined; none?: string }): JSX.Element {
  const now = useNow();
  if (!at) return <span className="softer">{none}</span>;
  const date = new Date(at);
  return (
    <time className="num" dateTime={at} title={exact(date)}>
      {relative(date, now)}
    </time>
  );
}

/** How long something has taken so far, or took. */
export function Elapsed({ from, to }: { from: string; to?: string | null }): JSX.Element {
  const now = useNow();
  const end = to ? new Date(to) : now;
  return (
    <span className="num" title={`since ${exact(new Date(from))}`}>
      {duration(end.getTime() - Date.parse(from))}
    </span>
  );
}

/** What is left until a deadline; `over` says what it means that it has passed. */
export function Left({ until, over = "overdue" }: { until: string; over?: string }): JSX.Element {
  const now = useNow();
  const ms = Date.parse(until) - now.getTime();
  return (
    <span className="num" title={exact(new Date(until))}>
      {ms > 0 ? `${duration(ms)} left` : over}
    </span>
  );
}

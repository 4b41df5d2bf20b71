import { useSyncExternalStore } from "react";

// One clock for every relative time of the page, so that a table of them ticks at once and costs one timer.
const listeners = new Set<() => void>();
let now = new Date();
let timer: ReturnType<typeof setInterval> | undefined;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    now = new Date();
    for (const notify of listeners) notify();
  }, 1000);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

/** The time, renewed each second. */
export function useNow(): Date {
  return useSyncExternalStore(subscribe, () => now);
}

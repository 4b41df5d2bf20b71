import { useSyncExternalStore, type JSX } from "react";
import { asApiError } from "../api/problem";
import type { Look } from "../util/status";
import { StatusMark } from "./Status";
import classes from "./Toasts.module.css";

interface Toast {
  id: number;
  look: Look;
  text: string;
}

const SHOWN_MS = 6000;
const listeners = new Set<() => void>();
let toasts: readonly Toast[] = [];
let last = 0;

function change(next: readonly Toast[]): void {
  toasts = next;
  for (const listener of listeners) listener();
}

/** Says in the corner that something was done, or could not be. */
export function toast(text: string, look: Look = "ok"): void {
  last += 1;
  const id = last;
  change([...toasts.slice(-3), { id, look, text }]);
  setTimeout(() => change(toasts.filter((each) => each.id !== id)), SHOWN_MS);
}

export function toastError(error: unknown): void {
  const problem = asApiError(error);
  toast([problem.title, problem.detail, problem.hint].filter((part, index, all) => part && all.indexOf(part) === index).join(". "), "error");
}

export function Toasts(): JSX.Element {
  const shown = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => toasts,
  );
  return (
    <div className={classes.stack} role="status" aria-live="polite">
      {shown.map((each) => (
        <div key={each.id} className={classes.toast}>
          <StatusMark look={each.look} />
          <span>{each.text}</span>
        </div>
      ))}
    </div>
  );
}

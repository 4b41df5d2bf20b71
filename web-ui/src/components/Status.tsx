import type { JSX, ReactNode } from "react";
import type { Look, StatusWord } from "../util/status";
import classes from "./Status.module.css";

// One shape per look, so that colour is never the only difference.
const SHAPES: Record<Look, ReactNode> = {
  ok: (
    <>
      <circle cx="8" cy="8" r="6.25" fill="none" stroke="currentColor" strokeWidth="1.5" />
      <path d="M5.2 8.3l2 2 3.7-4.3" fill="none" stroke="currentColor" strokeWidth="1.6" strokeLinecap="round" strokeLinejoin="round" />
    </>
  ),
  busy: (
    <g className={classes.turn} fill="none" stroke="currentColor" strokeWidth="1.7" strokeLinecap="round">
      <path d="M8 1.9a6.1 6.1 0 1 1-5.6 3.7" />
      <path d="M2.1 2.4v3.4h3.4" strokeLinejoin="round" />
    </g>
  ),
  waiting: <circle cx="8" cy="8" r="6.1" fill="none" stroke="currentColor" strokeWidth="1.6" strokeDasharray="2.4 2.4" />,
  warning: (
    <>
      <path d="M8 1.7l6.7 12H1.3z" fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinejoin="round" />
      <path d="M8 6.2v3.4M8 11.6h.01" fill="none" stroke="currentColor" strokeWidth="1.6" strokeLinecap="round" />
    </>
  ),
  error: (
    <>
      <path d="M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1z" fill="currentColor" />
      <path d="M5.6 5.6l4.8 4.8M10.4 5.6l-4.8 4.8" fill="none" stroke="var(--panel)" strokeWidth="1.7" strokeLinecap="round" />
    </>
  ),
  off: (
    <>
      <circle cx="8" cy="8" r="6.1" fill="none" stroke="currentColor" strokeWidth="1.5" />
      <path d="M5 8h6" fill="none" stroke="currentColor" strokeWidth="1.6" strokeLinecap="round" />
    </>
  ),
  info: <circle cx="8" cy="8" r="3" fill="currentColor" />,
};

/** The mark alone; `label` says it to a screen reader and on hover. */
export function StatusMark({ look, label, size = 16 }: { look: Look; label?: string; size?: number }): JSX.Element {
  return (
    <span className={`${classes.mark} ${classes[look]}`} title={label} role={label === undefined ? undefined : "img"} aria-label={label}>
      <svg width={size} height={size} viewBox="0 0 16 16" aria-hidden="true">
        {SHAPES[look]}
      </svg>
    </span>
  );
}

/** The mark and its word. */
export function Status({ status, title, children }: { status: StatusWord; title?: string; children?: ReactNode }): JSX.Element {
  return (
    <span className={`${classes.status} ${classes[status.look]}`} title={title} data-look={status.look}>
      <StatusMark look={status.look} />
      <span className={classes.word}>{children ?? status.word}</span>
    </span>
  );
}

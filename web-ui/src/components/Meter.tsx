import type { JSX } from "react";
import { percent } from "../util/format";
import classes from "./Meter.module.css";

// From here a person should look, and from here should act; the same for CPU, memory and disk.
const HIGH = 80;
const FULL = 93;

/** A share as a bar and a figure; the hover tells the amounts. */
export function Meter({ value, title, label }: { value: number | null; title?: string; label: string }): JSX.Element {
  if (value === null) return <span className="softer">–</span>;
  const level = value >= FULL ? classes.full : value >= HIGH ? classes.high : "";
  const text = percent(value);
  return (
    <span className={`${classes.meter} ${level}`} title={title}>
      <span className={classes.track} role="meter" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(value)} aria-valuetext={title ?? text}>
        <span className={classes.fill} style={{ transform: `scaleX(${Math.min(100, Math.max(0, value)) / 100})` }} />
      </span>
      <span className={`num ${classes.figure}`}>{text}</span>
    </span>
  );
}

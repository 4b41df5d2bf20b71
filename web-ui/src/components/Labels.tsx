// Small words beside a thing: its mode, why it was changed, what a change needs; and the counts that filter a list.
import { Link } from "@tanstack/react-router";
import type { JSX, ReactNode } from "react";
import type { ChangeCause, Mode } from "../api/types";
import { modeStatus, type Look } from "../util/status";
import { Icon } from "./Icon";
import classes from "./Labels.module.css";
import { Status, StatusMark } from "./Status";

export function Label({ children, strong = false, title }: { children: ReactNode; strong?: boolean; title?: string }): JSX.Element {
  return (
    <span className={`${classes.label} ${strong ? classes.strong : ""}`} title={title}>
      {children}
    </span>
  );
}

const CAUSES: Record<ChangeCause, string> = {
  intentional: "The configuration asked for something new",
  corrective: "It had drifted and was put back",
};

export function CauseLabel({ cause }: { cause: ChangeCause }): JSX.Element {
  // What was asked for is quiet: it is the rule.
  if (cause === "intentional") return <span className="softer small" title={CAUSES[cause]}>{cause}</span>;
  return (
    <Label strong title={CAUSES[cause]}>
      <Icon name="back" size={11} />
      {cause}
    </Label>
  );
}

const MODE_TITLE: Record<Mode, string> = {
  enforce: "Differences are put right",
  report: "Differences are told and left as they are",
  ignore: "Not even looked at",
};

export function ModeWord({ mode }: { mode: Mode }): JSX.Element {
  if (mode === "enforce") return <span className="softer" title={MODE_TITLE.enforce}>enforce</span>;
  return (
    <span className="nowrap">
      <Status status={modeStatus(mode)} title={MODE_TITLE[mode]} />
    </span>
  );
}

export interface Chip {
  id: string;
  look?: Look;
  text: string;
}

/** Counts that narrow the list under them; pressing the chosen one again shows everything. */
export function Chips({ label, chips, chosen, set }: { label: string; chips: readonly Chip[]; chosen: string | undefined; set: (id: string | undefined) => void }): JSX.Element {
  return (
    <div className={classes.chips} role="group" aria-label={label}>
      {chips.map((chip) => (
        <button key={chip.id} type="button" className={classes.chip} aria-pressed={chosen === chip.id} onClick={() => set(chosen === chip.id ? undefined : chip.id)}>
          {chip.look !== undefined && <StatusMark look={chip.look} size={14} />}
          <span className="num">{chip.text}</span>
        </button>
      ))}
    </div>
  );
}

/** The same as links to a list elsewhere. */
export function NodeCountLink({ look, text, search }: { look: Look; text: string; search: Record<string, string> }): JSX.Element {
  return (
    <Link to="/nodes" search={search as never} className={classes.chip}>
      <StatusMark look={look} size={13} />
      <span className="num">{text}</span>
    </Link>
  );
}

// What a page says when it has nothing to show, or could not get it.
import { Button } from "@mantine/core";
import type { JSX, ReactNode } from "react";
import { asApiError } from "../api/problem";
import { Command } from "./Command";
import { Icon, type IconName } from "./Icon";
import type { Look } from "../util/status";
import classes from "./Notice.module.css";
import { StatusMark } from "./Status";

/** Why something failed, what to do, and a way to try again. */
export function ErrorNotice({ error, retry }: { error: unknown; retry?: () => void }): JSX.Element {
  const problem = asApiError(error);
  return (
    <div className={`${classes.notice} ${classes.error}`} role="alert">
      <span className={classes.mark}>
        <StatusMark look="error" />
      </span>
      <div className={classes.body}>
        <p className={classes.title}>{problem.title}</p>
        {problem.detail !== problem.title && <p>{problem.detail}</p>}
        {problem.hint !== null && <p className="soft">{problem.hint}</p>}
        {problem.errors.length > 0 && (
          <ul className={classes.list}>
            {problem.errors.map((each) => (
              <li key={`${each.path}:${each.line ?? ""}:${each.message}`}>
                <span className="mono">{[each.file, each.line, each.column].filter(Boolean).join(":") || each.path}</span> {each.message}
                {each.hint ? <span className="soft"> – {each.hint}</span> : null}
              </li>
            ))}
          </ul>
        )}
      </div>
      {retry !== undefined && (
        <Button variant="default" leftSection={<Icon name="refresh" size={14} />} onClick={retry}>
          Try again
        </Button>
      )}
    </div>
  );
}

const TONE: Partial<Record<Look, string>> = { error: classes.error, warning: classes.warning };

/** Something that a person should know of what the page is about, with what can be done about it. */
export function Notice({ look, title, children, actions, label }: { look: Look; title: ReactNode; children?: ReactNode; actions?: ReactNode; label?: string }): JSX.Element {
  return (
    <div className={`${classes.notice} ${TONE[look] ?? ""}`} role={label === undefined ? undefined : "group"} aria-label={label}>
      <span className={classes.mark}>
        <StatusMark look={look} />
      </span>
      <div className={classes.body}>
        <p className={classes.title}>{title}</p>
        {children}
      </div>
      {actions !== undefined && <div className={classes.actions}>{actions}</div>}
    </div>
  );
}

export function WarningNotice({ title, children }: { title: string; children?: ReactNode }): JSX.Element {
  return (
    <Notice look="warning" title={title}>
      {children}
    </Notice>
  );
}

/** An empty page teaches the next step. */
export function Empty({ icon, title, children, commands = [], action }: { icon: IconName; title: string; children?: ReactNode; commands?: string[]; action?: ReactNode }): JSX.Element {
  return (
    <div className={classes.empty}>
      <span className={classes.emptyIcon}>
        <Icon name={icon} size={20} />
      </span>
      <p className={classes.emptyTitle}>{title}</p>
      {children !== undefined && <p className="soft">{children}</p>}
      {commands.length > 0 && (
        <div className={classes.commands}>
          {commands.map((command) => (
            <Command key={command} text={command} />
          ))}
        </div>
      )}
      {action}
    </div>
  );
}

/** The data is there but could not be renewed. */
export function StaleStrip({ error, retry }: { error: unknown; retry: () => void }): JSX.Element {
  const problem = asApiError(error);
  return (
    <div className={classes.strip} role="status">
      <StatusMark look="warning" />
      <span>
        Could not be read again, so this may be old: {problem.detail} {problem.hint}
      </span>
      <Button variant="default" size="compact-xs" onClick={retry}>
        Try again
      </Button>
    </div>
  );
}

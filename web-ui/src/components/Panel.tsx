import { useId, type JSX, type ReactNode } from "react";
import classes from "./Panel.module.css";

interface Props {
  title?: ReactNode;
  note?: ReactNode;
  actions?: ReactNode;
  /** Space around the content; tables and lists bring their own. */
  padded?: boolean;
  children: ReactNode;
}

export function Panel({ title, note, actions, padded = false, children }: Props): JSX.Element {
  const id = useId();
  return (
    <section className={classes.panel} aria-labelledby={title === undefined ? undefined : id}>
      {title !== undefined && (
        <header className={classes.head}>
          <h2 className={classes.title} id={id}>
            {title}
          </h2>
          {note !== undefined && <span className={classes.note}>{note}</span>}
          {actions !== undefined && <div className={classes.actions}>{actions}</div>}
        </header>
      )}
      {padded ? <div className={classes.pad}>{children}</div> : children}
    </section>
  );
}

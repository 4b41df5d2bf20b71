import type { JSX, ReactNode } from "react";
import classes from "./Facts.module.css";

/** Names and values in a grid that fills the width. */
export function Facts({ facts }: { facts: readonly [name: string, value: ReactNode][] }): JSX.Element {
  return (
    <dl className={classes.facts}>
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

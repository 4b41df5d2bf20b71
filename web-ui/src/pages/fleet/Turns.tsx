// Who is changing now, and who waits for whom.
import type { JSX } from "react";
import type { Turn } from "../../api/types";
import { NodeLink } from "../../components/links";
import { Status } from "../../components/Status";
import { ReleaseTurnButton, TurnText } from "../../components/TurnView";
import { sortTurns } from "../../util/convergence";
import { turnStatus } from "../../util/status";
import classes from "./FleetPage.module.css";

export function Turns({ turns }: { turns: readonly Turn[] }): JSX.Element {
  // What a rollout moves stands with the rollout.
  const shown = sortTurns(turns.filter((turn) => turn.rollout === null));
  return (
    <ul aria-label="Turns">
      {shown.map((turn) => (
        <li key={turn.node} className={classes.turn}>
          <div className={classes.turnState}>
            <Status status={turnStatus(turn)} />
          </div>
          <div className={classes.turnWhat}>
            <div className="row wrap">
              <NodeLink name={turn.node} />
              <span className="soft small">in {turn.environment}</span>
            </div>
            <TurnText turn={turn} />
          </div>
          <ReleaseTurnButton turn={turn} waiting={turns.filter((each) => each.environment === turn.environment && each.state === "waiting").length} />
        </li>
      ))}
    </ul>
  );
}

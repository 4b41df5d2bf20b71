import type { JSX } from "react";
import type { Rollout } from "../api/types";
import { rolloutEnded, rolloutNodeStatus, rolloutProgress } from "../util/status";
import classes from "./RolloutTrack.module.css";
import { StatusMark } from "./Status";

/** The nodes of a rollout in the order in which they move, each with its state. */
export function RolloutTrack({ rollout }: { rollout: Rollout }): JSX.Element {
  return (
    <ol className={classes.track} aria-label="Nodes of the rollout">
      {rollout.nodes.map((node) => {
        const status = rolloutNodeStatus(node.state, rolloutEnded(rollout.status));
        return (
          <li key={node.node} className={`${classes.step} ${classes[node.state] ?? ""}`} title={`${node.node}: ${status.word}${node.reason ? ` – ${node.reason}` : ""}`}>
            <StatusMark look={status.look} size={13} label={status.word} />
            <span className="mono">{node.node}</span>
          </li>
        );
      })}
    </ol>
  );
}

/** The same as a bar of one segment per node. */
export function RolloutBar({ rollout }: { rollout: Rollout }): JSX.Element {
  const { done, total } = rolloutProgress(rollout);
  return (
    <div className={classes.bar} role="progressbar" aria-label="Nodes that are done" aria-valuemin={0} aria-valuemax={total} aria-valuenow={done}>
      {rollout.nodes.map((node) => (
        <span key={node.node} className={classes[node.state] ?? ""} />
      ))}
    </div>
  );
}

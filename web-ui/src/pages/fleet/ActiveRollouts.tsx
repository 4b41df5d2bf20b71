import type { JSX } from "react";
import type { Rollout } from "../../api/types";
import { RolloutLink } from "../../components/links";
import { RolloutTrack } from "../../components/RolloutTrack";
import { Status } from "../../components/Status";
import { Elapsed } from "../../components/Time";
import { rolloutProgress, rolloutStatus } from "../../util/status";
import classes from "./FleetPage.module.css";

export function ActiveRollouts({ rollouts }: { rollouts: readonly Rollout[] }): JSX.Element {
  return (
    <>
      {rollouts.map((rollout) => {
        const { done, total } = rolloutProgress(rollout);
        return (
          <div key={rollout.id} className={classes.rollout}>
            <div className="row wrap">
              <Status status={rolloutStatus(rollout.status)} />
              <RolloutLink id={rollout.id}>
                <span className="mono">{rollout.application}</span> to <span className="mono">{rollout.release}</span>
              </RolloutLink>
              <span className="soft">in {rollout.environment}</span>
              <span className="soft small num" style={{ marginLeft: "auto" }}>
                {done} of {total} nodes, <Elapsed from={rollout.created_at} to={rollout.finished_at} />
              </span>
            </div>
            {rollout.reason !== null && <p className="soft">{rollout.reason}</p>}
            <RolloutTrack rollout={rollout} />
          </div>
        );
      })}
    </>
  );
}

// What runs where: one card per environment.
import { Button } from "@mantine/core";
import { useState, type JSX } from "react";
import type { ApplicationDetail, ApplicationEnvironment, Rollout } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { Icon } from "../../components/Icon";
import { NodeLink, RolloutLink } from "../../components/links";
import { Empty } from "../../components/Notice";
import { Panel } from "../../components/Panel";
import { RolloutTrack } from "../../components/RolloutTrack";
import { Status, StatusMark } from "../../components/Status";
import { Ago, Elapsed } from "../../components/Time";
import { useSession } from "../../hooks/contexts";
import { useSearchState } from "../../hooks/useSearchState";
import { applicationCan } from "../../util/can";
import { formerRelease } from "../../util/rollouts";
import { processesStatus, rolloutStatus } from "../../util/status";
import classes from "./Places.module.css";
import { RollbackDialog } from "./RollbackDialog";

export function Places({ application, rollouts }: { application: ApplicationDetail; rollouts: readonly Rollout[] }): JSX.Element {
  if (application.environments.length === 0) {
    return (
      <Panel>
        <Empty icon="application" title="No environment runs it" commands={["muster apply -f fleet/"]}>
          It runs on every node with the role app server, or on those that <span className="mono">on:</span> chooses.
        </Empty>
      </Panel>
    );
  }
  return (
    <div className={classes.places}>
      {application.environments.map((place) => (
        <Place key={place.environment} application={application} place={place} rollouts={rollouts} />
      ))}
    </div>
  );
}

function Place({ application, place, rollouts }: { application: ApplicationDetail; place: ApplicationEnvironment; rollouts: readonly Rollout[] }): JSX.Element {
  const session = useSession();
  const [, set] = useSearchState();
  const [rollingBack, setRollingBack] = useState(false);
  const here = rollouts.filter((rollout) => rollout.environment === place.environment);
  const active = here.find((rollout) => rollout.id === place.active_rollout);
  const last = here.find((rollout) => rollout.finished_at !== null);
  const former = formerRelease(rollouts, place);
  const status = processesStatus(place.process_ready_count, place.process_count);
  return (
    <Panel>
      <div className={classes.place}>
        <div className={classes.head}>
          <h2 className={classes.environment}>{place.environment}</h2>
          <span style={{ marginLeft: "auto" }}>
            <Status status={status}>
              <span className="num">{place.process_count === 0 ? status.word : `${place.process_ready_count} of ${place.process_count} processes ready`}</span>
            </Status>
          </span>
        </div>
        {place.release === null ? <p className="softer">nothing deployed yet</p> : <p className={classes.release}>{place.release}</p>}
        <div className={classes.nodes}>
          {place.nodes.length === 0 && <span className="softer">no node runs it here</span>}
          {place.nodes.map((node) => (
            <PlaceNode key={node} node={node} application={application} target={place.release} />
          ))}
        </div>
        {active !== undefined && (
          <div className="stack" style={{ gap: 6 }}>
            <RolloutLink id={active.id}>
              <Status status={rolloutStatus(active.status)}>
                rollout of <span className="mono">{active.release}</span>, <Elapsed from={active.created_at} />
              </Status>
            </RolloutLink>
            <RolloutTrack rollout={active} />
          </div>
        )}
        {active === undefined && last !== undefined && (
          <p className="small soft">
            Last rollout <RolloutLink id={last.id}>{rolloutStatus(last.status).word}</RolloutLink> <Ago at={last.finished_at} />, by {last.created_by}
          </p>
        )}
        <div className={classes.foot}>
          {place.active_rollout === null && (
            <ActionButton can={applicationCan.rollBack(session, place, former)} onClick={() => setRollingBack(true)} leftSection={<Icon name="back" size={14} />}>
              Roll back{former === null ? "" : ` to ${former}`}
            </ActionButton>
          )}
          <Button variant="subtle" onClick={() => set({ tab: "logs", environment: place.environment, sort: undefined })} leftSection={<Icon name="logs" size={14} />}>
            Logs
          </Button>
        </div>
      </div>
      {rollingBack && former !== null && <RollbackDialog application={application} place={place} former={former} close={() => setRollingBack(false)} />}
    </Panel>
  );
}

/** A node, and what it really runs when that is not the target. */
function PlaceNode({ node, application, target }: { node: string; application: ApplicationDetail; target: string | null }): JSX.Element {
  const processes = application.processes.filter((process) => process.node === node);
  const ready = processes.filter((process) => process.state === "ready").length;
  const other = [...new Set(processes.map((process) => process.release))].filter((release) => release !== null && release !== target);
  const status = processesStatus(ready, processes.length);
  return (
    <span className="row" style={{ gap: 5 }}>
      <StatusMark look={status.look} label={`${node}: ${status.word}`} size={14} />
      <NodeLink name={node} />
      {other.length > 0 && <span className="small soft mono">{other.join(", ")}</span>}
    </span>
  );
}

// One rollout, live. Closing the page changes nothing: the controller moves it on.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useState, type JSX } from "react";
import { api } from "../../api/client";
import { eventsQuery, keys, rolloutQuery, rolloutsQuery } from "../../api/queries";
import type { Rollout, RolloutNode } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { DataTable, type Column } from "../../components/DataTable";
import { EventList } from "../../components/EventList";
import { ApplicationLink, NodeLink } from "../../components/links";
import { Loaded, SkeletonBlock } from "../../components/Loaded";
import { Empty } from "../../components/Notice";
import { PageHeader } from "../../components/PageHeader";
import { Panel } from "../../components/Panel";
import { RolloutBar } from "../../components/RolloutTrack";
import { Status } from "../../components/Status";
import { Ago, Elapsed, Left } from "../../components/Time";
import { useSession } from "../../hooks/contexts";
import { rolloutCan } from "../../util/can";
import { duration, list, plural } from "../../util/format";
import { rolloutEnded, rolloutNodeStatus, rolloutProgress, rolloutStatus } from "../../util/status";
import classes from "./RolloutPage.module.css";

export function RolloutPage(): JSX.Element {
  const { id } = useParams({ from: "/shell/rollouts/$id" });
  const query = useQuery(rolloutQuery(id));
  const rollout = query.data;
  const title = rollout === undefined ? "Rollout" : `${rollout.application} ${rollout.kind === "rollback" ? "back to" : "to"} ${rollout.release}`;
  return (
    <>
      <PageHeader
        title={title}
        parent={{ label: "Rollouts", to: "/rollouts" }}
        status={rollout && <Status status={rolloutStatus(rollout.status)} />}
        meta={
          rollout && (
            <>
              <span>
                <ApplicationLink name={rollout.application} /> in {rollout.environment}
              </span>
              {rollout.former_release !== null && <span>from {rollout.former_release}</span>}
              <span>
                started <Ago at={rollout.created_at} /> by {rollout.created_by}
              </span>
            </>
          )
        }
        actions={rollout && !rolloutEnded(rollout.status) ? <Abort rollout={rollout} /> : undefined}
      />
      <Loaded query={query} skeleton={<SkeletonBlock height={320} />}>
        {(data) => <Detail rollout={data} />}
      </Loaded>
    </>
  );
}

function Detail({ rollout }: { rollout: Rollout }): JSX.Element {
  const events = useQuery(eventsQuery({ application: rollout.application, environment: rollout.environment }, 200));
  const { done, total } = rolloutProgress(rollout);
  const ended = rolloutEnded(rollout.status);
  const expected = useExpected(rollout);
  return (
    <div className="stack">
      <Panel>
        <div className={classes.summary}>
          <RolloutBar rollout={rollout} />
          <div className={classes.line}>
            <span>
              <b className="num">
                {done} of {total}
              </b>{" "}
              <span className="soft">{rollout.status === "rolling_back" || rollout.status === "rolled_back" || rollout.status === "aborted" ? "nodes are on their former release" : "nodes run the release"}</span>
            </span>
            <span>
              <span className="soft">{ended ? "took" : "running for"}</span>{" "}
              <b>
                <Elapsed from={rollout.created_at} to={rollout.finished_at} />
              </b>
            </span>
            {!ended && expected !== null && (
              <span className="soft">
                earlier ones took about <span className="num">{duration(expected)}</span>
              </span>
            )}
          </div>
          {rollout.reason !== null && <p className={classes.reason}>{rollout.reason}</p>}
          <p className="soft">{nextSentence(rollout)}</p>
        </div>
      </Panel>
      <Panel title="Nodes" note="in the order in which they move">
        <DataTable label="Nodes of the rollout" columns={columns(ended)} rows={rollout.nodes} rowKey={(node) => node.node} />
      </Panel>
      <Panel title="What happened">
        <Loaded query={events}>
          {(data) => {
            const mine = data.items.filter((event) => event.rollout === rollout.id);
            return mine.length === 0 ? <Empty icon="event" title="No events yet" /> : <EventList events={mine} />;
          }}
        </Loaded>
      </Panel>
    </div>
  );
}

const columns = (ended: boolean): Column<RolloutNode>[] => [
  { id: "order", header: "State", render: (n) => <Status status={rolloutNodeStatus(n.state, ended)} />, width: 230 },
  {
    id: "node",
    header: "Node",
    render: (n) => (
      <>
        <NodeLink name={n.node} />
        {n.reason !== null && <div className={`small ${n.state === "waiting" ? "soft" : ""}`} style={n.state === "waiting" ? undefined : { color: "var(--error)" }}>{n.reason}</div>}
      </>
    ),
  },
  { id: "former", header: "Ran before", render: (n) => <span className="mono">{n.former_release ?? "–"}</span>, priority: 2 },
  { id: "since", header: "Since", render: (n) => <Ago at={n.since} none="" />, align: "right", priority: 2 },
  { id: "deadline", header: "Deadline", render: (n) => (n.deadline === null ? "" : <Left until={n.deadline} />), align: "right", width: 150 },
];

/** How long the same took before, from completed rollouts of the application in the environment. */
function useExpected(rollout: Rollout): number | null {
  const past = useQuery(rolloutsQuery({ application: rollout.application })).data?.items ?? [];
  const times = past
    .filter((each) => each.status === "completed" && each.environment === rollout.environment && each.finished_at !== null && each.id !== rollout.id)
    .slice(0, 5)
    .map((each) => Date.parse(each.finished_at ?? "") - Date.parse(each.created_at))
    .toSorted((a, b) => a - b);
  return times[Math.floor(times.length / 2)] ?? null;
}

function nextSentence(rollout: Rollout): string {
  const moving = rollout.nodes.find((node) => node.state === "moving");
  const queued = rollout.nodes.find((node) => node.state === "waiting");
  const waiting = rollout.nodes.filter((node) => node.state === "pending").map((node) => node.node);
  const away = rollout.nodes.filter((node) => node.state === "away").map((node) => node.node);
  const left = away.length > 0 ? ` ${list(away)} ${away.length === 1 ? "was down and catches" : "were down and catch"} up alone.` : "";
  switch (rollout.status) {
    case "planned":
      return "It begins in a moment.";
    case "running":
      return `${moving === undefined ? (queued === undefined ? "Choosing the next node." : `${queued.node} waits for its turn: ${queued.reason ?? "too many nodes of its role are changing"}.`) : `Waiting until every process on ${moving.node} is ready.`}${waiting.length > 0 ? ` Then ${list(waiting)}.` : ""}${left}`;
    case "rolling_back":
      return "Every node that was touched is given its former release back.";
    case "completed":
      return `Every node that could be reached runs ${rollout.release}.${left}`;
    case "rolled_back":
      return `Every node that was touched has its former release back. Read the reason and the log of the application, mend it, and deploy a new release.`;
    case "aborted":
      return "It was stopped by a person. Every node that was touched has its former release back.";
  }
}

function Abort({ rollout }: { rollout: Rollout }): JSX.Element {
  const session = useSession();
  const queries = useQueryClient();
  const [open, setOpen] = useState(false);
  const touched = rollout.nodes.filter((node) => node.state === "moved" || node.state === "moving");
  const waiting = rollout.nodes.filter((node) => node.state === "pending" || node.state === "waiting");
  return (
    <>
      <ActionButton can={rolloutCan.abort(session, rollout)} onClick={() => setOpen(true)}>
        Abort
      </ActionButton>
      {open && (
        <ConfirmDialog
          title="Abort the rollout"
          danger
          confirm="Abort and go back"
          consequences={[
            touched.length === 0 ? "No node was touched yet." : `${plural(touched.length, "node")} (${list(touched.map((node) => node.node))}) ${touched.length === 1 ? "goes" : "go"} back to ${rollout.former_release ?? "running nothing"}, each with the new processes ready before the old ones go.`,
            waiting.length === 0 ? "No node is waiting." : `${plural(waiting.length, "node")} (${list(waiting.map((node) => node.node))}) ${waiting.length === 1 ? "stays" : "stay"} as ${waiting.length === 1 ? "it is" : "they are"}.`,
            `The release ${rollout.release} is kept and can be deployed again.`,
          ]}
          action={async () => {
            await api.rolloutAbort(rollout.id);
            await queries.invalidateQueries({ queryKey: keys.rollout(rollout.id) });
          }}
          close={() => setOpen(false)}
        />
      )}
    </>
  );
}

// The first page: are we fine, and if not, where? What is changing? What is next for a fleet that is new?
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useEffect, type JSX } from "react";
import { applicationsQuery, overviewQuery } from "../../api/queries";
import type { ApplicationSummary, Overview, Turn } from "../../api/types";
import { DataTable } from "../../components/DataTable";
import { EventList } from "../../components/EventList";
import { Loaded, SkeletonBlock } from "../../components/Loaded";
import { Empty } from "../../components/Notice";
import { Panel } from "../../components/Panel";
import { useSearchState } from "../../hooks/useSearchState";
import { restartNeeded } from "../../util/convergence";
import { plural } from "../../util/format";
import { firstRun } from "../../util/firstRun";
import { APPLICATION_COLUMNS } from "../applications/applicationColumns";
import { InviteDialog } from "../nodes/InviteDialog";
import { nodeColumns } from "../nodes/nodeColumns";
import { ActiveRollouts } from "./ActiveRollouts";
import { Environments } from "./Environments";
import { FirstRun } from "./FirstRun";
import classes from "./FleetPage.module.css";
import { RestartsNeeded } from "./RestartsNeeded";
import { Turns } from "./Turns";
import { Verdict } from "./Verdict";

const EVENTS = 10;

export function FleetPage(): JSX.Element {
  const overview = useQuery(overviewQuery);
  const applications = useQuery(applicationsQuery);
  const [{ invite }, set] = useSearchState();
  useEffect(() => {
    document.title = "Fleet · Muster";
  }, []);
  return (
    <>
      <Loaded query={overview} skeleton={<FleetSkeleton />}>
        {(data) => <Fleet overview={data} applications={applications.data?.items} />}
      </Loaded>
      {invite !== undefined && !overview.isPending && <InviteDialog close={() => set({ invite: undefined })} name={overview.data?.missing_nodes[0]} />}
    </>
  );
}

function Fleet({ overview, applications }: { overview: Overview; applications: readonly ApplicationSummary[] | undefined }): JSX.Element {
  const [{ sort }, set] = useSearchState();
  const steps = applications === undefined ? null : firstRun(overview, applications, location.origin);
  const turns = overview.turns.filter((turn) => turn.rollout === null);
  const restarts = restartNeeded(overview.nodes);
  const invite = (): void => set({ invite: "1" });
  return (
    <div className="stack">
      <Verdict overview={overview} />
      {overview.environments.length > 0 && <Environments environments={overview.environments} nodes={overview.nodes} />}
      <div className={classes.columns}>
        <div className="stack">
          {steps !== null && <FirstRun steps={steps} missing={overview.missing_nodes} invite={invite} />}
          {(overview.active_rollouts.length > 0 || turns.length > 0) && (
            <Panel title="Changing now" note={turnNote(turns)}>
              <ActiveRollouts rollouts={overview.active_rollouts} />
              <Turns turns={overview.turns} />
            </Panel>
          )}
          {restarts.length > 0 && <RestartsNeeded nodes={restarts} />}
          {(overview.nodes.length > 0 || steps === null) && (
            <Panel title="Nodes" note={overview.missing_nodes.length > 0 ? `${overview.missing_nodes.length} declared, not joined` : undefined} actions={<Link to="/nodes">All nodes</Link>}>
              <DataTable
                label="Nodes"
                columns={nodeColumns(true)}
                rows={overview.nodes}
                rowKey={(node) => node.id}
                sort={{ value: sort, fallback: "environment", set: (value) => set({ sort: value }) }}
                empty={<Empty icon="node" title="No nodes" commands={["muster node invite app-1"]} />}
              />
            </Panel>
          )}
          {applications !== undefined && applications.length > 0 && (
            <Panel title="Applications" actions={<Link to="/applications">All applications</Link>}>
              <DataTable label="Applications" columns={APPLICATION_COLUMNS} rows={applications} rowKey={(app) => app.name} />
            </Panel>
          )}
        </div>
        <Panel title="Recent events" actions={<Link to="/events">All events</Link>}>
          {overview.recent_events.length === 0 ? (
            <Empty icon="event" title="Nothing has happened yet" />
          ) : (
            <EventList brief events={overview.recent_events.slice(0, EVENTS)} />
          )}
        </Panel>
      </div>
    </div>
  );
}

function turnNote(turns: readonly Turn[]): string | undefined {
  const waiting = turns.filter((turn) => turn.state === "waiting").length;
  return waiting > 0 ? `${plural(waiting, "node waits", "nodes wait")} for ${waiting === 1 ? "its" : "their"} turn` : undefined;
}

function FleetSkeleton(): JSX.Element {
  return (
    <div className="stack">
      <SkeletonBlock height={68} />
      <div className={classes.environments}>
        <SkeletonBlock height={118} />
        <SkeletonBlock height={118} />
      </div>
      <div className={classes.columns}>
        <SkeletonBlock height={420} />
        <SkeletonBlock height={420} />
      </div>
    </div>
  );
}

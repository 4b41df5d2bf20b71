import { useQuery } from "@tanstack/react-query";
import type { JSX } from "react";
import { applicationsQuery } from "../../api/queries";
import type { ApplicationSummary } from "../../api/types";
import { DataTable, type Column } from "../../components/DataTable";
import { FilterBox } from "../../components/FilterBox";
import { ApplicationLink, RolloutLink } from "../../components/links";
import { Loaded } from "../../components/Loaded";
import { Empty } from "../../components/Notice";
import { PageHeader } from "../../components/PageHeader";
import { Panel } from "../../components/Panel";
import { Status } from "../../components/Status";
import { useSearchState } from "../../hooks/useSearchState";
import { count, plural } from "../../util/format";
import { processesStatus, rank } from "../../util/status";
import { matches } from "../../util/table";

const sum = (app: ApplicationSummary, pick: "process_count" | "process_ready_count"): number => app.environments.reduce((total, place) => total + place[pick], 0);
const health = (app: ApplicationSummary) => processesStatus(sum(app, "process_ready_count"), sum(app, "process_count"));

const COLUMNS: Column<ApplicationSummary>[] = [
  {
    id: "name",
    header: "Application",
    value: (app) => app.name,
    render: (app) => (
      <>
        <ApplicationLink name={app.name} />
        {!app.declared && <div className="small softer">not in the fleet configuration</div>}
      </>
    ),
  },
  { id: "state", header: "Processes", value: (app) => rank(health(app).look), render: (app) => <Status status={health(app)} /> },
  {
    id: "runs",
    header: "What runs where",
    render: (app) => (
      <ul>
        {app.environments.map((place) => (
          <li key={place.environment} className="row wrap" style={{ gap: "0 8px" }}>
            <span className="soft">{place.environment}</span>
            {place.release === null ? <span className="softer">nothing deployed</span> : <span className="mono">{place.release}</span>}
            <span className="softer small">{plural(place.nodes.length, "node")}</span>
            {place.active_rollout !== null && (
              <RolloutLink id={place.active_rollout}>
                <Status status={{ look: "busy", word: "rollout" }} />
              </RolloutLink>
            )}
          </li>
        ))}
      </ul>
    ),
  },
  { id: "latest", header: "Newest release", value: (app) => app.latest_release, render: (app) => (app.latest_release === null ? <span className="softer">none</span> : <span className="mono">{app.latest_release}</span>), priority: 2 },
  { id: "releases", header: "Releases", value: (app) => app.release_count, render: (app) => count(app.release_count), align: "right", priority: 3, largestFirst: true, width: 96 },
];

export function ApplicationsPage(): JSX.Element {
  const applications = useQuery(applicationsQuery);
  const [{ q, sort }, set] = useSearchState();
  return (
    <>
      <PageHeader title="Applications" meta={applications.data && <span>{plural(applications.data.items.length, "application")}</span>} actions={<FilterBox label="Filter applications" value={q} set={(value) => set({ q: value })} />} />
      <Panel>
        <Loaded query={applications}>
          {(data) => (
            <DataTable
              label="Applications"
              columns={COLUMNS}
              rows={data.items.filter((app) => matches(q ?? "", [app.name, ...app.environments.map((place) => place.environment)]))}
              rowKey={(app) => app.name}
              sort={{ value: sort, fallback: "name", set: (value) => set({ sort: value }) }}
              empty={
                data.items.length === 0 ? (
                  <Empty icon="application" title="No applications yet" commands={["muster apply -f fleet/", "muster release create web --dir . --version 1.0.0"]}>
                    Declare one under <span className="mono">applications:</span> in a fleet file, apply it, then make a release of its folder.
                  </Empty>
                ) : (
                  <Empty icon="search" title="No application passes the filter" />
                )
              }
            />
          )}
        </Loaded>
      </Panel>
    </>
  );
}

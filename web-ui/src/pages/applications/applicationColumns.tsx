import type { ApplicationSummary } from "../../api/types";
import type { Column } from "../../components/DataTable";
import { ApplicationLink, RolloutLink } from "../../components/links";
import { Status } from "../../components/Status";
import { count, plural } from "../../util/format";
import { processesStatus, rank } from "../../util/status";

const sum = (app: ApplicationSummary, pick: "process_count" | "process_ready_count"): number => app.environments.reduce((total, place) => total + place[pick], 0);
const health = (app: ApplicationSummary) => processesStatus(sum(app, "process_ready_count"), sum(app, "process_count"));

/** The columns of a table of applications. */
export const APPLICATION_COLUMNS: Column<ApplicationSummary>[] = [
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

import type { JSX } from "react";
import type { Process } from "../api/types";
import { bytes, count, percent, plural } from "../util/format";
import { processStatus, rank } from "../util/status";
import { DataTable, type Column } from "./DataTable";
import { ApplicationLink, NodeLink } from "./links";
import { Empty } from "./Notice";
import { Status } from "./Status";
import { Elapsed } from "./Time";

interface Props {
  processes: readonly Process[];
  /** What the page is about already, and needs no column. */
  omit: "node" | "application";
  sort: string | undefined;
  setSort: (value: string) => void;
}

export function ProcessTable({ processes, omit, sort, setSort }: Props): JSX.Element {
  const columns: Column<Process>[] = [
    {
      id: "state",
      header: "State",
      value: (p) => rank(processStatus(p.state).look),
      render: (p) => (
        <>
          <Status status={processStatus(p.state)} />
          {p.state !== "ready" && p.last_exit !== null && <div className="small soft">{p.last_exit}</div>}
          {p.last_failure !== null && <div className="small soft">last change failed: {p.last_failure}</div>}
          {p.dropped_log_lines > 0 && <div className="small soft">{plural(p.dropped_log_lines, "log line")} dropped</div>}
        </>
      ),
    },
    omit === "node"
      ? { id: "application", header: "Application", value: (p) => `${p.application} ${p.instance}`, render: (p) => <Instance process={p} name={<ApplicationLink name={p.application} />} /> }
      : { id: "node", header: "Node", value: (p) => `${p.environment} ${p.node} ${p.instance}`, render: (p) => <Instance process={p} name={<NodeLink name={p.node} />} /> },
    ...(omit === "application" ? [{ id: "environment", header: "Environment", value: (p: Process) => p.environment, render: (p: Process) => p.environment, priority: 3 as const }] : []),
    { id: "release", header: "Release", value: (p) => p.release, render: (p) => <span className="mono">{p.release ?? "–"}</span>, priority: 2 },
    { id: "pid", header: "PID", render: (p) => p.pid ?? "–", align: "right", priority: 4 },
    { id: "uptime", header: "Running for", value: (p) => p.started_at, render: (p) => (p.started_at === null ? "–" : <Elapsed from={p.started_at} />), align: "right", priority: 3 },
    { id: "listening", header: "Listens on", render: (p) => <Listening process={p} />, priority: 4 },
    { id: "restarts", header: "Restarts", value: (p) => p.restarts, render: (p) => <RestartCount process={p} />, align: "right", priority: 3, largestFirst: true },
    { id: "cpu", header: "CPU", value: (p) => p.cpu_percent, render: (p) => percent(p.cpu_percent, 1), align: "right", priority: 2, largestFirst: true },
    { id: "memory", header: "Memory", value: (p) => p.memory_bytes, render: (p) => bytes(p.memory_bytes), align: "right", largestFirst: true },
  ];
  return (
    <DataTable
      label="Processes"
      columns={columns}
      rows={processes}
      rowKey={(p) => `${p.node} ${p.application} ${p.instance}`}
      sort={{ value: sort, fallback: omit === "node" ? "application" : "node", set: setSort }}
      empty={<Empty icon="application" title="No processes">Nothing is deployed here yet.</Empty>}
    />
  );
}

/** How often it was restarted; early exits are what the supervisor gives up for. */
function RestartCount({ process }: { process: Process }): JSX.Element {
  return (
    <span title={process.last_exit === null ? undefined : `last: ${process.last_exit}`}>
      {count(process.restarts)}
      {process.unstable_restarts > 0 && <div className="small soft nowrap">{count(process.unstable_restarts)} early</div>}
    </span>
  );
}

function Listening({ process }: { process: Process }): JSX.Element {
  return (
    <span className="mono small" title={process.limits_by === null ? undefined : `limits enforced by ${process.limits_by}`}>
      {process.listening.length === 0 ? "–" : process.listening.map((address) => <div key={address} className="nowrap">{address}</div>)}
    </span>
  );
}

function Instance({ process, name }: { process: Process; name: JSX.Element }): JSX.Element {
  return (
    <span className="nowrap">
      {name} <span className="softer num">#{process.instance}</span>
    </span>
  );
}

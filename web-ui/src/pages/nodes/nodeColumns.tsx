import type { JSX } from "react";
import type { NodeSummary } from "../../api/types";
import type { Column } from "../../components/DataTable";
import { Label } from "../../components/Labels";
import { NodeLink } from "../../components/links";
import { Meter } from "../../components/Meter";
import { Status } from "../../components/Status";
import { Ago } from "../../components/Time";
import { bytes, decimal, plural, share, words } from "../../util/format";
import { nodeConvergence, nodeHealth, nodeStatus, rank } from "../../util/status";

const ofBytes = (used: number | null, total: number | null): string => (used === null || total === null ? "no figures yet" : `${bytes(used)} of ${bytes(total)}`);

/** The columns of a table of nodes; the fleet page has room for fewer. */
export function nodeColumns(brief: boolean): Column<NodeSummary>[] {
  const state = brief ? nodeStatus : nodeHealth;
  const columns: Column<NodeSummary>[] = [
    {
      id: "name",
      header: "Node",
      value: (n) => n.name,
      render: (n) => (
        <>
          <NodeLink name={n.name} />
          {!brief && n.roles.length > 0 && <div className="small softer">{n.roles.map(words).join(", ")}</div>}
          {!brief && <Flags node={n} />}
        </>
      ),
    },
    { id: "environment", header: "Environment", value: (n) => `${n.environment} ${n.name}`, render: (n) => n.environment, priority: 3 },
    { id: "state", header: "State", value: (n) => rank(state(n).look), render: (n) => <Status status={state(n)} />, width: brief ? undefined : 180 },
    ...(brief
      ? []
      : [
          {
            id: "convergence",
            header: "Convergence",
            value: (n: NodeSummary) => rank(nodeConvergence(n).look),
            render: (n: NodeSummary) => (n.liveness === "revoked" ? "" : <Status status={nodeConvergence(n)} title={plural(n.resource_count, "resource")} />),
            priority: 2 as const,
            width: 120,
          },
        ]),
    {
      id: "processes",
      header: "Processes",
      value: (n) => n.process_count,
      render: (n) => (n.process_count === 0 ? <span className="softer">none</span> : `${n.process_ready_count} of ${n.process_count}`),
      align: "right",
      priority: 3,
      largestFirst: true,
      width: 96,
    },
    { id: "cpu", header: "CPU", value: (n) => n.cpu_percent, render: (n) => <Meter label={`CPU of ${n.name}`} value={live(n, n.cpu_percent)} />, priority: 2, largestFirst: true, width: 120 },
    {
      id: "memory",
      header: "Memory",
      value: (n) => share(n.memory_used_bytes, n.memory_total_bytes),
      render: (n) => <Meter label={`Memory of ${n.name}`} value={live(n, share(n.memory_used_bytes, n.memory_total_bytes))} title={ofBytes(n.memory_used_bytes, n.memory_total_bytes)} />,
      priority: 2,
      largestFirst: true,
      width: 120,
    },
    {
      id: "disk",
      header: "Disk",
      value: (n) => share(n.disk_used_bytes, n.disk_total_bytes),
      render: (n) => <Meter label={`Disk of ${n.name}`} value={live(n, share(n.disk_used_bytes, n.disk_total_bytes))} title={ofBytes(n.disk_used_bytes, n.disk_total_bytes)} />,
      priority: 3,
      largestFirst: true,
      width: 120,
    },
    { id: "load", header: "Load", value: (n) => n.load_1, render: (n) => decimal(live(n, n.load_1)), align: "right", priority: 4, largestFirst: true, width: 64 },
    { id: "heard", header: "Heard", value: (n) => n.last_heartbeat_at, render: (n) => <Ago at={n.last_heartbeat_at} />, align: "right", priority: 4, width: 92 },
  ];
  return columns;
}

/** What somebody should know who thinks that a node is like the others. */
function Flags({ node }: { node: NodeSummary }): JSX.Element | null {
  if (node.reboot_required === null && node.mode_override_count === 0) return null;
  return (
    <div className="row wrap" style={{ gap: 4, marginTop: 2 }}>
      {node.reboot_required !== null && (
        <Label strong title={node.reboot_required}>
          restart needed
        </Label>
      )}
      {node.mode !== "enforce" ? (
        <Label title="Set by hand for the whole node">{node.mode}</Label>
      ) : (
        node.mode_override_count > 0 && <Label title="Set by hand for single resources">{plural(node.mode_override_count, "mode")} set</Label>
      )}
    </div>
  );
}

/** The figures of a node that is not heard are history, not figures. */
function live(node: NodeSummary, value: number | null): number | null {
  return node.liveness === "up" || node.liveness === "late" ? value : null;
}

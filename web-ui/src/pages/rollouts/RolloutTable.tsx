import type { JSX } from "react";
import type { Rollout } from "../../api/types";
import { DataTable, type Column } from "../../components/DataTable";
import { ApplicationLink, RolloutLink } from "../../components/links";
import { Empty } from "../../components/Notice";
import { RolloutBar } from "../../components/RolloutTrack";
import { Status } from "../../components/Status";
import { Ago, Elapsed } from "../../components/Time";
import { rank, rolloutProgress, rolloutStatus } from "../../util/status";

interface Props {
  rollouts: readonly Rollout[];
  omitApplication?: boolean;
  sort: string | undefined;
  setSort: (value: string) => void;
}

export function RolloutTable({ rollouts, omitApplication = false, sort, setSort }: Props): JSX.Element {
  const columns: Column<Rollout>[] = [
    {
      id: "state",
      header: "State",
      value: (r) => rank(rolloutStatus(r.status).look),
      render: (r) => (
        <RolloutLink id={r.id}>
          <Status status={rolloutStatus(r.status)} />
        </RolloutLink>
      ),
    },
    ...(omitApplication ? [] : [{ id: "application", header: "Application", value: (r: Rollout) => r.application, render: (r: Rollout) => <ApplicationLink name={r.application} /> }]),
    { id: "environment", header: "Environment", value: (r) => r.environment, render: (r) => r.environment, priority: 2 },
    {
      id: "release",
      header: "Release",
      value: (r) => r.release,
      render: (r) => (
        <span>
          {r.kind === "rollback" && <span className="soft">back to </span>}
          <span className="mono">{r.release}</span>
          {r.former_release !== null && <span className="softer"> from {r.former_release}</span>}
        </span>
      ),
    },
    {
      id: "nodes",
      header: "Nodes",
      priority: 3,
      width: 130,
      render: (r) => {
        const { done, total } = rolloutProgress(r);
        return (
          <span style={{ display: "grid", gridTemplateColumns: "1fr auto", alignItems: "center", gap: 8 }}>
            <RolloutBar rollout={r} />
            <span className="num small">
              {done} of {total}
            </span>
          </span>
        );
      },
    },
    { id: "took", header: "Took", render: (r) => <Elapsed from={r.created_at} to={r.finished_at} />, align: "right", priority: 3 },
    { id: "started", header: "Started", value: (r) => r.created_at, render: (r) => <Ago at={r.created_at} />, align: "right", priority: 2, largestFirst: true },
    { id: "by", header: "By", value: (r) => r.created_by, render: (r) => r.created_by, priority: 4 },
  ];
  return (
    <DataTable
      label="Rollouts"
      columns={columns}
      rows={rollouts}
      rowKey={(rollout) => rollout.id}
      sort={{ value: sort, fallback: "-started", set: setSort }}
      empty={
        <Empty icon="rollout" title="No rollouts yet" commands={["muster deploy web --release 1.0.0 --environment production --wait"]}>
          A rollout moves an environment to a release, node after node.
        </Empty>
      }
    />
  );
}

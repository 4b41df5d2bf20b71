import { Badge, Button, Select } from "@mantine/core";
import { useState, type JSX } from "react";
import type { ResourceState } from "../../api/types";
import { ChangeText } from "../../components/Code";
import { DataTable, type Column } from "../../components/DataTable";
import { FilterBox } from "../../components/FilterBox";
import { Icon } from "../../components/Icon";
import { Empty } from "../../components/Notice";
import { Panel } from "../../components/Panel";
import { Status } from "../../components/Status";
import { Ago } from "../../components/Time";
import { useSearchState } from "../../hooks/useSearchState";
import { plural } from "../../util/format";
import { rank, resourceStatus } from "../../util/status";
import { matches } from "../../util/table";

const SHOW = [
  { value: "", label: "All" },
  { value: "problems", label: "Not as they should be" },
  { value: "corrective", label: "Put back after drift" },
];

/** What the node should be, part by part, in the order in which the agent applies it. */
export function Resources({ resources }: { resources: readonly ResourceState[] }): JSX.Element {
  const [{ q, sort, show }, set] = useSearchState();
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const wrong = resources.filter((resource) => resource.status === "failed" || resource.status === "skipped" || resource.status === "drifted").length;
  const shown = resources.filter(
    (resource) =>
      (show === "problems" ? resource.status !== "converged" && resource.status !== "unsupported" : show === "corrective" ? resource.change === "corrective" : true) &&
      matches(q ?? "", [resource.key, resource.status, resource.detail]),
  );

  function toggle(key: string): void {
    const next = new Set(open);
    if (!next.delete(key)) next.add(key);
    setOpen(next);
  }

  const order = new Map(resources.map((resource, index) => [resource.key, index]));
  const columns: Column<ResourceState>[] = [
    { id: "order", header: "#", value: (r) => order.get(r.key) ?? 0, render: (r) => <span className="softer">{(order.get(r.key) ?? 0) + 1}</span>, align: "right", width: 44, priority: 3 },
    { id: "state", header: "State", value: (r) => rank(resourceStatus(r.status).look), render: (r) => <span className="nowrap"><Status status={resourceStatus(r.status)} /></span>, width: "1%" },
    {
      id: "resource",
      header: "Resource",
      value: (r) => r.key,
      render: (r) => (
        <>
          <span className="mono" style={{ overflowWrap: "anywhere" }}>{r.key}</span>
          {r.detail !== "" && r.detail !== r.change_detail && <div className="small soft">{r.detail}</div>}
          {r.change_detail !== null && (
            <div>
              <Button variant="subtle" size="compact-xs" ml={-8} aria-expanded={open.has(r.key)} leftSection={<Icon name={open.has(r.key) ? "down" : "chevron"} size={11} />} onClick={() => toggle(r.key)}>
                What changed last
              </Button>
            </div>
          )}
        </>
      ),
    },
    {
      id: "changed",
      header: "Last change",
      value: (r) => r.changed_at,
      render: (r) => (
        <span className="row" style={{ justifyContent: "flex-end" }}>
          {r.change === "corrective" && (
            <Badge variant="outline" color="gray" size="sm" tt="none" fw={550} title="It had drifted and was put back" style={{ color: "var(--warning)", borderColor: "var(--warning)" }}>
              put back
            </Badge>
          )}
          <Ago at={r.changed_at} none="unchanged" />
        </span>
      ),
      align: "right",
      priority: 2,
      largestFirst: true,
      width: 180,
    },
  ];

  return (
    <Panel
      title="Resources"
      note={wrong > 0 ? `${wrong} of ${resources.length} not as they should be` : `${plural(resources.length, "resource")}, all as they should be`}
      actions={
        <>
          <Select size="xs" w={180} aria-label="Show" data={SHOW} value={show ?? ""} onChange={(value) => set({ show: value || undefined })} />
          <FilterBox label="Filter resources" width={180} value={q} set={(value) => set({ q: value })} />
        </>
      }
    >
      <DataTable
        label="Resources"
        columns={columns}
        rows={shown}
        rowKey={(resource) => resource.key}
        sort={{ value: sort, fallback: "order", set: (value) => set({ sort: value }) }}
        renderDetail={(resource) => (open.has(resource.key) && resource.change_detail ? <ChangeText text={resource.change_detail} /> : null)}
        empty={
          resources.length === 0 ? (
            <Empty icon="configuration" title="Nothing is declared for this node yet" commands={["muster apply -f fleet/ --dry-run"]}>
              Files, folders and applications that the fleet configuration puts on it appear here.
            </Empty>
          ) : (
            <Empty icon="search" title="No resource passes the filter" />
          )
        }
      />
    </Panel>
  );
}

import { Button, Select } from "@mantine/core";
import { useState, type JSX } from "react";
import type { NodeDetail, ResourceState } from "../../api/types";
import { DataTable, type Column } from "../../components/DataTable";
import { FilterBox } from "../../components/FilterBox";
import { Icon } from "../../components/Icon";
import { CauseLabel, Chips, ModeWord, type Chip } from "../../components/Labels";
import { ResourceLink } from "../../components/links";
import { Empty } from "../../components/Notice";
import { Panel } from "../../components/Panel";
import { Prose } from "../../components/Prose";
import { Status } from "../../components/Status";
import { Ago } from "../../components/Time";
import { useSearchState } from "../../hooks/useSearchState";
import { countStatus, passesFilter, resourcesNote, splitKey } from "../../util/convergence";
import { rank, resourceStatus } from "../../util/status";
import { matches } from "../../util/table";
import { ResourceDiffs } from "./ResourceDiffs";
import classes from "./Resources.module.css";

const ROWS = 20;

/** What the node should be, part by part. The worst first; on demand in the order in which the agent applies them. */
export function Resources({ node }: { node: NodeDetail }): JSX.Element {
  const { resources } = node;
  const [{ q, sort, show, kind }, set] = useSearchState();
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const shown = resources.filter((resource) => passesFilter(resource, { kind, show }) && matches(q ?? "", [resource.key, resource.status, resource.detail, resource.mode]));
  const kinds = [...new Set(resources.map((resource) => resource.kind))].sort();
  const order = new Map(resources.map((resource, index) => [resource.key, index]));

  function toggle(key: string): void {
    const next = new Set(open);
    if (!next.delete(key)) next.add(key);
    setOpen(next);
  }

  const columns: Column<ResourceState>[] = [
    { id: "order", header: "#", value: (r) => order.get(r.key) ?? 0, render: (r) => <span className="softer">{(order.get(r.key) ?? 0) + 1}</span>, align: "right", width: 44, priority: 4 },
    { id: "state", header: "State", value: (r) => rank(resourceStatus(r.status).look), render: (r) => <span className="nowrap"><Status status={resourceStatus(r.status)} /></span>, width: "1%" },
    { id: "kind", header: "Kind", value: (r) => r.kind, render: (r) => <span className="soft nowrap">{r.kind}</span>, width: "1%", priority: 2 },
    { id: "resource", header: "Resource", value: (r) => splitKey(r.key).name, render: (r) => <Name resource={r} open={open.has(r.key)} toggle={() => toggle(r.key)} /> },
    { id: "mode", header: "Mode", value: (r) => r.mode, render: (r) => <ModeWord mode={r.mode} />, priority: 3, width: 96 },
    {
      id: "changed",
      header: "Last change",
      value: (r) => r.changed_at,
      render: (r) => (
        <span className="row" style={{ justifyContent: "flex-end" }}>
          {r.change !== null && <CauseLabel cause={r.change} />}
          <Ago at={r.changed_at} none="unchanged" />
        </span>
      ),
      align: "right",
      priority: 2,
      largestFirst: true,
      width: 190,
    },
  ];

  return (
    <Panel
      title="Resources"
      note={resourcesNote(resources)}
      actions={
        resources.length > 0 && (
          <>
            <Select size="xs" w={150} aria-label="Kind" searchable data={[{ value: "", label: "All kinds" }, ...kinds]} value={kind ?? ""} onChange={(value) => set({ kind: value || undefined })} />
            <FilterBox label="Filter resources" width={180} value={q} set={(value) => set({ q: value })} />
          </>
        )
      }
    >
      {resources.length > 0 && (
        <div className={classes.chips}>
          <Chips label="Show only" chips={chips(resources)} chosen={show} set={(value) => set({ show: value })} />
        </div>
      )}
      <DataTable
        label="Resources"
        columns={columns}
        rows={shown}
        rowKey={(resource) => resource.key}
        cap={ROWS}
        sort={{ value: sort, fallback: "state", set: (value) => set({ sort: value }) }}
        renderDetail={(resource) => (open.has(resource.key) ? <ResourceDiffs node={node.name} resource={resource.key} /> : null)}
        empty={
          resources.length === 0 ? (
            <Empty icon="configuration" title="Nothing is declared for this node yet" commands={["muster apply -f fleet/ --dry-run"]}>
              Packages, files, services and applications that the fleet configuration puts on it appear here. An existing host can be inspected first: it proposes what to declare.
            </Empty>
          ) : (
            <Empty icon="search" title="No resource passes the filter" action={<Button variant="default" onClick={() => set({ q: undefined, show: undefined, kind: undefined })}>Clear the filter</Button>} />
          )
        }
      />
    </Panel>
  );
}

function chips(resources: readonly ResourceState[]): Chip[] {
  const corrective = resources.filter((resource) => resource.change === "corrective").length;
  const held = resources.filter((resource) => resource.mode !== "enforce").length;
  return [
    ...countStatus(resources).map(({ status, count }) => ({ id: status, look: resourceStatus(status).look, text: `${count} ${resourceStatus(status).word}` })),
    ...(held > 0 ? [{ id: "held", text: `${held} not enforced` }] : []),
    ...(corrective > 0 ? [{ id: "corrective", text: `${corrective} put back after drift` }] : []),
  ];
}

function Name({ resource, open, toggle }: { resource: ResourceState; open: boolean; toggle: () => void }): JSX.Element {
  const { name } = splitKey(resource.key);
  const differs = resource.differs;
  return (
    <>
      <ResourceLink resource={resource.key}>{name}</ResourceLink>
      <div className={classes.narrow}>
        <span>{resource.kind}</span>
        {resource.mode !== "enforce" && <ModeWord mode={resource.mode} />}
        {resource.change !== null && <CauseLabel cause={resource.change} />}
        <Ago at={resource.changed_at} none="unchanged" />
      </div>
      {resource.detail !== "" && (
        <div className="small soft" style={{ overflowWrap: "anywhere" }}>
          <Prose text={resource.detail} />
        </div>
      )}
      {(differs || resource.change_detail !== null) && (
        <div>
          <Button variant="subtle" size="compact-xs" ml={-8} aria-expanded={open} leftSection={<Icon name={open ? "down" : "chevron"} size={11} />} onClick={toggle}>
            {differs ? "What differs" : "What changed last"}
          </Button>
        </div>
      )}
    </>
  );
}

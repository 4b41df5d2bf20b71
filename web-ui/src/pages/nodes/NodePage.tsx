import { CloseButton } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import type { JSX } from "react";
import { eventsQuery, nodeQuery } from "../../api/queries";
import type { NodeDetail } from "../../api/types";
import { Changes } from "../../components/Changes";
import { EventList } from "../../components/EventList";
import { Facts } from "../../components/Facts";
import { Loaded, SkeletonBlock } from "../../components/Loaded";
import { Empty } from "../../components/Notice";
import { PageHeader } from "../../components/PageHeader";
import { Panel } from "../../components/Panel";
import { ProcessTable } from "../../components/ProcessTable";
import { Restarts } from "../../components/Restarts";
import { Status } from "../../components/Status";
import { Ago, Left } from "../../components/Time";
import { useNow } from "../../hooks/useNow";
import { useSearchState } from "../../hooks/useSearchState";
import { nodeCan } from "../../util/can";
import { bytes, plural, words } from "../../util/format";
import { nodeStatus } from "../../util/status";
import { NodeActions } from "./NodeActions";
import { NodeNotices } from "./NodeNotices";
import { NodeGraphs } from "./NodeGraphs";
import { PlanPanel } from "../plans/PlanView";
import { ResourceDrawer } from "./ResourceDrawer";
import { Resources } from "./Resources";

export function NodePage(): JSX.Element {
  const { name } = useParams({ from: "/shell/nodes/$name" });
  const node = useQuery(nodeQuery(name));
  return (
    <>
      <PageHeader
        title={name}
        parent={{ label: "Nodes", to: "/nodes" }}
        status={node.data && <Status status={nodeStatus(node.data)} />}
        meta={node.data && <Meta node={node.data} />}
        actions={node.data && <NodeActions node={node.data} />}
      />
      <Loaded
        query={node}
        skeleton={
          <div className="stack">
            <SkeletonBlock height={88} />
            <SkeletonBlock height={430} />
            <SkeletonBlock height={300} />
          </div>
        }
      >
        {(data) => <Node node={data} />}
      </Loaded>
    </>
  );
}

function Meta({ node }: { node: NodeDetail }): JSX.Element {
  return (
    <>
      <Link to="/nodes" search={{ environment: node.environment }}>
        {node.environment}
      </Link>
      {node.roles.length > 0 && <span>{node.roles.map(words).join(", ")}</span>}
      <span>
        heard <Ago at={node.last_heartbeat_at} />
      </span>
    </>
  );
}

function Node({ node }: { node: NodeDetail }): JSX.Element {
  const [{ psort, plan, resource }, set] = useSearchState();
  const events = useQuery(eventsQuery({ node: node.name }, 30));
  return (
    <div className="stack">
      <NodeNotices node={node} />
      <Panel>
        <Facts facts={facts(node)} />
      </Panel>
      {plan !== undefined && (
        <PlanPanel
          id={plan}
          again={() => ({ node: node.name })}
          made={(made) => set({ plan: made.id })}
          can={nodeCan.plan(node)}
          actions={<CloseButton size="sm" aria-label="Close the plan" onClick={() => set({ plan: undefined })} />}
        />
      )}
      <Resources node={node} />
      <NodeGraphs node={node} />
      <Panel title="Changes" note="what was changed on it, and why">
        <Changes node={node.name} />
      </Panel>
      <Panel title="Processes" note={plural(node.processes.length, "process", "processes")}>
        <ProcessTable processes={node.processes} omit="node" sort={psort} setSort={(value) => set({ psort: value })} />
      </Panel>
      <Panel title="Restarts" note="why processes ended or were replaced">
        <Restarts filter={{ node: node.name }} omit="node" />
      </Panel>
      <Panel title="Events" actions={<Link to="/events" search={{ node: node.name }}>All of this node</Link>}>
        <Loaded query={events}>
          {(data) => (data.items.length === 0 ? <Empty icon="event" title="Nothing has happened to this node yet" /> : <EventList events={data.items.slice(0, 12)} />)}
        </Loaded>
      </Panel>
      {resource !== undefined && <ResourceDrawer key={resource} node={node} resource={resource} close={() => set({ resource: undefined })} />}
    </div>
  );
}

function facts(node: NodeDetail): [string, JSX.Element | string][] {
  const { facts: host } = node;
  const current = node.reported_generation >= node.generation;
  return [
    ["Host", host.hostname || "–"],
    ["System", `${host.os || "–"}${host.rootless ? ", rootless" : ""}`],
    ["Kernel", [host.kernel, host.architecture].filter(Boolean).join(" ") || "–"],
    ["Processors", host.cpus === 0 ? "–" : plural(host.cpus, "core")],
    ["Memory", bytes(host.memory_bytes || node.memory_total_bytes)],
    ["Agent", host.agent_version || "–"],
    [
      "Generation",
      <span key="g" className="num">
        {node.reported_generation}
        {!current && <span className="soft"> of {node.generation}</span>}
      </span>,
    ],
    ["Converged", <Ago key="c" at={node.converged_at} />],
    ["Joined", <Ago key="j" at={node.enrolled_at} />],
    ["Certificate", node.certificate_expires_at === null ? "–" : <Certificate key="x" until={node.certificate_expires_at} />],
  ];
}

const SOON_MS = 4 * 3_600_000;

/** Renewed by itself after two thirds of its 24 hours; close to its end, something is in the way. */
function Certificate({ until }: { until: string }): JSX.Element {
  const left = Date.parse(until) - useNow().getTime();
  if (left <= 0) return <Status status={{ look: "error", word: "expired" }} />;
  return left < SOON_MS ? (
    <Status status={{ look: "warning", word: "" }}>
      <Left until={until} />
    </Status>
  ) : (
    <Left until={until} />
  );
}

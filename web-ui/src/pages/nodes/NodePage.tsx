import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import type { JSX } from "react";
import { eventsQuery, nodeQuery } from "../../api/queries";
import type { NodeDetail } from "../../api/types";
import { EventList } from "../../components/EventList";
import { Facts } from "../../components/Facts";
import { Loaded, SkeletonBlock } from "../../components/Loaded";
import { Empty, WarningNotice } from "../../components/Notice";
import { PageHeader } from "../../components/PageHeader";
import { Panel } from "../../components/Panel";
import { ProcessTable } from "../../components/ProcessTable";
import { Restarts } from "../../components/Restarts";
import { Status } from "../../components/Status";
import { Ago, Left } from "../../components/Time";
import { useNow } from "../../hooks/useNow";
import { useSearchState } from "../../hooks/useSearchState";
import { bytes, plural, words } from "../../util/format";
import { nodeStatus } from "../../util/status";
import { NodeActions } from "./NodeActions";
import { NodeGraphs } from "./NodeGraphs";
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
  const [{ psort }, set] = useSearchState();
  const events = useQuery(eventsQuery({ node: node.name }, 30));
  return (
    <div className="stack">
      {node.liveness === "down" && (
        <WarningNotice title={`Not heard since ${new Date(node.last_heartbeat_at ?? node.liveness_changed_at).toLocaleString("en-GB")}`}>
          <p>
            Its applications may well run: they do not need the controller. Look whether the host is up, and at <span className="mono">systemctl status muster-agent</span> on it. It catches up by itself when it is back.
          </p>
        </WarningNotice>
      )}
      {node.liveness === "revoked" && (
        <WarningNotice title="The identity of this node was withdrawn">
          <p>It cannot connect any more. What ran on the host when it was revoked may still run there.</p>
        </WarningNotice>
      )}
      {node.compile_error !== null && (
        <WarningNotice title="No new assignment could be made for it; the last one stays in force">
          <p>{node.compile_error}</p>
        </WarningNotice>
      )}
      <Panel>
        <Facts facts={facts(node)} />
      </Panel>
      <NodeGraphs node={node} />
      <Resources resources={node.resources} />
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

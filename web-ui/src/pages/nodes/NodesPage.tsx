import { Button, Select } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import type { JSX } from "react";
import { enrolmentsQuery, nodesQuery, overviewQuery } from "../../api/queries";
import type { NodeSummary } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { DataTable } from "../../components/DataTable";
import { FilterBox } from "../../components/FilterBox";
import { Icon } from "../../components/Icon";
import { Loaded } from "../../components/Loaded";
import { Empty } from "../../components/Notice";
import { PageHeader } from "../../components/PageHeader";
import { Panel } from "../../components/Panel";
import { useSession } from "../../hooks/contexts";
import { useSearchState } from "../../hooks/useSearchState";
import { nodeCan } from "../../util/can";
import { plural } from "../../util/format";
import { CONVERGENCE_WORDS, convergenceStatus, nodeStatus } from "../../util/status";
import { matches } from "../../util/table";
import { Invitations } from "./Invitations";
import { InviteDialog } from "./InviteDialog";
import { nodeColumns } from "./nodeColumns";

const STATES = [
  { value: "", label: "All states" },
  { value: "attention", label: "Needs attention" },
  { value: "up", label: "Up" },
  { value: "down", label: "Down or late" },
  { value: "restart", label: "Restart needed" },
  { value: "held", label: "Mode set by hand" },
];

const CONVERGENCE = [{ value: "", label: "All convergence" }, ...CONVERGENCE_WORDS.map((each) => ({ value: each, label: convergenceStatus(each).word }))];

function inState(node: NodeSummary, state: string | undefined): boolean {
  if (state === "attention") return ["error", "warning"].includes(nodeStatus(node).look);
  if (state === "restart") return node.reboot_required !== null && node.liveness !== "revoked";
  if (state === "held") return node.mode_override_count > 0;
  if (state === "up") return node.liveness === "up";
  return state === "down" ? node.liveness === "down" || node.liveness === "late" : true;
}

export function NodesPage(): JSX.Element {
  const session = useSession();
  const nodes = useQuery(nodesQuery);
  const overview = useQuery(overviewQuery);
  const enrolments = useQuery(enrolmentsQuery);
  const [{ q, sort, environment, state, convergence, invite }, set] = useSearchState();
  const environments = [...new Set(nodes.data?.items.map((node) => node.environment))].sort();
  const missing = overview.data?.missing_nodes ?? [];
  return (
    <>
      <PageHeader
        title="Nodes"
        meta={nodes.data && <span>{plural(nodes.data.items.length, "node")} joined{missing.length > 0 ? `, ${missing.length} declared and waiting for a host` : ""}</span>}
        actions={
          <ActionButton variant="filled" can={nodeCan.invite(session)} onClick={() => set({ invite: "1" })} leftSection={<Icon name="plus" size={14} />}>
            Invite a node
          </ActionButton>
        }
      />
      <div className="stack">
        <Panel
          title="Joined"
          actions={
            <>
              <Select size="xs" w={150} aria-label="Environment" data={[{ value: "", label: "All environments" }, ...environments]} value={environment ?? ""} onChange={(value) => set({ environment: value || undefined })} />
              <Select size="xs" w={148} aria-label="Convergence" data={CONVERGENCE} value={convergence ?? ""} onChange={(value) => set({ convergence: value || undefined })} />
              <Select size="xs" w={150} aria-label="State" data={STATES} value={state ?? ""} onChange={(value) => set({ state: value || undefined })} />
              <FilterBox label="Name, role" width={170} value={q} set={(value) => set({ q: value })} />
            </>
          }
        >
          <Loaded query={nodes}>
            {(data) => (
              <DataTable
                label="Nodes"
                columns={nodeColumns(false)}
                rows={data.items.filter((node) => (environment === undefined || node.environment === environment) && inState(node, state) && (convergence === undefined || (node.convergence === convergence && node.liveness !== "revoked")) && matches(q ?? "", [node.name, node.environment, ...node.roles]))}
                rowKey={(node) => node.id}
                sort={{ value: sort, fallback: "environment", set: (value) => set({ sort: value }) }}
                empty={
                  data.items.length === 0 ? (
                    <Empty icon="node" title="No host has joined yet" commands={[`muster node invite ${missing[0] ?? "app-1"}`]}>
                      An invitation gives one line to paste on a host. From then on it pulls what it should be.
                    </Empty>
                  ) : (
                    <Empty icon="search" title="No node passes the filter" action={<Button variant="default" onClick={() => set({ q: undefined, environment: undefined, state: undefined, convergence: undefined })}>Clear the filter</Button>} />
                  )
                }
              />
            )}
          </Loaded>
        </Panel>
        <Invitations enrolments={enrolments.data?.items ?? []} missing={missing} />
      </div>
      {invite !== undefined && !overview.isPending && <InviteDialog close={() => set({ invite: undefined })} name={invite === "1" ? missing[0] : invite} />}
    </>
  );
}

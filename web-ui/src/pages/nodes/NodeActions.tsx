import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState, type JSX } from "react";
import { api } from "../../api/client";
import { keys } from "../../api/queries";
import type { NodeDetail } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { Icon } from "../../components/Icon";
import { toast, toastError } from "../../components/Toasts";
import { useSession } from "../../hooks/contexts";
import { useSearchState } from "../../hooks/useSearchState";
import { nodeCan } from "../../util/can";
import { list, plural } from "../../util/format";
import { PlanButton } from "../plans/PlanButton";
import { InspectDialog } from "./InspectDialog";
import { ModeDialog } from "./ModeDialog";
import { RebootDialog } from "./RebootDialog";

export function NodeActions({ node }: { node: NodeDetail }): JSX.Element {
  const session = useSession();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const [open, setOpen] = useState<"revoke" | "remove" | "mode" | "reboot" | null>(null);
  const [busy, setBusy] = useState(false);
  const [{ inspect }, set] = useSearchState();
  const close = (): void => setOpen(null);

  async function changed(): Promise<void> {
    await Promise.all([keys.overview, keys.nodes, keys.node(node.name)].map((queryKey) => queries.invalidateQueries({ queryKey })));
  }

  function converge(): void {
    setBusy(true);
    api
      .nodeConverge(node.name)
      .then(() => toast(`${node.name} was asked to converge now`), toastError)
      .finally(() => setBusy(false));
  }

  return (
    <>
      <ActionButton can={nodeCan.converge(session, node)} loading={busy} onClick={converge} leftSection={<Icon name="refresh" size={14} />}>
        Converge now
      </ActionButton>
      <PlanButton of={{ node: node.name }} can={nodeCan.plan(node)} made={(plan) => set({ plan: plan.id })} />
      <ActionButton can={nodeCan.setMode(session, node)} onClick={() => setOpen("mode")} leftSection={<Icon name="settings" size={14} />}>
        Set mode
      </ActionButton>
      <ActionButton can={nodeCan.reboot(session, node)} onClick={() => setOpen("reboot")} leftSection={<Icon name="power" size={14} />}>
        Restart
      </ActionButton>
      <ActionButton can={nodeCan.inspect(session, node)} onClick={() => set({ inspect: "1" })} leftSection={<Icon name="search" size={14} />}>
        Inspect
      </ActionButton>
      {node.liveness === "revoked" ? (
        <ActionButton can={nodeCan.remove(session, node)} onClick={() => setOpen("remove")} leftSection={<Icon name="trash" size={14} />}>
          Remove
        </ActionButton>
      ) : (
        <ActionButton can={nodeCan.revoke(session, node)} onClick={() => setOpen("revoke")} leftSection={<Icon name="broken" size={14} />}>
          Revoke
        </ActionButton>
      )}
      {open === "mode" && <ModeDialog node={node} resource={null} close={close} />}
      {open === "reboot" && <RebootDialog node={node} close={close} />}
      {inspect !== undefined && nodeCan.inspect(session, node).allowed && <InspectDialog node={node} close={() => set({ inspect: undefined })} />}
      {open === "revoke" && (
        <ConfirmDialog
          title={`Revoke ${node.name}`}
          danger
          typed={node.name}
          confirm="Revoke the node"
          consequences={revokeConsequences(node)}
          action={() => api.nodeRevoke(node.name).then(changed)}
          close={close}
        />
      )}
      {open === "remove" && (
        <ConfirmDialog
          title={`Remove ${node.name}`}
          danger
          typed={node.name}
          confirm="Remove the node"
          consequences={[
            "It disappears from the lists, with its figures. Its events stay.",
            <>
              The name <span className="mono">{node.name}</span> is free for another host.
            </>,
          ]}
          action={async () => {
            await api.nodeRemove(node.name);
            await navigate({ to: "/nodes" });
            await queries.invalidateQueries({ queryKey: keys.overview });
            await queries.invalidateQueries({ queryKey: keys.nodes });
          }}
          close={close}
        />
      )}
    </>
  );
}

function revokeConsequences(node: NodeDetail): string[] {
  const applications = [...new Set(node.processes.map((process) => process.application))];
  return [
    "Its certificate stops working at once: open connections are cut, and it gets no assignment any more.",
    node.processes.length > 0
      ? `${plural(node.processes.length, "process", "processes")} of ${list(applications)} ${node.processes.length === 1 ? "keeps" : "keep"} running on the host, but nothing here can see or change ${node.processes.length === 1 ? "it" : "them"}.`
      : "It runs no processes.",
    applications.length > 0 ? `Rollouts of ${list(applications)} leave it out from now on.` : "No application is affected.",
    "This cannot be taken back. To use the host again, invite it anew.",
  ];
}

import { Checkbox, TextInput } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useState, type JSX } from "react";
import { api } from "../../api/client";
import { keys } from "../../api/queries";
import type { NodeDetail } from "../../api/types";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { toast } from "../../components/Toasts";
import { rebootConsequences } from "../../util/convergence";

export function RebootDialog({ node, close }: { node: NodeDetail; close: () => void }): JSX.Element {
  const queries = useQueryClient();
  const [reason, setReason] = useState(node.reboot_required ?? "");
  const [now, setNow] = useState(false);
  return (
    <ConfirmDialog
      title={`Restart ${node.name}`}
      danger
      confirm="Restart the host"
      blocked={reason.trim() === ""}
      consequences={rebootConsequences(node, now)}
      action={async () => {
        await api.nodeReboot(node.name, { reason: reason.trim(), now });
        toast(`${node.name} is asked to restart`);
        await Promise.all([keys.overview, keys.nodes, keys.node(node.name)].map((queryKey) => queries.invalidateQueries({ queryKey })));
      }}
      close={close}
    >
      <div className="stack" style={{ gap: 12, marginBottom: 14 }}>
        <TextInput label="Why" description="Needed: it stands in the events" maxLength={300} autoComplete="off" placeholder="new kernel" value={reason} onChange={(event) => setReason(event.currentTarget.value)} />
        <Checkbox size="sm" label="Now, without waiting for its turn" checked={now} onChange={(event) => setNow(event.currentTarget.checked)} />
      </div>
    </ConfirmDialog>
  );
}

import { useQueryClient } from "@tanstack/react-query";
import type { JSX } from "react";
import { api } from "../../api/client";
import { keys } from "../../api/queries";
import type { Enrolment } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { DataTable, type Column } from "../../components/DataTable";
import { Panel } from "../../components/Panel";
import { Status } from "../../components/Status";
import { Left } from "../../components/Time";
import { toast, toastError } from "../../components/Toasts";
import { useSession } from "../../hooks/contexts";
import { useSearchState } from "../../hooks/useSearchState";
import { nodeCan } from "../../util/can";

interface Waiting {
  node: string;
  invitation: Enrolment | null;
}

/** Names that wait for a host: declared ones, and invitations that nobody has used. */
export function Invitations({ enrolments, missing }: { enrolments: readonly Enrolment[]; missing: readonly string[] }): JSX.Element | null {
  const session = useSession();
  const queries = useQueryClient();
  const [, set] = useSearchState();
  const open = enrolments.filter((each) => each.status === "invited");
  const rows: Waiting[] = [
    ...open.map((invitation) => ({ node: invitation.node, invitation })),
    ...missing.filter((name) => !open.some((each) => each.node === name)).map((node) => ({ node, invitation: null })),
  ];
  if (rows.length === 0) return null;

  function withdraw(invitation: Enrolment): void {
    api.enrolmentWithdraw(invitation.id).then(() => {
      toast(`The invitation of ${invitation.node} is withdrawn`);
      return queries.invalidateQueries({ queryKey: keys.enrolments });
    }, toastError);
  }

  const columns: Column<Waiting>[] = [
    { id: "node", header: "Node", render: (row) => <span className="mono">{row.node}</span> },
    {
      id: "state",
      header: "State",
      render: (row) =>
        row.invitation === null ? <Status status={{ look: "waiting", word: "declared, not invited" }} /> : <Status status={{ look: "waiting", word: `invited by ${row.invitation.created_by}` }} />,
    },
    { id: "environment", header: "Environment", render: (row) => row.invitation?.environment ?? "", priority: 3 },
    { id: "left", header: "Valid for", render: (row) => (row.invitation === null ? "" : <Left until={row.invitation.expires_at} />), align: "right", priority: 2 },
    {
      id: "action",
      header: "",
      align: "right",
      render: (row) =>
        row.invitation === null ? (
          <ActionButton size="compact-xs" can={nodeCan.invite(session)} onClick={() => set({ invite: row.node })}>
            Invite
          </ActionButton>
        ) : (
          <ActionButton size="compact-xs" can={nodeCan.invite(session)} onClick={() => row.invitation && withdraw(row.invitation)}>
            Withdraw
          </ActionButton>
        ),
    },
  ];
  return (
    <Panel title="Waiting for a host">
      <DataTable label="Waiting for a host" columns={columns} rows={rows} rowKey={(row) => row.invitation?.id ?? row.node} />
    </Panel>
  );
}

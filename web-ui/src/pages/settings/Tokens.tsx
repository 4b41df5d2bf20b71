import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type JSX } from "react";
import { api } from "../../api/client";
import { keys, tokensQuery } from "../../api/queries";
import type { Token } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { DataTable, type Column } from "../../components/DataTable";
import { Icon } from "../../components/Icon";
import { Loaded } from "../../components/Loaded";
import { Empty } from "../../components/Notice";
import { Panel } from "../../components/Panel";
import { Status } from "../../components/Status";
import { Ago, Left } from "../../components/Time";
import type { StatusWord } from "../../util/status";
import { TokenDialog } from "./TokenDialog";

function tokenStatus(token: Token): StatusWord {
  if (token.revoked_at !== null) return { look: "off", word: "revoked" };
  if (token.expires_at !== null && Date.parse(token.expires_at) < Date.now()) return { look: "off", word: "expired" };
  return { look: "ok", word: "valid" };
}

export function Tokens(): JSX.Element {
  const queries = useQueryClient();
  const tokens = useQuery(tokensQuery);
  const [creating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<Token | null>(null);
  const columns: Column<Token>[] = [
    { id: "name", header: "Name", render: (t) => t.name },
    { id: "state", header: "State", render: (t) => <Status status={tokenStatus(t)} /> },
    { id: "user", header: "Rights of", render: (t) => t.username, priority: 3 },
    { id: "used", header: "Last used", render: (t) => <Ago at={t.last_used_at} />, align: "right", priority: 2 },
    { id: "ends", header: "Ends", render: (t) => (t.expires_at === null ? "never" : tokenStatus(t).look === "ok" ? <Left until={t.expires_at} /> : <Ago at={t.expires_at} />), align: "right", priority: 3 },
    { id: "created", header: "Made", render: (t) => <Ago at={t.created_at} />, align: "right", priority: 3 },
    {
      id: "revoke",
      header: "",
      align: "right",
      render: (t) =>
        t.revoked_at === null ? (
          <ActionButton size="compact-xs" onClick={() => setRevoking(t)}>
            Revoke
          </ActionButton>
        ) : null,
    },
  ];
  return (
    <Panel
      title="API tokens"
      note="for the command line, scripts and CI"
      actions={
        <ActionButton onClick={() => setCreating(true)} leftSection={<Icon name="plus" size={13} />}>
          Create a token
        </ActionButton>
      }
    >
      <Loaded query={tokens}>
        {(data) => (
          <DataTable
            label="API tokens"
            columns={columns}
            rows={data.items}
            rowKey={(token) => token.id}
            empty={
              <Empty icon="secret" title="No tokens yet" commands={[`muster login ${location.origin}`]}>
                The command line makes one for itself when you sign in with it.
              </Empty>
            }
          />
        )}
      </Loaded>
      {creating && <TokenDialog close={() => setCreating(false)} />}
      {revoking !== null && (
        <ConfirmDialog
          title={`Revoke the token ${revoking.name}`}
          danger
          confirm="Revoke the token"
          consequences={["Whatever uses it is refused from the next request on.", "It cannot be taken back; make a new token instead."]}
          action={async () => {
            await api.tokenRevoke(revoking.id);
            await queries.invalidateQueries({ queryKey: keys.tokens });
          }}
          close={() => setRevoking(null)}
        />
      )}
    </Panel>
  );
}

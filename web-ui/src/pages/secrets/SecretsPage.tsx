import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type JSX } from "react";
import { api } from "../../api/client";
import { keys, secretsQuery } from "../../api/queries";
import type { Secret } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { DataTable, type Column } from "../../components/DataTable";
import { FilterBox } from "../../components/FilterBox";
import { Icon } from "../../components/Icon";
import { ApplicationLink } from "../../components/links";
import { Loaded } from "../../components/Loaded";
import { Empty } from "../../components/Notice";
import { PageHeader } from "../../components/PageHeader";
import { Panel } from "../../components/Panel";
import { Ago } from "../../components/Time";
import { useSession } from "../../hooks/contexts";
import { useSearchState } from "../../hooks/useSearchState";
import { secretCan } from "../../util/can";
import { list, plural } from "../../util/format";
import { matches } from "../../util/table";
import { SecretDialog } from "./SecretDialog";

const scope = (secret: Secret): string => secret.environment ?? "every environment";

export function SecretsPage(): JSX.Element {
  const session = useSession();
  const queries = useQueryClient();
  const secrets = useQuery(secretsQuery);
  const [{ q, sort }, set] = useSearchState();
  const [editing, setEditing] = useState<{ secret: Secret | null } | null>(null);
  const [deleting, setDeleting] = useState<Secret | null>(null);
  const can = secretCan.change(session);

  const columns: Column<Secret>[] = [
    { id: "name", header: "Name", value: (s) => s.name, render: (s) => <span className="mono">{s.name}</span> },
    { id: "environment", header: "Environment", value: scope, render: (s) => (s.environment === null ? <span className="soft">every environment</span> : s.environment) },
    {
      id: "used",
      header: "Used by",
      priority: 2,
      render: (s) =>
        s.used_by.length === 0 ? (
          <span className="softer">no application</span>
        ) : (
          <span className="row wrap" style={{ gap: "0 8px" }}>
            {s.used_by.map((name) => (
              <ApplicationLink key={name} name={name} />
            ))}
          </span>
        ),
    },
    { id: "set", header: "Set", value: (s) => s.updated_at, render: (s) => <Ago at={s.updated_at} />, align: "right", priority: 2, largestFirst: true },
    { id: "by", header: "By", value: (s) => s.updated_by, render: (s) => s.updated_by, priority: 3 },
    {
      id: "actions",
      header: "",
      align: "right",
      render: (s) => (
        <span className="row" style={{ justifyContent: "flex-end", gap: 6 }}>
          <ActionButton size="compact-xs" can={can} onClick={() => setEditing({ secret: s })}>
            Replace
          </ActionButton>
          <ActionButton size="compact-xs" can={can} onClick={() => setDeleting(s)}>
            Delete
          </ActionButton>
        </span>
      ),
    },
  ];

  return (
    <>
      <PageHeader
        title="Secrets"
        meta={<span>Values are kept encrypted, go only to the nodes that need them, and are never shown again.</span>}
        actions={
          <ActionButton variant="filled" can={can} onClick={() => setEditing({ secret: null })} leftSection={<Icon name="plus" size={14} />}>
            Set a secret
          </ActionButton>
        }
      />
      <Panel title="All secrets" note={secrets.data && plural(secrets.data.items.length, "secret")} actions={<FilterBox label="Filter secrets" value={q} set={(value) => set({ q: value })} />}>
        <Loaded query={secrets}>
          {(data) => (
            <DataTable
              label="Secrets"
              columns={columns}
              rows={data.items.filter((secret) => matches(q ?? "", [secret.name, secret.environment, ...secret.used_by]))}
              rowKey={(secret) => `${secret.name} ${secret.environment ?? ""}`}
              sort={{ value: sort, fallback: "name", set: (value) => set({ sort: value }) }}
              empty={
                data.items.length === 0 ? (
                  <Empty icon="secret" title="No secrets yet" commands={["muster secret set STRIPE_KEY --environment production"]}>
                    Name a secret under <span className="mono">secrets:</span> of an application, and set its value here or on the command line, which reads it from standard input.
                  </Empty>
                ) : (
                  <Empty icon="search" title="No secret passes the filter" />
                )
              }
            />
          )}
        </Loaded>
      </Panel>
      {editing !== null && <SecretDialog secret={editing.secret} close={() => setEditing(null)} />}
      {deleting !== null && (
        <ConfirmDialog
          title={`Delete ${deleting.name} of ${scope(deleting)}`}
          danger
          typed={deleting.name}
          confirm="Delete the secret"
          consequences={[
            "Its value is gone for good; nobody can read it back.",
            deleting.used_by.length === 0
              ? "No application uses it."
              : `${list(deleting.used_by)} ${deleting.used_by.length === 1 ? "uses" : "use"} it: without a value, new assignments of ${plural(deleting.used_by.length, "application")} cannot be made.`,
          ]}
          action={async () => {
            await api.secretDelete(deleting.name, deleting.environment);
            await queries.invalidateQueries({ queryKey: keys.secrets });
          }}
          close={() => setDeleting(null)}
        />
      )}
    </>
  );
}

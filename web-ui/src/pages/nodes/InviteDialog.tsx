import { Button, Modal, MultiSelect, SegmentedControl, Select, TextInput } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState, type FormEvent, type JSX } from "react";
import { api } from "../../api/client";
import { environmentsQuery, keys, nodesQuery, overviewQuery } from "../../api/queries";
import type { EnrolmentCreated } from "../../api/types";
import { Command } from "../../components/Command";
import { ErrorNotice, WarningNotice } from "../../components/Notice";
import { Status } from "../../components/Status";
import { Left } from "../../components/Time";

const ROLES = [
  { value: "app_server", label: "app server" },
  { value: "load_balancer", label: "load balancer" },
  { value: "datastore", label: "datastore" },
];
const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const TTL = [
  { value: "900", label: "15 minutes" },
  { value: "3600", label: "1 hour" },
  { value: "86400", label: "1 day" },
];

/** Makes an invitation, shows its one line once, and waits for the node to appear. */
export function InviteDialog({ close, name }: { close: () => void; name?: string }): JSX.Element {
  const [made, setMade] = useState<EnrolmentCreated | null>(null);
  return (
    <Modal opened onClose={close} title={<strong>Invite a node</strong>} size="lg" closeOnClickOutside={made === null} closeButtonProps={{ "aria-label": "Close" }}>
      {made === null ? <InviteForm name={name ?? ""} made={setMade} close={close} /> : <Invited made={made} close={close} />}
    </Modal>
  );
}

function InviteForm({ name, made, close }: { name: string; made: (created: EnrolmentCreated) => void; close: () => void }): JSX.Element {
  const queries = useQueryClient();
  const environments = useQuery(environmentsQuery).data?.items ?? [];
  const missing = useQuery(overviewQuery).data?.missing_nodes ?? [];
  const [node, setNode] = useState(name);
  const [environment, setEnvironment] = useState<string>("");
  const [roles, setRoles] = useState<string[]>([]);
  const [ttl, setTtl] = useState("900");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const declared = missing.includes(node);
  const wrong = node !== "" && !NAME.test(node);

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const body = declared ? { node, ttl_s: Number(ttl) } : { node, environment: environment || null, roles, ttl_s: Number(ttl) };
      const created = await api.enrolmentCreate(body);
      void queries.invalidateQueries({ queryKey: keys.enrolments });
      made(created);
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  }

  return (
    <form className="stack" style={{ gap: 12 }} onSubmit={(event) => void submit(event)}>
      <TextInput
        label="Name of the node"
        description={missing.length > 0 ? `Declared and not joined: ${missing.join(", ")}` : "Small letters, digits and hyphens"}
        data-autofocus
        autoComplete="off"
        spellCheck={false}
        required
        withAsterisk={false}
        value={node}
        error={wrong ? "Small letters, digits and hyphens; begins and ends with a letter or digit" : undefined}
        onChange={(event) => setNode(event.currentTarget.value)}
      />
      {declared ? (
        <p className="soft">Its environment and roles are taken from the fleet configuration.</p>
      ) : (
        <>
          <Select label="Environment" placeholder="As the fleet configuration says" clearable data={environments.map((each) => each.name)} value={environment || null} onChange={(value) => setEnvironment(value ?? "")} />
          <MultiSelect label="Roles" size="sm" placeholder={roles.length === 0 ? "As the fleet configuration says" : undefined} data={ROLES} value={roles} onChange={setRoles} />
        </>
      )}
      <Select label="The invitation is valid for" data={TTL} value={ttl} onChange={(value) => setTtl(value ?? "900")} />
      {error !== null && <ErrorNotice error={error} />}
      <div className="row" style={{ justifyContent: "flex-end" }}>
        <Button variant="default" size="sm" onClick={close}>
          Cancel
        </Button>
        <Button type="submit" size="sm" loading={busy} disabled={node === "" || wrong}>
          Make the invitation
        </Button>
      </div>
    </form>
  );
}

/** What to do with an invitation: a line for a host that is there, or user data for one that is yet to be made. */
function Offer({ made }: { made: EnrolmentCreated }): JSX.Element {
  const [form, setForm] = useState("line");
  const name = <span className="mono">{made.enrolment.node}</span>;
  if (made.cloud_init === null) {
    return (
      <>
        {made.install_problem !== null && <WarningNotice title="This controller cannot install the agent">{made.install_problem}</WarningNotice>}
        <p>Install the agent on the host that is to become {name}, then run this there. It is shown this once and works once.</p>
        <Command text={made.command} />
      </>
    );
  }
  return (
    <>
      <SegmentedControl
        size="sm"
        aria-label="How the host gets the agent"
        data={[
          { value: "line", label: "A host that is there" },
          { value: "user-data", label: "A host that is yet to be made" },
        ]}
        value={form}
        onChange={setForm}
      />
      {form === "line" ? (
        <>
          <p>Run this as root on the host that is to become {name}: it installs the agent and joins. It is shown this once and works once.</p>
          <Command text={made.command} />
        </>
      ) : (
        <>
          <p>Give this to the provider as user data (cloud-init) of the host that is to become {name}. It is shown this once and works once.</p>
          <Command text={made.cloud_init} prompt={false} />
        </>
      )}
    </>
  );
}

function Invited({ made, close }: { made: EnrolmentCreated; close: () => void }): JSX.Element {
  const { node: name, expires_at } = made.enrolment;
  // Live messages renew this too; the interval is for a page that is not live.
  const nodes = useQuery({ ...nodesQuery, refetchInterval: 5000 });
  const joined = nodes.data?.items.find((node) => node.name === name && node.liveness !== "revoked" && Date.parse(node.liveness_changed_at) >= Date.parse(made.enrolment.created_at) - 5000);
  return (
    <div className="stack" style={{ gap: 12 }}>
      <Offer made={made} />
      <div className="row wrap" role="status">
        {joined === undefined ? (
          <>
            <Status status={{ look: "busy", word: `waiting for ${name}` }} />
            <span className="softer small">
              the invitation has <Left until={expires_at} />
            </span>
          </>
        ) : (
          <Status status={{ look: "ok", word: `${name} has joined` }} />
        )}
      </div>
      <div className="row" style={{ justifyContent: "flex-end" }}>
        <Button variant="default" size="sm" onClick={close}>
          Close
        </Button>
        {joined !== undefined && (
          <Button size="sm" component={Link} to="/nodes/$name" params={{ name } as never}>
            Open the node
          </Button>
        )}
      </div>
    </div>
  );
}

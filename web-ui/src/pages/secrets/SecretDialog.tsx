import { Button, Modal, Select, TextInput, Textarea } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent, type JSX } from "react";
import { api } from "../../api/client";
import { environmentsQuery, keys } from "../../api/queries";
import type { Secret } from "../../api/types";
import { ErrorNotice } from "../../components/Notice";
import { toast } from "../../components/Toasts";
import { list } from "../../util/format";

const LIMIT_BYTES = 65_536;

export function SecretDialog({ secret, close }: { secret: Secret | null; close: () => void }): JSX.Element {
  const queries = useQueryClient();
  const environments = useQuery(environmentsQuery).data?.items ?? [];
  const [name, setName] = useState(secret?.name ?? "");
  const [environment, setEnvironment] = useState(secret?.environment ?? "");
  const [value, setValue] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const size = new TextEncoder().encode(value).length;

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await api.secretSet(name, { value, environment: environment || null });
      await queries.invalidateQueries({ queryKey: keys.secrets });
      toast(`${name} is set`);
      close();
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  }

  return (
    <Modal opened onClose={close} title={<strong>{secret === null ? "Set a secret" : `Replace ${secret.name}`}</strong>} closeButtonProps={{ "aria-label": "Close" }}>
      <form className="stack" style={{ gap: 12 }} onSubmit={(event) => void submit(event)}>
        <TextInput label="Name" description="The variable that applications see" data-autofocus={secret === null} autoComplete="off" spellCheck={false} required withAsterisk={false} disabled={secret !== null} value={name} onChange={(event) => setName(event.currentTarget.value)} />
        <Select
          label="Environment"
          disabled={secret !== null}
          data={[{ value: "", label: "Every environment without a value of its own" }, ...environments.map((each) => each.name)]}
          value={environment}
          onChange={(chosen) => setEnvironment(chosen ?? "")}
        />
        <Textarea
          label="Value"
          description="It cannot be read again here"
          data-autofocus={secret !== null}
          autosize
          minRows={2}
          maxRows={10}
          autoComplete="off"
          spellCheck={false}
          required
          withAsterisk={false}
          value={value}
          error={size > LIMIT_BYTES ? "At most 64 KiB" : undefined}
          onChange={(event) => setValue(event.currentTarget.value)}
          styles={{ input: { fontFamily: "var(--font-mono)" } }}
        />
        {secret !== null && secret.used_by.length > 0 && <p className="soft">Processes of {list(secret.used_by)} are replaced by ones with the new value, each ready before the old one goes.</p>}
        {error !== null && <ErrorNotice error={error} />}
        <div className="row" style={{ justifyContent: "flex-end" }}>
          <Button variant="default" size="sm" onClick={close}>
            Cancel
          </Button>
          <Button type="submit" size="sm" loading={busy} disabled={name === "" || value === "" || size > LIMIT_BYTES}>
            {secret === null ? "Set the secret" : "Replace the value"}
          </Button>
        </div>
      </form>
    </Modal>
  );
}

import { Button, Modal, Select, TextInput } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent, type JSX } from "react";
import { api } from "../../api/client";
import { keys } from "../../api/queries";
import type { TokenCreated } from "../../api/types";
import { Command } from "../../components/Command";
import { ErrorNotice } from "../../components/Notice";

const DAY_S = 86_400;
const ENDS = [
  { value: String(30 * DAY_S), label: "30 days" },
  { value: String(90 * DAY_S), label: "90 days" },
  { value: String(365 * DAY_S), label: "1 year" },
  { value: "", label: "Never" },
];

/** Makes a token and shows its secret once. */
export function TokenDialog({ close }: { close: () => void }): JSX.Element {
  const queries = useQueryClient();
  const [name, setName] = useState("");
  const [ttl, setTtl] = useState(ENDS[1]?.value ?? "");
  const [made, setMade] = useState<TokenCreated | null>(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      setMade(await api.tokenCreate({ name, ttl_s: ttl === "" ? null : Number(ttl) }));
      void queries.invalidateQueries({ queryKey: keys.tokens });
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  }

  return (
    <Modal opened onClose={close} title={<strong>Create an API token</strong>} closeOnClickOutside={made === null} closeButtonProps={{ "aria-label": "Close" }}>
      {made === null ? (
        <form className="stack" style={{ gap: 12 }} onSubmit={(event) => void submit(event)}>
          <TextInput label="What it is for" placeholder="ci" data-autofocus autoComplete="off" required withAsterisk={false} value={name} onChange={(event) => setName(event.currentTarget.value)} />
          <Select label="Ends after" data={ENDS} value={ttl} onChange={(value) => setTtl(value ?? "")} />
          <p className="soft">It has your rights.</p>
          {error !== null && <ErrorNotice error={error} />}
          <div className="row" style={{ justifyContent: "flex-end" }}>
            <Button variant="default" size="sm" onClick={close}>
              Cancel
            </Button>
            <Button type="submit" size="sm" loading={busy} disabled={name.trim() === ""}>
              Create the token
            </Button>
          </div>
        </form>
      ) : (
        <div className="stack" style={{ gap: 12 }}>
          <p>Copy the secret now. It is shown this once.</p>
          <Command text={made.secret} prompt={false} />
          <p className="soft">
            Send it as <span className="mono">Authorization: Bearer …</span>
          </p>
          <Button size="sm" style={{ alignSelf: "flex-end" }} onClick={close}>
            I have copied it
          </Button>
        </div>
      )}
    </Modal>
  );
}

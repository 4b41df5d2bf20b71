import { Button, Modal, TextInput } from "@mantine/core";
import { useState, type JSX, type ReactNode } from "react";
import classes from "./ConfirmDialog.module.css";
import { ErrorNotice } from "./Notice";

interface Props {
  title: string;
  /** What will happen to what, in numbers. */
  consequences: ReactNode[];
  /** Above the consequences: choices that shape them. */
  children?: ReactNode;
  confirm: string;
  danger?: boolean;
  /** Must be typed before the action can be confirmed. */
  typed?: string;
  blocked?: boolean;
  /** Resolves when it is done; the dialog then closes. */
  action: () => Promise<unknown>;
  close: () => void;
}

/** Says what will happen before it does. */
export function ConfirmDialog({ title, consequences, children, confirm, danger = false, typed, blocked = false, action, close }: Props): JSX.Element {
  const [text, setText] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const ready = (typed === undefined || text === typed) && !blocked;

  async function run(): Promise<void> {
    if (!ready || busy) return;
    setBusy(true);
    setError(null);
    try {
      await action();
      close();
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  }

  return (
    <Modal opened onClose={busy ? () => {} : close} title={<strong>{title}</strong>} size="lg" closeButtonProps={{ "aria-label": "Close" }}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void run();
        }}
      >
        {children}
        <ul className={classes.list}>
          {consequences.map((consequence, index) => (
            <li key={index}>{consequence}</li>
          ))}
        </ul>
        {typed !== undefined && (
          <TextInput
            mt="md"
            data-autofocus
            label={
              <>
                Type <span className="mono">{typed}</span> to confirm
              </>
            }
            autoComplete="off"
            spellCheck={false}
            value={text}
            onChange={(event) => setText(event.currentTarget.value)}
          />
        )}
        {error !== null && (
          <div style={{ marginTop: 12 }}>
            <ErrorNotice error={error} />
          </div>
        )}
        <div className={classes.footer}>
          <Button variant="default" size="sm" onClick={close} disabled={busy} data-autofocus={typed === undefined || undefined}>
            Cancel
          </Button>
          <Button type="submit" size="sm" color={danger ? "red.8" : undefined} loading={busy} disabled={!ready}>
            {confirm}
          </Button>
        </div>
      </form>
    </Modal>
  );
}

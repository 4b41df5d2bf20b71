import { useState, type JSX, type ReactNode } from "react";
import { api } from "../../api/client";
import type { Plan, PlanCreate } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { Icon } from "../../components/Icon";
import { toastError } from "../../components/Toasts";
import type { Can } from "../../util/can";

/** Asks nodes what they would change; the answer fills in where `made` leads. */
export function PlanButton({ of, made, can, compact = false, label, children = "Plan" }: { of: PlanCreate; made: (plan: Plan) => void; can?: Can; compact?: boolean; label?: string; children?: ReactNode }): JSX.Element {
  const [busy, setBusy] = useState(false);
  function ask(): void {
    setBusy(true);
    api
      .planCreate(of)
      .then(made, toastError)
      .finally(() => setBusy(false));
  }
  return (
    <ActionButton can={can} loading={busy} onClick={ask} size={compact ? "compact-xs" : undefined} leftSection={compact ? undefined : <Icon name="configuration" size={14} />} aria-label={label}>
      {children}
    </ActionButton>
  );
}

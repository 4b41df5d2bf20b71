import { SegmentedControl, Select, TextInput } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useState, type JSX } from "react";
import { api } from "../../api/client";
import { keys } from "../../api/queries";
import type { Mode, NodeDetail } from "../../api/types";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { toast } from "../../components/Toasts";
import { MODES, modeConsequences, overrideOf } from "../../util/convergence";
import { OverrideText } from "./NodeNotices";

const FOR = [
  { value: "3600", label: "1 hour" },
  { value: "14400", label: "4 hours" },
  { value: "86400", label: "1 day" },
  { value: "604800", label: "1 week" },
  { value: "", label: "Until somebody lifts it" },
];

/** Sets or lifts the mode of a node (`resource` null) or of one resource on it. */
export function ModeDialog({ node, resource, lift = false, close }: { node: NodeDetail; resource: string | null; lift?: boolean; close: () => void }): JSX.Element {
  const queries = useQueryClient();
  const set = overrideOf(node.mode_overrides, resource);
  const [mode, setMode] = useState<Mode>(lift ? "enforce" : (set?.mode ?? "report"));
  const [reason, setReason] = useState("");
  const [time, setTime] = useState("14400");
  const lifts = mode === "enforce";
  const seconds = time === "" ? null : Number(time);
  const means = MODES.find((each) => each.mode === mode)?.means;
  const about = resource ?? node.name;

  return (
    <ConfirmDialog
      title={lift ? `Lift the mode of ${about}` : `Mode of ${about}`}
      confirm={lifts ? "Enforce again" : `Set to ${mode}`}
      blocked={lifts ? set === null : reason.trim() === ""}
      consequences={modeConsequences(node, resource, mode, seconds)}
      action={async () => {
        await api.nodeModeSet(node.name, { mode, resource, reason: reason.trim(), expires_in_s: lifts ? null : seconds });
        toast(lifts ? `${about} is enforced again` : `${about} is set to ${mode}`);
        await Promise.all([keys.overview, keys.nodes, keys.node(node.name)].map((queryKey) => queries.invalidateQueries({ queryKey })));
      }}
      close={close}
    >
      <div className="stack" style={{ gap: 12, marginBottom: 14 }}>
        {set !== null && <OverrideText set={set} />}
        {!lift && (
          <>
            <div>
              <SegmentedControl size="sm" fullWidth aria-label="Mode" data={MODES.map((each) => each.mode)} value={mode} onChange={(value) => setMode(value as Mode)} />
              <p className="small soft" style={{ marginTop: 4 }}>
                {means} What is declared and what is set hold together: the strictest wins.
              </p>
            </div>
            {!lifts && (
              <>
                <TextInput
                  label="Why"
                  description="Needed: others will see the node like this and wonder"
                  placeholder="looking for the reason of the slow disk"
                  maxLength={300}
                  autoComplete="off"
                  value={reason}
                  onChange={(event) => setReason(event.currentTarget.value)}
                />
                <Select label="For" data={FOR} value={time} onChange={(value) => setTime(value ?? "")} />
              </>
            )}
          </>
        )}
      </div>
    </ConfirmDialog>
  );
}

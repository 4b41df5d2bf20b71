// A node's turn: what it is for, whom it waits for, and the button that lets others go on after a failed one.
import { useQueryClient } from "@tanstack/react-query";
import { useState, type JSX } from "react";
import { api } from "../api/client";
import { keys } from "../api/queries";
import type { Turn } from "../api/types";
import { useSession } from "../hooks/contexts";
import { nodeCan } from "../util/can";
import { ActionButton } from "./ActionButton";
import { ConfirmDialog } from "./ConfirmDialog";
import { RolloutLink } from "./links";
import { Prose } from "./Prose";
import { Elapsed } from "./Time";
import { toast } from "./Toasts";

export function TurnText({ turn }: { turn: Turn }): JSX.Element {
  return (
    <>
      {turn.detail !== "" && (
        <p style={{ overflowWrap: "anywhere" }}>
          <Prose text={turn.detail} />
        </p>
      )}
      <p className="small soft">
        {turn.reason || "a change"}, {turn.cause}, for <Elapsed from={turn.since} />
        {turn.rollout !== null && (
          <>
            {" "}
            – <RolloutLink id={turn.rollout}>the rollout</RolloutLink>
          </>
        )}
      </p>
    </>
  );
}

/** `waiting`: how many nodes wait behind it. */
export function ReleaseTurnButton({ turn, waiting }: { turn: Turn; waiting: number | null }): JSX.Element | null {
  const session = useSession();
  const queries = useQueryClient();
  const [open, setOpen] = useState(false);
  if (turn.state !== "failed") return null;
  return (
    <>
      <ActionButton can={nodeCan.releaseTurn(session)} onClick={() => setOpen(true)}>
        Let others go on
      </ActionButton>
      {open && (
        <ConfirmDialog
          title={`Let others go on without ${turn.node}`}
          confirm="Let others go on"
          danger
          consequences={[
            `${turn.node} gives its place up although its change failed: ${turn.detail || turn.reason}`,
            waiting === null || waiting === 0 ? `No node of ${turn.environment} waits now; the next that asks goes on.` : `${waiting === 1 ? "1 node waits" : `${waiting} nodes wait`} in ${turn.environment}; the next of them begins with its change. If the change itself is at fault, it fails there as well.`,
            `${turn.node} tries again with its next run, and asks for its turn anew.`,
          ]}
          action={async () => {
            await api.nodeTurnRelease(turn.node);
            toast(`Others in ${turn.environment} may go on`);
            await Promise.all([keys.overview, keys.nodes, keys.node(turn.node)].map((queryKey) => queries.invalidateQueries({ queryKey })));
          }}
          close={() => setOpen(false)}
        />
      )}
    </>
  );
}

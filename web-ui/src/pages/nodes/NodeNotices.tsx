// What a person should know of a node before anything else: it is away, waits, failed, is held back, has to be restarted.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type JSX } from "react";
import { api } from "../../api/client";
import { keys, overviewQuery } from "../../api/queries";
import type { ModeOverride, NodeDetail, Turn } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { ResourceLink } from "../../components/links";
import { Notice, WarningNotice } from "../../components/Notice";
import { Ago, Left } from "../../components/Time";
import { toast, toastError } from "../../components/Toasts";
import { ReleaseTurnButton, TurnText } from "../../components/TurnView";
import { useSession } from "../../hooks/contexts";
import { nodeCan } from "../../util/can";
import { plural } from "../../util/format";
import { modeStatus, turnStatus } from "../../util/status";
import { ModeDialog } from "./ModeDialog";
import { RebootDialog } from "./RebootDialog";

export function NodeNotices({ node }: { node: NodeDetail }): JSX.Element {
  return (
    <>
      {node.liveness === "down" && (
        <WarningNotice title={`Not heard since ${new Date(node.last_heartbeat_at ?? node.liveness_changed_at).toLocaleString("en-GB")}`}>
          <p>
            Its applications may well run: they do not need the controller. Look whether the host is up, and at <span className="mono">systemctl status muster-agent</span> on it. It catches up by itself when it is back.
          </p>
        </WarningNotice>
      )}
      {node.liveness === "revoked" && (
        <WarningNotice title="The identity of this node was withdrawn">
          <p>It cannot connect any more. What ran on the host when it was revoked may still run there.</p>
        </WarningNotice>
      )}
      {node.compile_error !== null && (
        <WarningNotice title="No new assignment could be made for it; the last one stays in force">
          <p>{node.compile_error}</p>
        </WarningNotice>
      )}
      {node.turn !== null && <TurnNotice turn={node.turn} />}
      <RebootNotice node={node} />
      {node.mode_overrides.length > 0 && <ModeNotice node={node} />}
    </>
  );
}

const TURN_TITLE: Record<Turn["state"], string> = {
  waiting: "Waits for its turn",
  granted: "It is its turn",
  failed: "Its change failed, and it keeps its place: others wait",
};

function TurnNotice({ turn }: { turn: Turn }): JSX.Element {
  const turns = useQuery(overviewQuery).data?.turns;
  const waiting = turns === undefined ? null : turns.filter((each) => each.environment === turn.environment && each.state === "waiting").length;
  return (
    <Notice label="Turn" look={turnStatus(turn).look} title={turn.state === "granted" && turn.kind === "reboot" ? "It is restarting" : TURN_TITLE[turn.state]} actions={turn.state === "failed" ? <ReleaseTurnButton turn={turn} waiting={waiting} /> : undefined}>
      <TurnText turn={turn} />
    </Notice>
  );
}

function RebootNotice({ node }: { node: NodeDetail }): JSX.Element | null {
  const session = useSession();
  const queries = useQueryClient();
  const [open, setOpen] = useState(false);
  const request = node.reboot_request;

  function cancel(): void {
    api.nodeRebootCancel(node.name).then(() => {
      toast(`The restart of ${node.name} is taken back`);
      return queries.invalidateQueries({ queryKey: keys.node(node.name) });
    }, toastError);
  }

  if (request !== null) {
    return (
      <Notice
        label="Restart"
        look="busy"
        title={request.now ? "A restart is asked for, without waiting for its turn" : "A restart is asked for"}
        actions={
          <ActionButton can={nodeCan.cancelReboot(session)} onClick={cancel}>
            Take it back
          </ActionButton>
        }
      >
        <p>{request.reason}</p>
        <p className="small soft">
          by {request.requested_by} <Ago at={request.requested_at} />
        </p>
      </Notice>
    );
  }
  if (node.reboot_required === null) return null;
  return (
    <>
      <Notice
        label="Restart"
        look="warning"
        title="It has to be restarted"
        actions={
          <ActionButton can={nodeCan.reboot(session, node)} onClick={() => setOpen(true)}>
            Restart it
          </ActionButton>
        }
      >
        <p>{node.reboot_required}</p>
        <p className="small soft">With a reboot window in the configuration it restarts by itself, when it is its turn.</p>
      </Notice>
      {open && <RebootDialog node={node} close={() => setOpen(false)} />}
    </>
  );
}

/** Who set a mode, why, and until when. */
export function OverrideText({ set }: { set: ModeOverride }): JSX.Element {
  return (
    <p className="small soft" style={{ overflowWrap: "anywhere" }}>
      {set.resource === null ? "The whole node is" : "It is"} set to <b>{modeStatus(set.mode).word}</b> by {set.set_by} <Ago at={set.set_at} />: {set.reason || "no reason given"} (
      {set.expires_at === null ? "until somebody lifts it" : <Left until={set.expires_at} over="is being lifted" />})
    </p>
  );
}

const LISTED = 5;

function ModeNotice({ node }: { node: NodeDetail }): JSX.Element {
  const session = useSession();
  const [lifting, setLifting] = useState<ModeOverride | null>(null);
  const [all, setAll] = useState(false);
  const whole = node.mode_overrides.find((each) => each.resource === null);
  const single = node.mode_overrides.filter((each) => each.resource !== null);
  const shown = [...(whole === undefined ? [] : [whole]), ...(all ? single : single.slice(0, LISTED))];
  const can = nodeCan.setMode(session, node);
  return (
    <>
      <Notice
        label="Modes"
        look="warning"
        title={whole !== undefined ? `The whole node is set to ${whole.mode}${single.length > 0 ? `, and ${plural(single.length, "resource")} of it` : ""}` : `${plural(single.length, "resource is", "resources are")} held back by hand`}
      >
        <ul className="stack" style={{ gap: 6, marginTop: 2 }}>
          {shown.map((each) => (
            <li key={each.resource ?? ""} className="row wrap" style={{ justifyContent: "space-between" }}>
              <span className="grow" style={{ flexBasis: 220 }}>
                {each.resource !== null && <ResourceLink resource={each.resource} />}
                <OverrideText set={each} />
              </span>
              <ActionButton can={can} size="compact-xs" onClick={() => setLifting(each)} aria-label={`Lift the mode of ${each.resource ?? node.name}`}>
                Lift
              </ActionButton>
            </li>
          ))}
        </ul>
        {shown.length < node.mode_overrides.length && (
          <p>
            <button type="button" className="link" onClick={() => setAll(true)}>
              Show {node.mode_overrides.length - shown.length} more
            </button>
          </p>
        )}
      </Notice>
      {lifting !== null && <ModeDialog node={node} resource={lifting.resource} lift close={() => setLifting(null)} />}
    </>
  );
}

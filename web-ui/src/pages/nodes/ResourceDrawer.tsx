// One resource in full, beside the page. Its address can be pasted into a chat.
import { Drawer } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState, type JSX } from "react";
import { resourceQuery } from "../../api/queries";
import type { NodeDetail, ResourceDetail } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { Changes } from "../../components/Changes";
import { Facts } from "../../components/Facts";
import { CauseLabel, ModeWord } from "../../components/Labels";
import { Loaded, SkeletonBlock } from "../../components/Loaded";
import { Prose } from "../../components/Prose";
import { Status } from "../../components/Status";
import { Ago } from "../../components/Time";
import { useSession } from "../../hooks/contexts";
import { nodeCan } from "../../util/can";
import { overrideOf } from "../../util/convergence";
import { resourceStatus } from "../../util/status";
import { ModeDialog } from "./ModeDialog";
import { OverrideText } from "./NodeNotices";
import { Diffs } from "./ResourceDiffs";
import classes from "./Resources.module.css";

export function ResourceDrawer({ node, resource, close }: { node: NodeDetail; resource: string; close: () => void }): JSX.Element {
  const detail = useQuery(resourceQuery(node.name, resource));
  const [asking, setAsking] = useState(false);
  return (
    <>
      <Drawer
        opened
        onClose={close}
        position="right"
        size="min(720px, 100%)"
        title={<strong className="mono" style={{ overflowWrap: "anywhere" }}>{resource}</strong>}
        closeButtonProps={{ "aria-label": "Close" }}
        // A dialog above it takes the keys.
        closeOnEscape={!asking}
        trapFocus={!asking}
      >
        <Loaded query={detail} skeleton={<SkeletonBlock height={320} />}>
          {(data) => <Detail node={node} detail={data} setMode={() => setAsking(true)} />}
        </Loaded>
      </Drawer>
      {asking && <ModeDialog node={node} resource={resource} close={() => setAsking(false)} />}
    </>
  );
}

function Detail({ node, detail, setMode }: { node: NodeDetail; detail: ResourceDetail; setMode: () => void }): JSX.Element {
  const session = useSession();
  const set = overrideOf(node.mode_overrides, detail.key) ?? overrideOf(node.mode_overrides, null);
  return (
    <div className={classes.drawer}>
      <div className="stack" style={{ gap: 8 }}>
        <div className="row wrap" style={{ justifyContent: "space-between" }}>
          <Status status={resourceStatus(detail.status)} />
          <ActionButton can={nodeCan.setMode(session, node)} onClick={setMode}>
            Set the mode
          </ActionButton>
        </div>
        {detail.detail !== "" && (
          <p style={{ overflowWrap: "anywhere" }}>
            <Prose text={detail.detail} />
          </p>
        )}
      </div>
      <div className={classes.facts}>
      <Facts
        facts={[
          ["Node", node.name],
          ["Kind", detail.kind],
          ["Mode", <ModeWord key="m" mode={detail.mode} />],
          [
            "Last change",
            <span key="c" className="row wrap">
              <Ago at={detail.changed_at} none="unchanged" />
              {detail.change !== null && <CauseLabel cause={detail.change} />}
            </span>,
          ],
          ["Reported", <Ago key="r" at={detail.reported_at} />],
        ]}
      />
      </div>
      {set !== null && <OverrideText set={set} />}
      <Diffs detail={detail} />
      <section className={classes.section} aria-label="History">
        <h3>History</h3>
        <div className={classes.history}>
          <Changes node={node.name} resource={detail.key} />
        </div>
      </section>
    </div>
  );
}

import { Link } from "@tanstack/react-router";
import type { JSX } from "react";
import type { NodeSummary } from "../../api/types";
import { NodeLink } from "../../components/links";
import { Panel } from "../../components/Panel";
import { StatusMark } from "../../components/Status";
import { plural } from "../../util/format";
import classes from "./FleetPage.module.css";

const SHOWN = 6;

/** Nodes that have to be restarted, and why. */
export function RestartsNeeded({ nodes }: { nodes: readonly NodeSummary[] }): JSX.Element {
  return (
    <Panel title="Restart needed" note={plural(nodes.length, "node")} actions={nodes.length > SHOWN && <Link to="/nodes" search={{ state: "restart" }}>All of them</Link>}>
      <ul aria-label="Nodes that need a restart">
        {nodes.slice(0, SHOWN).map((node) => (
          <li key={node.id} className={classes.restart}>
            <StatusMark look="warning" size={14} />
            <NodeLink name={node.name} />
            <span className="soft" style={{ overflowWrap: "anywhere" }}>{node.reboot_required}</span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

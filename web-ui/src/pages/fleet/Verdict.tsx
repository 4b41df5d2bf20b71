// Are we fine, and if not, where?
import { Button } from "@mantine/core";
import { useState, type JSX } from "react";
import type { Attention, Overview } from "../../api/types";
import { ApplicationLink, NodeLink } from "../../components/links";
import { Panel } from "../../components/Panel";
import { Prose } from "../../components/Prose";
import { StatusMark } from "../../components/Status";
import { plural } from "../../util/format";
import { severityStatus, type Look } from "../../util/status";
import classes from "./FleetPage.module.css";

const SHOWN = 5;

export function Verdict({ overview }: { overview: Overview }): JSX.Element {
  const nodes = overview.nodes.filter((node) => node.liveness !== "revoked");
  const up = nodes.filter((node) => node.liveness === "up").length;
  const { converged } = overview.convergence;
  const processes = nodes.reduce((sum, node) => sum + node.process_count, 0);
  const ready = nodes.reduce((sum, node) => sum + node.process_ready_count, 0);
  const { look, headline } = judge(overview, nodes.length);
  return (
    <Panel>
      <div className={classes.verdict}>
        <span className={classes.verdictMark}>
          <StatusMark look={look} size={28} />
        </span>
        <h1 className={classes.headline}>{headline}</h1>
        {(nodes.length > 0 || overview.fleet_configuration_version > 0) && <div className={classes.figures}>
          <Figure value={`${up} of ${nodes.length}`} label="nodes up" />
          <Figure value={`${converged} of ${nodes.length}`} label="nodes converged" />
          <Figure value={`${ready} of ${processes}`} label="processes ready" />
          <Figure value={String(overview.active_rollouts.length)} label={overview.active_rollouts.length === 1 ? "rollout under way" : "rollouts under way"} />
          <Figure value={overview.fleet_configuration_version === 0 ? "none" : `v${overview.fleet_configuration_version}`} label="configuration" />
        </div>}
      </div>
      {overview.attention.length > 0 && <AttentionList items={overview.attention} />}
    </Panel>
  );
}

function judge(overview: Overview, nodeCount: number): { look: Look; headline: string } {
  const errors = overview.attention.filter((each) => each.severity === "error").length;
  const warnings = overview.attention.filter((each) => each.severity === "warning").length;
  if (errors > 0) return { look: "error", headline: `${plural(errors, "thing needs", "things need")} a person now${warnings > 0 ? `, ${warnings} more worth a look` : ""}` };
  if (warnings > 0) return { look: "warning", headline: `Running, with ${plural(warnings, "thing", "things")} worth a look` };
  if (nodeCount === 0) return { look: "waiting", headline: "No nodes yet" };
  return { look: "ok", headline: overview.active_rollouts.length > 0 ? "All is well, and a release is moving" : "All is well" };
}

function Figure({ value, label }: { value: string; label: string }): JSX.Element {
  return (
    <div className={classes.figure}>
      <b className="num">{value}</b>
      <span>{label}</span>
    </div>
  );
}

function AttentionList({ items }: { items: readonly Attention[] }): JSX.Element {
  const [all, setAll] = useState(false);
  const shown = all ? items : items.slice(0, SHOWN);
  return (
    <ul className={classes.attention} aria-label="What needs a person">
      {shown.map((item) => {
        const status = severityStatus(item.severity);
        return (
          <li key={`${item.message}${item.node ?? ""}${item.application ?? ""}`}>
            <span>
              <StatusMark look={status.look} label={status.word} />
            </span>
            <span>
              <p className={classes.message}>
                <Prose text={item.message} />
              </p>
              <p className={classes.hint}>
                <Prose text={item.hint} />
              </p>
            </span>
            <span>
              {item.node !== null && <NodeLink name={item.node} />}
              {item.node === null && item.application !== null && <ApplicationLink name={item.application} />}
            </span>
          </li>
        );
      })}
      {items.length > shown.length && (
        <li>
          <span />
          <Button variant="default" size="compact-sm" style={{ justifySelf: "start" }} onClick={() => setAll(true)}>
            Show {items.length - shown.length} more
          </Button>
        </li>
      )}
    </ul>
  );
}

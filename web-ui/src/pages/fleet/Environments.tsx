import { Link, useNavigate } from "@tanstack/react-router";
import type { JSX } from "react";
import type { EnvironmentSummary, NodeSummary } from "../../api/types";
import { NodeCountLink } from "../../components/Labels";
import { Panel } from "../../components/Panel";
import { StatusMark } from "../../components/Status";
import { countConvergence } from "../../util/convergence";
import { convergenceStatus, nodeStatus, rank, type Look } from "../../util/status";
import { PlanButton } from "../plans/PlanButton";
import classes from "./FleetPage.module.css";

const SHOWN = 48;

/** The health of each environment: one mark per node, the worst first. */
export function Environments({ environments, nodes }: { environments: readonly EnvironmentSummary[]; nodes: readonly NodeSummary[] }): JSX.Element {
  return (
    <div className={classes.environments}>
      {environments.map((environment) => (
        <EnvironmentCard key={environment.name} environment={environment} nodes={nodes.filter((node) => node.environment === environment.name)} />
      ))}
    </div>
  );
}

function EnvironmentCard({ environment, nodes }: { environment: EnvironmentSummary; nodes: readonly NodeSummary[] }): JSX.Element {
  const navigate = useNavigate();
  const marked = nodes.map((node) => ({ node, status: nodeStatus(node) })).toSorted((a, b) => rank(a.status.look) - rank(b.status.look));
  const waiting = Math.max(0, environment.node_count - nodes.length);
  const look: Look = marked[0]?.status.look ?? (waiting > 0 ? "waiting" : "off");
  return (
    <Panel>
      <div className={classes.environment}>
        <div className={classes.environmentHead}>
          <StatusMark look={look} label={marked[0]?.status.word ?? "no nodes"} />
          <h2 style={{ font: "inherit" }}>
            <Link to="/nodes" search={{ environment: environment.name }} style={{ color: "inherit" }}>
              {environment.name}
            </Link>
          </h2>
          <span className="soft small num" style={{ marginLeft: "auto", fontWeight: 400 }} title={`${environment.node_converged_count} of ${environment.node_count} are as they should be`}>
            {environment.node_up_count} of {environment.node_count} up
          </span>
        </div>
        <div className={classes.squares}>
          {marked.slice(0, SHOWN).map(({ node, status }) => (
            <Link key={node.id} to="/nodes/$name" params={{ name: node.name }} title={`${node.name}: ${status.word}`} aria-label={`${node.name}: ${status.word}`}>
              <StatusMark look={status.look} size={14} />
            </Link>
          ))}
          {marked.length > SHOWN && (
            <Link to="/nodes" search={{ environment: environment.name }} className="small" style={{ padding: "0 6px" }}>
              {marked.length - SHOWN} more
            </Link>
          )}
          {waiting > 0 && <span className="small softer" style={{ alignSelf: "center" }}>{waiting} declared, not joined</span>}
          {nodes.length === 0 && waiting === 0 && <span className="small softer">no nodes</span>}
        </div>
        {nodes.length > 0 && (
          <div className={classes.counts}>
            {countConvergence(environment.convergence).map(({ convergence, count }) => (
              <NodeCountLink key={convergence} look={convergenceStatus(convergence).look} text={`${count} ${convergenceStatus(convergence).word}`} search={{ environment: environment.name, convergence }} />
            ))}
            <span style={{ marginLeft: "auto" }}>
              <PlanButton compact of={{ environment: environment.name }} label={`Plan of ${environment.name}`} made={(plan) => void navigate({ to: "/plans/$id", params: { id: plan.id } })} />
            </span>
          </div>
        )}
      </div>
    </Panel>
  );
}

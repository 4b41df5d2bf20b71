// What nodes would change, found out without changing anything. It fills in while they answer.
import { useQuery } from "@tanstack/react-query";
import type { JSX, ReactNode } from "react";
import { planQuery } from "../../api/queries";
import { ApiError } from "../../api/problem";
import type { NodePlan, Plan, PlanCreate, PlannedResource } from "../../api/types";
import { ChangeText } from "../../components/Code";
import { Icon } from "../../components/Icon";
import { CauseLabel, Label } from "../../components/Labels";
import { NodeLink, NodeResourceLink } from "../../components/links";
import { Loaded, SkeletonRows } from "../../components/Loaded";
import { Empty } from "../../components/Notice";
import { Panel } from "../../components/Panel";
import { Prose } from "../../components/Prose";
import { Status, StatusMark } from "../../components/Status";
import { Ago, Elapsed } from "../../components/Time";
import type { Can } from "../../util/can";
import { PLAN_GROUPS, groupPlan, planSentence } from "../../util/convergence";
import { plural } from "../../util/format";
import { nodePlanStatus, plannedStatus, rank } from "../../util/status";
import { PlanButton } from "./PlanButton";
import classes from "./PlanView.module.css";

/** More nodes than these are folded up until somebody opens them. */
const OPEN = 3;

interface Props {
  id: string;
  /** What to ask again; null when that is not known here. */
  again: (plan: Plan | null) => PlanCreate | null;
  made: (plan: Plan) => void;
  can?: Can;
  actions?: ReactNode;
}

export function PlanPanel({ id, again, made, can, actions }: Props): JSX.Element {
  const query = useQuery(planQuery(id));
  const gone = query.error instanceof ApiError && query.error.status === 404 && query.data === undefined;
  const of = query.data?.finished || gone ? again(query.data ?? null) : null;
  return (
    <Panel
      title="Plan"
      note="found out without changing anything"
      actions={
        <>
          {of !== null && (
            <PlanButton of={of} can={can} made={made}>
              Plan again
            </PlanButton>
          )}
          {actions}
        </>
      }
    >
      {gone ? (
        <Empty icon="configuration" title="This plan is not kept any more">
          Plans are kept for ten minutes: after that the hosts may look different.
        </Empty>
      ) : (
        <Loaded query={query} skeleton={<SkeletonRows rows={3} height={40} />}>
          {(plan) => <PlanBody plan={plan} />}
        </Loaded>
      )}
    </Panel>
  );
}

function PlanBody({ plan }: { plan: Plan }): JSX.Element {
  const asked = plan.nodes.filter((node) => node.state !== "missing");
  const answered = asked.filter((node) => node.state !== "waiting").length;
  const nodes = plan.finished ? plan.nodes.toSorted((a, b) => rank(nodePlanStatus(a).look) - rank(nodePlanStatus(b).look) || a.node.localeCompare(b.node)) : plan.nodes;
  return (
    <>
      <div className={classes.summary} role="status">
        {plan.finished ? (
          <>
            <StatusMark look={overall(plan)} size={18} />
            <span className={classes.sentence}>{plan.nodes.length === 0 ? "No node is concerned." : planSentence(plan.nodes)}</span>
          </>
        ) : (
          <>
            <StatusMark look="busy" size={18} />
            <span className={classes.sentence}>
              {answered} of {plural(asked.length, "node")} answered
            </span>
            <span className="small soft">
              <Elapsed from={plan.created_at} />, at most 45 s
            </span>
          </>
        )}
        <span className="small softer" style={{ marginLeft: "auto" }}>
          {plan.candidate ? "files that are not applied, " : "what is in force, "}
          asked by {plan.created_by} <Ago at={plan.created_at} />
        </span>
      </div>
      {nodes.map((node) => (
        <NodeView key={node.node} plan={node} open={plan.nodes.length <= OPEN} />
      ))}
    </>
  );
}

function overall(plan: Plan): "ok" | "info" | "warning" {
  if (plan.nodes.some((node) => node.state === "problem")) return "warning";
  return plan.nodes.some((node) => node.change_count > 0) ? "info" : "ok";
}

function NodeView({ plan, open }: { plan: NodePlan; open: boolean }): JSX.Element {
  const groups = groupPlan(plan);
  const status = nodePlanStatus(plan);
  return (
    <details className={classes.node} open={open || undefined}>
      <summary>
        <span className={classes.chevron}>
          <Icon name="chevron" size={12} />
        </span>
        <span className={`${classes.name} mono`}>{plan.node}</span>
        <span className="softer small">{plan.environment}</span>
        <Status status={status} />
        {plan.problem !== null && <span style={{ overflowWrap: "anywhere" }}><Prose text={plan.problem} /></span>}
        {plan.state === "planned" && plan.unchanged_count > 0 && <span className="softer small num">{plural(plan.unchanged_count, "resource")} as {plan.unchanged_count === 1 ? "it" : "they"} should be</span>}
      </summary>
      <div className={classes.body}>
        {plan.reboot_required !== null && <p className={classes.problem}>It has to be restarted already: {plan.reboot_required}</p>}
        {plan.state === "planned" && groups.size === 0 && <p className={`${classes.problem} soft`}>Everything is as it should be.</p>}
        {PLAN_GROUPS.map(({ group, title, note }) => {
          const resources = groups.get(group);
          if (resources === undefined) return null;
          return (
            <section key={group} className={classes.group} aria-label={`${title} on ${plan.node}`}>
              <div className={classes.groupHead}>
                <h3>{title}</h3>
                <span className="num">{resources.length}</span>
                <span className="softer">{note}</span>
              </div>
              {resources.map((resource) => (
                <Planned key={`${resource.key} ${resource.change}`} node={plan.node} resource={resource} />
              ))}
            </section>
          );
        })}
        {plan.state === "missing" ? (
          <p className={`${classes.problem} soft`}>It is declared, and no host has joined as it: everything would be made when one does.</p>
        ) : (
          <p className={classes.foot}>
            <NodeLink name={plan.node} />
            {plan.generation !== null && <span className="num"> has generation {plan.generation} in force</span>}
          </p>
        )}
      </div>
    </details>
  );
}

function Planned({ node, resource }: { node: string; resource: PlannedResource }): JSX.Element {
  const status = plannedStatus(resource.change);
  const labels = (
    <span className={classes.labels}>
      {resource.mode !== "enforce" && <Label title="The change is shown and would not be made">{resource.mode}</Label>}
      {resource.disruptive && <Label strong title="The change needs the node's turn">disruptive</Label>}
      {resource.cause !== null && <CauseLabel cause={resource.cause} />}
    </span>
  );
  if (resource.diff === null) {
    return (
      <div className={classes.plain}>
        <Status status={status} />
        <span className={classes.key}>
          <NodeResourceLink node={node} resource={resource.key} />
        </span>
        {labels}
        {resource.detail !== "" && <span className={classes.detail}><Prose text={resource.detail} /></span>}
      </div>
    );
  }
  return (
    <details className={classes.resource}>
      <summary>
        <span className={classes.chevron}>
          <Icon name="chevron" size={12} />
        </span>
        <Status status={status} />
        <span className={`${classes.key} mono`}>{resource.key}</span>
        {labels}
        {resource.detail !== "" && <span className={classes.detail}><Prose text={resource.detail} /></span>}
      </summary>
      <div className={classes.diff}>
        <ChangeText text={resource.diff} label={`What would change of ${resource.key}`} />
      </div>
    </details>
  );
}

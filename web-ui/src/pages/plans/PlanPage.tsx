// The plan of an environment, at an address of its own for as long as it is kept.
import { useNavigate, useParams } from "@tanstack/react-router";
import { useQuery } from "@tanstack/react-query";
import type { JSX } from "react";
import { planQuery } from "../../api/queries";
import type { Plan, PlanCreate } from "../../api/types";
import { PageHeader } from "../../components/PageHeader";
import { PlanPanel } from "./PlanView";

/** The same nodes again; null when they, or their files, are not known here. */
function sameAgain(plan: Plan | null): PlanCreate | null {
  const first = plan?.nodes[0];
  if (plan === null || first === undefined || plan.candidate) return null;
  if (plan.nodes.length === 1) return { node: first.node };
  return plan.nodes.every((node) => node.environment === first.environment) ? { environment: first.environment } : {};
}

export function PlanPage(): JSX.Element {
  const { id } = useParams({ from: "/shell/plans/$id" });
  const navigate = useNavigate();
  const plan = useQuery(planQuery(id)).data;
  const about = [...new Set(plan?.nodes.map((node) => (plan.nodes.length === 1 ? node.node : node.environment)))];
  return (
    <>
      <PageHeader
        title={about.length === 1 ? `Plan of ${about[0]}` : "Plan"}
        parent={{ label: "Fleet", to: "/" }}
        meta={<span>{plan?.candidate ? "What the nodes would change if these files were applied: they are not." : "What the nodes would change now."} Plans are kept for ten minutes.</span>}
      />
      <PlanPanel id={id} again={sameAgain} made={(made) => void navigate({ to: "/plans/$id", params: { id: made.id }, replace: true })} />
    </>
  );
}

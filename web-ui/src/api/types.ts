// The shapes of the REST API under the names that the pages use. They come from `schema.d.ts`, which `npm run gen` writes.
import type { components } from "./schema";

type Schemas = components["schemas"];

/**
 * The controller always writes every field of an answer, `null` for what is absent; the schema calls such fields optional. Only
 * problems leave fields out.
 */
type Present<T> = T extends readonly (infer Item)[] ? Present<Item>[] : T extends object ? { [K in keyof T]-?: Present<Exclude<T[K], undefined>> } : T;

export type Problem = Schemas["Problem"];
export type InputError = Schemas["InputError"];

export type ChangeCause = Schemas["ChangeCause"];
export type Convergence = Schemas["Convergence"];
export type EnrolmentStatus = Schemas["EnrolmentStatus"];
export type Liveness = Schemas["Liveness"];
export type Mode = Schemas["Mode"];
export type NodePlanState = Schemas["NodePlanState"];
export type PlannedChange = Schemas["PlannedChange"];
export type ProcessState = Schemas["ProcessState"];
export type ResourceStatus = Schemas["ResourceStatus"];
export type RolloutKind = Schemas["RolloutKind"];
export type RolloutNodeState = Schemas["RolloutNodeState"];
export type RolloutStatus = Schemas["RolloutStatus"];
export type Severity = Schemas["Severity"];
export type TurnState = Schemas["TurnState"];
export type UserRole = Schemas["UserRole"];

export type ApplicationDetail = Omit<Present<Schemas["ApplicationDetail"]>, "declaration"> & { declaration: Record<string, unknown> | null };
export type ApplicationEnvironment = Present<Schemas["ApplicationEnvironment"]>;
export type ApplicationSummary = Present<Schemas["ApplicationSummary"]>;
export type Attention = Present<Schemas["Attention"]>;
export type ConvergenceCounts = Present<Schemas["ConvergenceCounts"]>;
export type Enrolment = Present<Schemas["Enrolment"]>;
export type EnrolmentCreated = Present<Schemas["EnrolmentCreated"]>;
export type EnvironmentSummary = Present<Schemas["EnvironmentSummary"]>;
export type FleetConfigurationDetail = Omit<Present<Schemas["FleetConfigurationDetail"]>, "configuration">;
export type FleetConfigurationVersion = Present<Schemas["FleetConfigurationVersion"]>;
export type FleetEvent = Present<Schemas["Event"]>;
export type FleetFile = Present<Schemas["FleetFile"]>;
export type Inspection = Omit<Present<Schemas["Inspection"]>, "inventory">;
export type LiveMessage = Present<Schemas["LiveMessage"]>;
export type LogMessage = Present<Schemas["LogMessage"]>;
export type MetricsPoint = Present<Schemas["MetricsPoint"]>;
export type MetricsSeries = Present<Schemas["MetricsSeries"]>;
export type ModeOverride = Present<Schemas["ModeOverride"]>;
export type NodeDetail = Present<Schemas["NodeDetail"]>;
export type NodePlan = Present<Schemas["NodePlan"]>;
export type NodeSummary = Present<Schemas["NodeSummary"]>;
export type Overview = Present<Schemas["Overview"]>;
export type Plan = Present<Schemas["Plan"]>;
export type PlannedResource = Present<Schemas["PlannedResource"]>;
export type Process = Present<Schemas["Process"]>;
export type ProcessEvent = Present<Schemas["ProcessEvent"]>;
export type Reboot = Present<Schemas["Reboot"]>;
export type Release = Present<Schemas["Release"]>;
export type ResourceChange = Present<Schemas["ResourceChange"]>;
export type ResourceDetail = Present<Schemas["ResourceDetail"]>;
export type ResourceState = Present<Schemas["ResourceState"]>;
export type Rollout = Present<Schemas["Rollout"]>;
export type RolloutNode = Present<Schemas["RolloutNode"]>;
export type Secret = Present<Schemas["Secret"]>;
export type Session = Present<Schemas["Session"]>;
export type Token = Present<Schemas["Token"]>;
export type TokenCreated = Present<Schemas["TokenCreated"]>;
export type Turn = Present<Schemas["Turn"]>;

export type EnrolmentCreate = Schemas["EnrolmentCreate"];
export type ModeSet = Schemas["ModeSet"];
export type PlanCreate = Schemas["PlanCreate"];
export type RebootCreate = Schemas["RebootCreate"];
export type RolloutRollback = Schemas["RolloutRollback"];
export type RolloutStart = Schemas["RolloutStart"];
export type SecretSet = Schemas["SecretSet"];
export type SessionCreate = Schemas["SessionCreate"];
export type TokenCreate = Schemas["TokenCreate"];

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

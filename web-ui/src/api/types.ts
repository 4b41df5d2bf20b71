// The shapes of the REST API, as `controller/api-types` declares them. Pages import them from here only.

export type Severity = "info" | "warning" | "error";
export type UserRole = "viewer" | "deployer" | "operator" | "admin";
export type Liveness = "pending" | "up" | "late" | "down" | "revoked";
export type EnrolmentStatus = "invited" | "enrolled" | "expired" | "withdrawn";
export type ResourceStatus = "converged" | "failed" | "skipped" | "unsupported" | "drifted";
export type ChangeCause = "intentional" | "corrective";
export type ProcessState = "stopped" | "starting" | "ready" | "backing_off" | "crash_looping" | "stopping";
export type RolloutKind = "deploy" | "rollback";
export type RolloutStatus = "planned" | "running" | "rolling_back" | "completed" | "rolled_back" | "aborted";
export type RolloutNodeState = "pending" | "away" | "moving" | "moved" | "failed" | "returning" | "returned" | "return_unconfirmed";
export type LogStream = "out" | "err";

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

export interface InputError {
  file?: string | null;
  line?: number | null;
  column?: number | null;
  path: string;
  message: string;
  hint?: string | null;
}

export interface Problem {
  type: string;
  title: string;
  status: number;
  code: string;
  detail: string;
  hint?: string | null;
  errors?: InputError[];
}

export interface SessionCreate {
  username: string;
  password: string;
}

export interface Session {
  username: string;
  role: UserRole;
  expires_at: string | null;
  controller_version: string;
}

export interface Token {
  id: string;
  name: string;
  username: string;
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
  revoked_at: string | null;
}

export interface TokenCreate {
  name: string;
  ttl_s?: number | null;
}

export interface TokenCreated {
  token: Token;
  secret: string;
}

export interface EnrolmentCreate {
  node: string;
  environment?: string | null;
  roles?: string[];
  ttl_s?: number | null;
}

export interface Enrolment {
  id: string;
  node: string;
  environment: string;
  roles: string[];
  status: EnrolmentStatus;
  created_by: string;
  created_at: string;
  expires_at: string;
  enrolled_at: string | null;
}

export interface EnrolmentCreated {
  enrolment: Enrolment;
  token: string;
  controller_url: string;
  command: string;
}

export interface NodeSummary {
  id: string;
  name: string;
  environment: string;
  roles: string[];
  liveness: Liveness;
  liveness_changed_at: string;
  last_heartbeat_at: string | null;
  converged: boolean | null;
  generation: number;
  reported_generation: number;
  problem_count: number;
  process_count: number;
  process_ready_count: number;
  cpu_percent: number | null;
  memory_used_bytes: number | null;
  memory_total_bytes: number | null;
  disk_used_bytes: number | null;
  disk_total_bytes: number | null;
  load_1: number | null;
}

export interface NodeFacts {
  hostname: string;
  os: string;
  kernel: string;
  architecture: string;
  cpus: number;
  memory_bytes: number;
  agent_version: string;
  rootless: boolean;
}

export interface ResourceState {
  key: string;
  kind: string;
  status: ResourceStatus;
  detail: string;
  reported_at: string;
  changed_at: string | null;
  change: ChangeCause | null;
  change_detail: string | null;
}

export interface Process {
  node: string;
  environment: string;
  application: string;
  instance: number;
  release: string | null;
  state: ProcessState;
  pid: number | null;
  restarts: number;
  started_at: string | null;
  cpu_percent: number;
  memory_bytes: number;
  last_exit: string | null;
  reported_at: string;
}

export interface NodeDetail extends NodeSummary {
  enrolled_at: string;
  revoked_at: string | null;
  certificate_expires_at: string | null;
  facts: NodeFacts;
  converged_at: string | null;
  compile_error: string | null;
  resources: ResourceState[];
  processes: Process[];
}

export interface MetricsPoint {
  at: string;
  cpu_percent: number;
  memory_used_bytes: number;
  memory_total_bytes: number;
  swap_used_bytes: number;
  disk_used_bytes: number;
  disk_total_bytes: number;
  load_1: number;
  load_5: number;
  load_15: number;
  network_rx_bytes_per_s: number;
  network_tx_bytes_per_s: number;
}

export interface MetricsSeries {
  step_s: number;
  points: MetricsPoint[];
}

export interface EnvironmentSummary {
  name: string;
  node_count: number;
  node_up_count: number;
  node_converged_count: number;
}

export interface GitOrigin {
  commit: string;
  branch?: string | null;
  dirty?: boolean;
}

export interface Release {
  id: string;
  application: string;
  version: string;
  artifact_digest: string;
  file_count: number;
  total_bytes: number;
  git: GitOrigin | null;
  build_command: string | null;
  created_by: string;
  created_at: string;
  target_of: string[];
}

export interface ApplicationEnvironment {
  environment: string;
  release: string | null;
  nodes: string[];
  process_count: number;
  process_ready_count: number;
  active_rollout: string | null;
}

export interface ApplicationSummary {
  name: string;
  declared: boolean;
  environments: ApplicationEnvironment[];
  release_count: number;
  latest_release: string | null;
}

export interface ApplicationDetail extends ApplicationSummary {
  declaration: Record<string, unknown> | null;
  processes: Process[];
}

export type LogMessage =
  | { type: "line"; at: string; node: string; instance: number; stream: LogStream; line: string }
  | { type: "dropped"; node: string; count: number }
  | { type: "problem"; node: string; message: string }
  | { type: "caught_up" };

export interface RolloutStart {
  application: string;
  environment: string;
  release: string;
}

export interface RolloutRollback {
  application: string;
  environment: string;
  release?: string | null;
}

export interface RolloutNode {
  node: string;
  state: RolloutNodeState;
  former_release: string | null;
  since: string | null;
  deadline: string | null;
  reason: string | null;
}

export interface Rollout {
  id: string;
  kind: RolloutKind;
  application: string;
  environment: string;
  release: string;
  former_release: string | null;
  status: RolloutStatus;
  reason: string | null;
  created_by: string;
  created_at: string;
  updated_at: string;
  finished_at: string | null;
  nodes: RolloutNode[];
}

export interface FleetEvent {
  sequence: number;
  at: string;
  kind: string;
  severity: Severity;
  message: string;
  actor: string;
  node: string | null;
  environment: string | null;
  application: string | null;
  rollout: string | null;
}

export type LiveMessage =
  | { topic: "node"; name: string }
  | { topic: "rollout"; id: string; application: string }
  | { topic: "application"; name: string }
  | { topic: "fleet_configuration"; version: number }
  | { topic: "event"; event: FleetEvent }
  | { topic: "resync" };

export interface Attention {
  severity: Severity;
  message: string;
  hint: string;
  node: string | null;
  application: string | null;
}

export interface Overview {
  attention: Attention[];
  environments: EnvironmentSummary[];
  nodes: NodeSummary[];
  missing_nodes: string[];
  active_rollouts: Rollout[];
  recent_events: FleetEvent[];
  fleet_configuration_version: number;
  application_count: number;
}

export interface FleetFile {
  path: string;
  content: string;
}

export interface FleetConfigurationVersion {
  version: number;
  author: string;
  created_at: string;
}

export interface FleetConfigurationDetail extends FleetConfigurationVersion {
  files: FleetFile[];
  configuration: Record<string, unknown>;
}

export interface Secret {
  name: string;
  environment: string | null;
  updated_by: string;
  updated_at: string;
  used_by: string[];
}

export interface SecretSet {
  value: string;
  environment?: string | null;
}

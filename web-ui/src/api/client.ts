// The only place that talks HTTP. One function per operation of the API, under its name.
import { ApiError, problemFrom, unreachable } from "./problem";
import type * as T from "./types";

type Query = Record<string, string | number | boolean | null | undefined>;

interface Call {
  query?: Query;
  body?: unknown;
  signal?: AbortSignal;
}

const BASE = "/api/v1";

export function apiUrl(path: string, query?: Query): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") search.set(name, String(value));
  }
  const text = search.toString();
  return `${BASE}${path}${text === "" ? "" : `?${text}`}`;
}

async function readBody(response: Response): Promise<unknown> {
  const text = await response.text();
  if (text === "") return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

async function call<R>(method: string, path: string, { query, body, signal }: Call = {}): Promise<R> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (method !== "GET") headers["X-Muster-CSRF"] = "1";
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(apiUrl(path, query), {
      method,
      headers,
      credentials: "same-origin",
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw unreachable();
  }
  const answer = await readBody(response);
  if (!response.ok) throw problemFrom(response.status, answer);
  return answer as R;
}

/** Opens a stream of newline-delimited JSON. */
export async function openStream(path: string, query: Query, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
  let response: Response;
  try {
    response = await fetch(apiUrl(path, query), {
      headers: { Accept: "application/x-ndjson" },
      credentials: "same-origin",
      signal,
    });
  } catch (error) {
    if (signal.aborted) throw error;
    throw unreachable();
  }
  if (!response.ok) throw problemFrom(response.status, await readBody(response));
  if (response.body === null) throw new ApiError({ type: "about:blank", title: "No log", status: 0, code: "empty", detail: "The controller sent no stream." });
  return response.body;
}

const name = encodeURIComponent;

export const api = {
  sessionCreate: (body: T.SessionCreate) => call<T.Session>("POST", "/session", { body }),
  sessionGet: (signal?: AbortSignal) => call<T.Session>("GET", "/session", { signal }),
  sessionDelete: () => call<void>("DELETE", "/session"),

  tokenList: (signal?: AbortSignal) => call<T.Page<T.Token>>("GET", "/tokens", { signal }),
  tokenCreate: (body: T.TokenCreate) => call<T.TokenCreated>("POST", "/tokens", { body }),
  tokenRevoke: (id: string) => call<void>("DELETE", `/tokens/${name(id)}`),

  overviewGet: (signal?: AbortSignal) => call<T.Overview>("GET", "/overview", { signal }),

  nodeList: (signal?: AbortSignal) => call<T.Page<T.NodeSummary>>("GET", "/nodes", { signal }),
  nodeGet: (node: string, signal?: AbortSignal) => call<T.NodeDetail>("GET", `/nodes/${name(node)}`, { signal }),
  nodeConverge: (node: string) => call<void>("POST", `/nodes/${name(node)}/converge`),
  nodeRevoke: (node: string) => call<T.NodeDetail>("POST", `/nodes/${name(node)}/revoke`),
  nodeRemove: (node: string) => call<void>("DELETE", `/nodes/${name(node)}`),
  nodeMetrics: (node: string, query: { from: string; to: string; points: number }, signal?: AbortSignal) =>
    call<T.MetricsSeries>("GET", `/nodes/${name(node)}/metrics`, { query, signal }),

  enrolmentList: (signal?: AbortSignal) => call<T.Page<T.Enrolment>>("GET", "/enrolments", { signal }),
  enrolmentCreate: (body: T.EnrolmentCreate) => call<T.EnrolmentCreated>("POST", "/enrolments", { body }),
  enrolmentWithdraw: (id: string) => call<void>("DELETE", `/enrolments/${name(id)}`),

  environmentList: (signal?: AbortSignal) => call<T.Page<T.EnvironmentSummary>>("GET", "/environments", { signal }),

  applicationList: (signal?: AbortSignal) => call<T.Page<T.ApplicationSummary>>("GET", "/applications", { signal }),
  applicationGet: (app: string, signal?: AbortSignal) => call<T.ApplicationDetail>("GET", `/applications/${name(app)}`, { signal }),
  releaseList: (app: string, signal?: AbortSignal) => call<T.Page<T.Release>>("GET", `/applications/${name(app)}/releases`, { signal }),

  rolloutStart: (body: T.RolloutStart) => call<T.Rollout>("POST", "/rollouts", { body }),
  rolloutRollback: (body: T.RolloutRollback) => call<T.Rollout>("POST", "/rollouts/rollback", { body }),
  rolloutList: (query: { application?: string; environment?: string; active?: boolean }, signal?: AbortSignal) =>
    call<T.Page<T.Rollout>>("GET", "/rollouts", { query, signal }),
  rolloutGet: (id: string, signal?: AbortSignal) => call<T.Rollout>("GET", `/rollouts/${name(id)}`, { signal }),
  rolloutAbort: (id: string) => call<T.Rollout>("POST", `/rollouts/${name(id)}/abort`),

  eventList: (query: Query, signal?: AbortSignal) => call<T.Page<T.FleetEvent>>("GET", "/events", { query, signal }),

  fleetConfigurationGet: (signal?: AbortSignal) => call<T.FleetConfigurationDetail>("GET", "/fleet-configuration", { signal }),
  fleetConfigurationVersions: (signal?: AbortSignal) =>
    call<T.Page<T.FleetConfigurationVersion>>("GET", "/fleet-configuration/versions", { signal }),
  fleetConfigurationVersion: (version: number, signal?: AbortSignal) =>
    call<T.FleetConfigurationDetail>("GET", `/fleet-configuration/versions/${version}`, { signal }),

  secretList: (signal?: AbortSignal) => call<T.Page<T.Secret>>("GET", "/secrets", { signal }),
  secretSet: (secret: string, body: T.SecretSet) => call<void>("PUT", `/secrets/${name(secret)}`, { body }),
  secretDelete: (secret: string, environment: string | null) =>
    call<void>("DELETE", `/secrets/${name(secret)}`, { query: { environment } }),
};

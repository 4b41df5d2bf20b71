// The only place that talks HTTP. One function per operation of the API, under its name. Paths, parameters and bodies are checked
// against the schema that the controller publishes.
import createClient, { type Middleware } from "openapi-fetch";
import { ApiError, problemFrom, unreachable } from "./problem";
import type { paths } from "./schema";
import type * as T from "./types";

/** The most that the controller gives in one page, and how many pages a list of the dashboard reads. */
const PAGE = 500;
const PAGES = 20;

const refuse: Middleware = {
  onRequest({ request }) {
    // Proves to the controller that the request comes from a page of its own, not from a form of another site.
    if (request.method !== "GET") request.headers.set("X-Muster-CSRF", "1");
  },
  async onResponse({ response }) {
    if (!response.ok) throw problemFrom(response.status, await readBody(response));
  },
  onError({ error }) {
    // A request that the page itself took back is no failure.
    return error instanceof DOMException && error.name === "AbortError" ? error : unreachable();
  },
};

// The address is completed here because `Request` wants a whole one where no page is loaded, as in the unit tests.
const http = createClient<paths>({ baseUrl: location.origin, credentials: "same-origin", headers: { Accept: "application/json" } });
http.use(refuse);

async function readBody(response: Response): Promise<unknown> {
  try {
    return JSON.parse(await response.text()) as unknown;
  } catch {
    return undefined;
  }
}

/** Failures were thrown by the middleware, so there is data; its absent fields are written as null (see types.ts). */
async function data<R>(call: Promise<{ data?: unknown }>): Promise<R> {
  return (await call).data as R;
}

/** Reads a list to its end, page by page. */
async function all<R>(read: (query: { limit: number; cursor?: string }) => Promise<{ data?: unknown }>): Promise<T.Page<R>> {
  const items: R[] = [];
  let cursor: string | undefined;
  for (let pages = 0; pages < PAGES; pages += 1) {
    const page = await data<T.Page<R>>(read({ limit: PAGE, ...(cursor === undefined ? {} : { cursor }) }));
    items.push(...page.items);
    if (!page.next_cursor) return { items, next_cursor: null };
    cursor = page.next_cursor;
  }
  return { items, next_cursor: cursor ?? null };
}

/** The live stream, for `EventSource`. */
export const LIVE_URL = "/api/v1/live";

/** The log of an application, as newline-delimited JSON. */
export async function logRead(name: string, query: { environment: string; lines: number; follow: boolean }, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
  const { response } = await http.GET("/api/v1/applications/{name}/logs", {
    params: { path: { name }, query },
    headers: { Accept: "application/x-ndjson" },
    parseAs: "stream",
    signal,
  });
  if (response.body === null) throw new ApiError({ type: "about:blank", title: "No log", status: 0, code: "empty", detail: "The controller sent no stream." });
  return response.body;
}

type EventQuery = NonNullable<paths["/api/v1/events"]["get"]["parameters"]["query"]>;
type ProcessEventQuery = NonNullable<paths["/api/v1/process-events"]["get"]["parameters"]["query"]>;

export const api = {
  sessionCreate: (body: T.SessionCreate) => data<T.Session>(http.POST("/api/v1/session", { body })),
  sessionGet: (signal?: AbortSignal) => data<T.Session>(http.GET("/api/v1/session", { signal })),
  sessionDelete: () => data<void>(http.DELETE("/api/v1/session")),

  tokenList: (signal?: AbortSignal) => data<T.Page<T.Token>>(http.GET("/api/v1/tokens", { signal })),
  tokenCreate: (body: T.TokenCreate) => data<T.TokenCreated>(http.POST("/api/v1/tokens", { body })),
  tokenRevoke: (id: string) => data<void>(http.DELETE("/api/v1/tokens/{id}", { params: { path: { id } } })),

  overviewGet: (signal?: AbortSignal) => data<T.Overview>(http.GET("/api/v1/overview", { signal })),

  nodeList: (signal?: AbortSignal) => all<T.NodeSummary>((query) => http.GET("/api/v1/nodes", { params: { query }, signal })),
  nodeGet: (name: string, signal?: AbortSignal) => data<T.NodeDetail>(http.GET("/api/v1/nodes/{name}", { params: { path: { name } }, signal })),
  nodeConverge: (name: string) => data<void>(http.POST("/api/v1/nodes/{name}/converge", { params: { path: { name } } })),
  nodeRevoke: (name: string) => data<T.NodeDetail>(http.POST("/api/v1/nodes/{name}/revoke", { params: { path: { name } } })),
  nodeRemove: (name: string) => data<void>(http.DELETE("/api/v1/nodes/{name}", { params: { path: { name } } })),
  nodeResource: (name: string, key: string, signal?: AbortSignal) =>
    data<T.ResourceDetail>(http.GET("/api/v1/nodes/{name}/resource", { params: { path: { name }, query: { key } }, signal })),
  nodeChanges: (name: string, query: { key?: string; limit?: number; cursor?: string }, signal?: AbortSignal) =>
    data<T.Page<T.ResourceChange>>(http.GET("/api/v1/nodes/{name}/changes", { params: { path: { name }, query }, signal })),
  nodeModeSet: (name: string, body: T.ModeSet) => data<T.Page<T.ModeOverride>>(http.PUT("/api/v1/nodes/{name}/mode", { params: { path: { name } }, body })),
  nodeReboot: (name: string, body: T.RebootCreate) => data<T.Reboot>(http.POST("/api/v1/nodes/{name}/reboot", { params: { path: { name } }, body })),
  nodeRebootCancel: (name: string) => data<void>(http.DELETE("/api/v1/nodes/{name}/reboot", { params: { path: { name } } })),
  nodeTurnRelease: (name: string) => data<void>(http.POST("/api/v1/nodes/{name}/turn/release", { params: { path: { name } } })),
  nodeInspect: (name: string, signal?: AbortSignal) => data<T.Inspection>(http.POST("/api/v1/nodes/{name}/inspect", { params: { path: { name } }, signal })),

  planCreate: (body: T.PlanCreate) => data<T.Plan>(http.POST("/api/v1/plans", { body })),
  planGet: (id: string, signal?: AbortSignal) => data<T.Plan>(http.GET("/api/v1/plans/{id}", { params: { path: { id } }, signal })),

  nodeMetrics: (name: string, query: { from: string; to: string; points: number }, signal?: AbortSignal) =>
    data<T.MetricsSeries>(http.GET("/api/v1/nodes/{name}/metrics", { params: { path: { name }, query }, signal })),

  enrolmentList: (signal?: AbortSignal) => all<T.Enrolment>((query) => http.GET("/api/v1/enrolments", { params: { query }, signal })),
  enrolmentCreate: (body: T.EnrolmentCreate) => data<T.EnrolmentCreated>(http.POST("/api/v1/enrolments", { body })),
  enrolmentWithdraw: (id: string) => data<void>(http.DELETE("/api/v1/enrolments/{id}", { params: { path: { id } } })),

  environmentList: (signal?: AbortSignal) => data<T.Page<T.EnvironmentSummary>>(http.GET("/api/v1/environments", { signal })),

  applicationList: (signal?: AbortSignal) => all<T.ApplicationSummary>((query) => http.GET("/api/v1/applications", { params: { query }, signal })),
  applicationGet: (name: string, signal?: AbortSignal) => data<T.ApplicationDetail>(http.GET("/api/v1/applications/{name}", { params: { path: { name } }, signal })),
  // The newest only: a page of releases or rollouts is as far back as anybody looks in a table.
  releaseList: (name: string, signal?: AbortSignal) =>
    data<T.Page<T.Release>>(http.GET("/api/v1/applications/{name}/releases", { params: { path: { name }, query: { limit: 200 } }, signal })),

  rolloutStart: (body: T.RolloutStart) => data<T.Rollout>(http.POST("/api/v1/rollouts", { body })),
  rolloutRollback: (body: T.RolloutRollback) => data<T.Rollout>(http.POST("/api/v1/rollouts/rollback", { body })),
  rolloutList: (query: { application?: string; environment?: string; active?: boolean }, signal?: AbortSignal) =>
    data<T.Page<T.Rollout>>(http.GET("/api/v1/rollouts", { params: { query: { ...query, limit: 200 } }, signal })),
  rolloutGet: (id: string, signal?: AbortSignal) => data<T.Rollout>(http.GET("/api/v1/rollouts/{id}", { params: { path: { id } }, signal })),
  rolloutAbort: (id: string) => data<T.Rollout>(http.POST("/api/v1/rollouts/{id}/abort", { params: { path: { id } } })),

  eventList: (query: EventQuery, signal?: AbortSignal) => data<T.Page<T.FleetEvent>>(http.GET("/api/v1/events", { params: { query }, signal })),

  processEventList: (query: ProcessEventQuery, signal?: AbortSignal) => data<T.Page<T.ProcessEvent>>(http.GET("/api/v1/process-events", { params: { query }, signal })),

  fleetConfigurationGet: (signal?: AbortSignal) => data<T.FleetConfigurationDetail>(http.GET("/api/v1/fleet-configuration", { signal })),
  fleetConfigurationVersions: (signal?: AbortSignal) =>
    data<T.Page<T.FleetConfigurationVersion>>(http.GET("/api/v1/fleet-configuration/versions", { params: { query: { limit: 200 } }, signal })),
  fleetConfigurationVersionGet: (version: number, signal?: AbortSignal) =>
    data<T.FleetConfigurationDetail>(http.GET("/api/v1/fleet-configuration/versions/{version}", { params: { path: { version } }, signal })),

  secretList: (signal?: AbortSignal) => data<T.Page<T.Secret>>(http.GET("/api/v1/secrets", { signal })),
  secretSet: (name: string, body: T.SecretSet) => data<void>(http.PUT("/api/v1/secrets/{name}", { params: { path: { name } }, body })),
  secretDelete: (name: string, environment: string | null) =>
    data<void>(http.DELETE("/api/v1/secrets/{name}", { params: { path: { name }, query: environment === null ? {} : { environment } } })),
};

// What is asked, under which key. The keys are what a live message invalidates: see live.ts.
import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api } from "./client";
import { ApiError } from "./problem";
import type { Severity } from "./types";

export const keys = {
  session: ["session"] as const,
  overview: ["overview"] as const,
  nodes: ["nodes"] as const,
  node: (name: string) => ["node", name] as const,
  /** Under the key of its node, so that whatever makes that stale makes this stale too. */
  resource: (name: string, key: string) => ["node", name, "resource", key] as const,
  changes: (name: string) => ["node", name, "changes"] as const,
  plan: (id: string) => ["plan", id] as const,
  metrics: (name: string) => ["metrics", name] as const,
  enrolments: ["enrolments"] as const,
  environments: ["environments"] as const,
  applications: ["applications"] as const,
  application: (name: string) => ["application", name] as const,
  releases: (name: string) => ["releases", name] as const,
  rollouts: ["rollouts"] as const,
  rollout: (id: string) => ["rollout", id] as const,
  events: ["events"] as const,
  processEvents: ["process-events"] as const,
  fleetConfiguration: ["fleet-configuration"] as const,
  secrets: ["secrets"] as const,
  tokens: ["tokens"] as const,
};

export interface EventFilter {
  /** At least this severe. */
  severity?: Severity;
  node?: string;
  environment?: string;
  application?: string;
  kind?: string;
}

export interface ProcessEventFilter {
  node?: string;
  application?: string;
}

export interface MetricsWindow {
  /** Names the window in the cache: `1h`, or both ends of a fixed one. */
  label: string;
  ends: () => { from: Date; to: Date };
}

export const sessionQuery = queryOptions({
  queryKey: keys.session,
  queryFn: ({ signal }) => api.sessionGet(signal),
  staleTime: Infinity,
  retry: (count, error) => !(error instanceof ApiError && error.status === 401) && count < 2,
});

export const overviewQuery = queryOptions({ queryKey: keys.overview, queryFn: ({ signal }) => api.overviewGet(signal) });
export const nodesQuery = queryOptions({ queryKey: keys.nodes, queryFn: ({ signal }) => api.nodeList(signal) });
export const nodeQuery = (name: string) => queryOptions({ queryKey: keys.node(name), queryFn: ({ signal }) => api.nodeGet(name, signal) });
export const resourceQuery = (name: string, key: string) => queryOptions({ queryKey: keys.resource(name, key), queryFn: ({ signal }) => api.nodeResource(name, key, signal) });

/** What was changed on a node, or of one of its resources, page by page into the past. */
export const changePagesQuery = (name: string, key?: string, limit = 20) =>
  infiniteQueryOptions({
    queryKey: [...keys.changes(name), key ?? null, limit],
    queryFn: ({ pageParam, signal }) => api.nodeChanges(name, { limit, ...(key === undefined ? {} : { key }), ...(pageParam === null ? {} : { cursor: pageParam }) }, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (last) => last.next_cursor,
  });

const PLAN_POLL_MS = 300;

/** Asked again until every node has answered or its time is over. The controller keeps it for ten minutes, so it is not read again after. */
export const planQuery = (id: string) =>
  queryOptions({
    queryKey: keys.plan(id),
    queryFn: ({ signal }) => api.planGet(id, signal),
    staleTime: Infinity,
    retry: (count, error) => !(error instanceof ApiError && error.status === 404) && count < 2,
    refetchInterval: (query) => (query.state.status === "error" || query.state.data?.finished ? false : PLAN_POLL_MS),
  });

export const enrolmentsQuery = queryOptions({ queryKey: keys.enrolments, queryFn: ({ signal }) => api.enrolmentList(signal) });
export const environmentsQuery = queryOptions({ queryKey: keys.environments, queryFn: ({ signal }) => api.environmentList(signal) });
export const applicationsQuery = queryOptions({ queryKey: keys.applications, queryFn: ({ signal }) => api.applicationList(signal) });
export const secretsQuery = queryOptions({ queryKey: keys.secrets, queryFn: ({ signal }) => api.secretList(signal) });
export const tokensQuery = queryOptions({ queryKey: keys.tokens, queryFn: ({ signal }) => api.tokenList(signal) });

export const metricsQuery = (name: string, window: MetricsWindow) =>
  queryOptions({
    queryKey: [...keys.metrics(name), window.label],
    queryFn: ({ signal }) => {
      const { from, to } = window.ends();
      return api.nodeMetrics(name, { from: from.toISOString(), to: to.toISOString(), points: 360 }, signal);
    },
    placeholderData: keepPreviousData,
  });

export const applicationQuery = (name: string) =>
  queryOptions({ queryKey: keys.application(name), queryFn: ({ signal }) => api.applicationGet(name, signal) });

export const releasesQuery = (name: string) =>
  queryOptions({ queryKey: keys.releases(name), queryFn: ({ signal }) => api.releaseList(name, signal) });

export const rolloutsQuery = (filter: { application?: string; environment?: string; active?: boolean } = {}) =>
  queryOptions({ queryKey: [...keys.rollouts, filter], queryFn: ({ signal }) => api.rolloutList(filter, signal) });

export const rolloutQuery = (id: string) => queryOptions({ queryKey: keys.rollout(id), queryFn: ({ signal }) => api.rolloutGet(id, signal) });

export const eventsQuery = (filter: EventFilter, limit = 100) =>
  queryOptions({
    queryKey: [...keys.events, filter, limit],
    queryFn: ({ signal }) => api.eventList({ ...filter, limit }, signal),
    placeholderData: keepPreviousData,
  });

/** The same, page by page into the past. */
export const eventPagesQuery = (filter: EventFilter) =>
  infiniteQueryOptions({
    queryKey: [...keys.events, "pages", filter],
    queryFn: ({ pageParam, signal }) => api.eventList({ ...filter, limit: 100, ...(pageParam === null ? {} : { cursor: pageParam }) }, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (last) => last.next_cursor,
    placeholderData: keepPreviousData,
  });

/** Why processes ended or were restarted, page by page into the past. */
export const processEventPagesQuery = (filter: ProcessEventFilter) =>
  infiniteQueryOptions({
    queryKey: [...keys.processEvents, filter],
    queryFn: ({ pageParam, signal }) => api.processEventList({ ...filter, limit: 30, ...(pageParam === null ? {} : { cursor: pageParam }) }, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (last) => last.next_cursor,
  });

export const fleetConfigurationQuery = queryOptions({
  queryKey: [...keys.fleetConfiguration, "in-force"],
  queryFn: async ({ signal }) => {
    try {
      return await api.fleetConfigurationGet(signal);
    } catch (error) {
      // No configuration yet is a state of a new fleet, not a failure.
      if (error instanceof ApiError && error.status === 404) return null;
      throw error;
    }
  },
});

export const fleetVersionsQuery = queryOptions({
  queryKey: [...keys.fleetConfiguration, "versions"],
  queryFn: ({ signal }) => api.fleetConfigurationVersions(signal),
});

export const fleetVersionQuery = (version: number) =>
  queryOptions({
    queryKey: ["fleet-configuration-version", version],
    queryFn: ({ signal }) => api.fleetConfigurationVersionGet(version, signal),
    staleTime: Infinity,
  });

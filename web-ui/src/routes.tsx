// Every page and its URL. The state of a page (filter, sort, tab, range) is text in the query part, so that it can be pasted into a chat.
import { createRootRoute, createRoute, createRouter, lazyRouteComponent, type AnyRouter } from "@tanstack/react-router";
import { NotFound, RouteError } from "./layouts/Fallbacks";
import { Shell } from "./layouts/Shell";
import { FleetPage } from "./pages/fleet/FleetPage";
import { SignInPage } from "./pages/sign-in/SignInPage";

/** Takes the named texts out of the query part, and nothing else. */
function texts<const K extends string>(...names: K[]): (search: Record<string, unknown>) => { [P in K]?: string } {
  return (search) => {
    const out: { [P in K]?: string } = {};
    for (const name of names) {
      const value = search[name];
      if (typeof value === "string" && value !== "") out[name] = value;
    }
    return out;
  };
}

const root = createRootRoute({ notFoundComponent: NotFound, errorComponent: RouteError });
const signIn = createRoute({ getParentRoute: () => root, path: "/sign-in", component: SignInPage, validateSearch: texts("next") });
const shell = createRoute({ getParentRoute: () => root, id: "shell", component: Shell });

const fleet = createRoute({ getParentRoute: () => shell, path: "/", component: FleetPage, validateSearch: texts("sort", "invite") });
const nodes = createRoute({
  getParentRoute: () => shell,
  path: "/nodes",
  validateSearch: texts("q", "sort", "environment", "state", "convergence", "invite"),
  component: lazyRouteComponent(() => import("./pages/nodes/NodesPage"), "NodesPage"),
});
const node = createRoute({
  getParentRoute: () => shell,
  path: "/nodes/$name",
  validateSearch: texts("range", "from", "to", "q", "sort", "show", "kind", "psort", "resource", "plan", "inspect"),
  component: lazyRouteComponent(() => import("./pages/nodes/NodePage"), "NodePage"),
});
const applications = createRoute({
  getParentRoute: () => shell,
  path: "/applications",
  validateSearch: texts("q", "sort"),
  component: lazyRouteComponent(() => import("./pages/applications/ApplicationsPage"), "ApplicationsPage"),
});
const application = createRoute({
  getParentRoute: () => shell,
  path: "/applications/$name",
  validateSearch: texts("tab", "environment", "filter", "instance", "sort", "deploy"),
  component: lazyRouteComponent(() => import("./pages/applications/ApplicationPage"), "ApplicationPage"),
});
const rollouts = createRoute({
  getParentRoute: () => shell,
  path: "/rollouts",
  validateSearch: texts("q", "sort"),
  component: lazyRouteComponent(() => import("./pages/rollouts/RolloutsPage"), "RolloutsPage"),
});
const rollout = createRoute({
  getParentRoute: () => shell,
  path: "/rollouts/$id",
  component: lazyRouteComponent(() => import("./pages/rollouts/RolloutPage"), "RolloutPage"),
});
const plan = createRoute({
  getParentRoute: () => shell,
  path: "/plans/$id",
  component: lazyRouteComponent(() => import("./pages/plans/PlanPage"), "PlanPage"),
});
const events = createRoute({
  getParentRoute: () => shell,
  path: "/events",
  validateSearch: texts("q", "severity", "node", "environment", "application"),
  component: lazyRouteComponent(() => import("./pages/events/EventsPage"), "EventsPage"),
});
const configuration = createRoute({
  getParentRoute: () => shell,
  path: "/fleet-configuration",
  validateSearch: texts("file", "version", "compare"),
  component: lazyRouteComponent(() => import("./pages/configuration/ConfigurationPage"), "ConfigurationPage"),
});
const secrets = createRoute({
  getParentRoute: () => shell,
  path: "/secrets",
  validateSearch: texts("q", "sort"),
  component: lazyRouteComponent(() => import("./pages/secrets/SecretsPage"), "SecretsPage"),
});
const settings = createRoute({
  getParentRoute: () => shell,
  path: "/settings",
  component: lazyRouteComponent(() => import("./pages/settings/SettingsPage"), "SettingsPage"),
});

const routeTree = root.addChildren([signIn, shell.addChildren([fleet, nodes, node, applications, application, rollouts, rollout, plan, events, configuration, secrets, settings])]);

export function createAppRouter() {
  return createRouter({
    routeTree,
    defaultPreload: "intent",
    scrollRestoration: true,
    // Plain texts: the default writes JSON, which turns a filter `123` into a number and others into quotes.
    parseSearch: (text) => Object.fromEntries(new URLSearchParams(text)),
    stringifySearch: (search) => {
      const filled = Object.entries(search).filter((entry): entry is [string, string] => typeof entry[1] === "string" && entry[1] !== "");
      const text = new URLSearchParams(filled).toString();
      return text === "" ? "" : `?${text}`;
    },
  }) satisfies AnyRouter;
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof createAppRouter>;
  }
}

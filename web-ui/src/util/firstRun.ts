// From "no nodes" to "release running": which steps of a new fleet are done, read from the real state.
import type { ApplicationSummary, Overview } from "../api/types";

export interface FirstRunStep {
  id: "fleet" | "node" | "release" | "deploy";
  title: string;
  why: string;
  commands: string[];
  done: boolean;
}

export const EXAMPLE_FLEET = `environments:
  production: {}

nodes:
  app-1: {environment: production, roles: [app_server]}

applications:
  web:
    script: server.js
    instances: 2
    port: 3000
`;

/** The steps, in order; null when the fleet has taken all of them. */
export function firstRun(overview: Overview, applications: readonly ApplicationSummary[], origin: string): FirstRunStep[] | null {
  const app = applications.find((a) => a.declared) ?? applications[0];
  const appName = app?.name ?? "web";
  const place = app?.environments[0];
  const environment = place?.environment ?? overview.environments[0]?.name ?? "production";
  const missing = overview.missing_nodes[0] ?? "app-1";
  const described = overview.fleet_configuration_version > 0;
  const joined = overview.nodes.some((node) => node.liveness !== "revoked");
  const released = applications.some((a) => a.release_count > 0);
  const running = applications.some((a) => a.environments.some((e) => e.release !== null));
  if (described && joined && released && running) return null;
  return [
    {
      id: "fleet",
      title: "Describe the fleet",
      why: "A folder of YAML files says which environments, nodes and applications there are. It is shown as a diff before it is applied.",
      commands: [`muster login ${origin}`, "muster apply -f fleet/"],
      done: described,
    },
    {
      id: "node",
      title: "Join a host",
      why: "An invitation gives one line to paste on the host. From then on the host pulls what it should be; nothing logs in to it.",
      commands: [`muster node invite ${missing}`],
      done: joined,
    },
    {
      id: "release",
      title: "Make a release",
      why: "A release is the folder of your application, packed as it is, under a version that never changes.",
      commands: [`muster release create ${appName} --dir . --version 1.0.0`],
      done: released,
    },
    {
      id: "deploy",
      title: "Deploy it",
      why: "Nodes move one after another, each only once the new processes are ready. A failure puts the former release back.",
      commands: [`muster deploy ${appName} --release ${app?.latest_release ?? "1.0.0"} --environment ${environment} --wait`],
      done: running,
    },
  ];
}

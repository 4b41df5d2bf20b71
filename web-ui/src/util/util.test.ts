import { describe, expect, it } from "vitest";
import type { ApplicationDetail, ApplicationSummary, NodeSummary, Overview, Release, Rollout, Session } from "../api/types";
import { applicationCan, nodeCan, rolloutCan } from "./can";
import { columns, markers } from "./chart";
import { diffFiles, diffLines, withContext } from "./diff";
import { firstRun } from "./firstRun";
import { highlightYaml } from "./highlight";
import { LineSplitter, append, parsePattern, passes, withoutColours, type LogEntry } from "./logs";
import { defaultRange, parseRange } from "./range";
import { consequences, formerRelease } from "./rollouts";
import { safeNext } from "./safeNext";
import { nodeConvergence, nodeHealth, nodeStatus, processesStatus, rolloutNodeStatus, rolloutProgress } from "./status";
import { compare, matches, nextSort, parseSort, sortRows } from "./table";
import { toYaml } from "./yaml";

const node = (over: Partial<NodeSummary> = {}): NodeSummary => ({
  id: "n",
  name: "app-1",
  environment: "production",
  roles: [],
  liveness: "up",
  liveness_changed_at: "2026-11-22T12:00:00Z",
  last_heartbeat_at: null,
  converged: true,
  convergence: "converged",
  generation: 4,
  reported_generation: 4,
  problem_count: 0,
  resource_count: 7,
  failed_count: 0,
  drifted_count: 0,
  waiting_count: 0,
  reboot_required: null,
  mode: "enforce",
  mode_override_count: 0,
  process_count: 2,
  process_ready_count: 2,
  cpu_percent: null,
  memory_used_bytes: null,
  memory_total_bytes: null,
  disk_used_bytes: null,
  disk_total_bytes: null,
  load_1: null,
  ...over,
});

const rollout = (over: Partial<Rollout> = {}): Rollout => ({
  id: "r",
  kind: "deploy",
  application: "web",
  environment: "production",
  release: "2",
  former_release: "1",
  status: "running",
  reason: null,
  created_by: "amara",
  created_at: "2026-11-22T12:00:00Z",
  updated_at: "2026-11-22T12:00:00Z",
  finished_at: null,
  nodes: [],
  ...over,
});

const at = (name: string, state: Rollout["nodes"][number]["state"]): Rollout["nodes"][number] => ({ node: name, state, former_release: "1", since: null, deadline: null, reason: null });
const session = (role: Session["role"]): Session => ({ username: "a", role, expires_at: null, controller_version: "0" });
const place = { environment: "production", release: "1", nodes: ["app-1", "app-2"], process_count: 4, process_ready_count: 4, active_rollout: null };
const app: ApplicationDetail = { name: "web", declared: true, environments: [place], release_count: 2, latest_release: "2", declaration: null, processes: [] };

describe("nodeStatus", () => {
  it.each<[Partial<NodeSummary>, string]>([
    [{}, "ok"],
    [{ liveness: "down", convergence: "drifted", drifted_count: 3 }, "error"],
    [{ liveness: "late" }, "warning"],
    [{ convergence: "failed", failed_count: 1 }, "error"],
    [{ convergence: "drifted", drifted_count: 1, process_ready_count: 1 }, "warning"],
    [{ convergence: "waiting", waiting_count: 1 }, "waiting"],
    [{ process_ready_count: 1 }, "warning"],
    [{ convergence: "pending", reported_generation: 3 }, "busy"],
    [{ convergence: "pending", converged: null }, "waiting"],
    [{ liveness: "revoked" }, "off"],
  ])("%j looks %s", (over, look) => expect(nodeStatus(node(over)).look).toBe(look));
});

describe("nodeHealth", () => {
  it("leaves convergence to its own column", () => {
    expect(nodeHealth(node({ convergence: "failed", failed_count: 2 })).word).toBe("up");
    expect(nodeHealth(node({ process_ready_count: 1 })).word).toBe("1 of 2 processes ready");
    expect(nodeHealth(node({ liveness: "down", process_ready_count: 1 })).word).toBe("down");
    expect(nodeConvergence(node({ convergence: "failed", failed_count: 2 })).word).toBe("2 failed");
    expect(nodeConvergence(node({ convergence: "pending" })).word).toBe("pending");
  });
});

describe("rollouts", () => {
  it("counts nodes on the way there, and on the way back", () => {
    const nodes = [at("a", "moved"), at("b", "moving"), at("c", "away")];
    expect(rolloutProgress(rollout({ nodes }))).toEqual({ done: 1, total: 2 });
    expect(rolloutProgress(rollout({ status: "rolled_back", nodes: [at("a", "returned"), at("b", "pending")] }))).toEqual({ done: 2, total: 2 });
  });
  it("says of a node whose turn never came that it was not touched", () => {
    expect(rolloutNodeStatus("pending").word).toBe("comes later");
    expect(rolloutNodeStatus("waiting").word).toBe("waits for its turn");
    expect(rolloutNodeStatus("pending", true).word).toBe("not touched");
  });
  it("finds what ran before", () => {
    const past = [rollout({ status: "rolled_back", release: "1", former_release: "0.8" }), rollout({ status: "completed", release: "1", former_release: "0.9" })];
    expect(formerRelease(past, place)).toBe("0.9");
    expect(formerRelease([], place)).toBeNull();
  });
  it("says in numbers what a deploy does, and what it leaves out", () => {
    const texts = consequences(app, place, "2", [node(), node({ name: "app-2", liveness: "down" })]);
    expect(texts[0]).toBe("web in production goes from 1 to 2: 1 node, 0 processes.");
    expect(texts.join(" ")).toContain("app-2 is down and is left out");
    expect(texts.at(-1)).toContain("goes back to 1");
  });
  it("shows that no process is no health", () => expect(processesStatus(0, 0).look).toBe("off"));
});

describe("can", () => {
  it("says why not", () => {
    expect(applicationCan.deploy(session("viewer"), place, [{} as Release])).toEqual({ allowed: false, reason: "Deploying needs the role deployer; you are viewer" });
    expect(applicationCan.deploy(session("deployer"), place, [])).toMatchObject({ allowed: false });
    expect(applicationCan.deploy(session("admin"), place, [{} as Release])).toEqual({ allowed: true });
    expect(applicationCan.deploy(session("admin"), { ...place, active_rollout: "r" }, [{} as Release])).toMatchObject({ allowed: false });
    expect(nodeCan.remove(session("admin"), node())).toMatchObject({ allowed: false });
    expect(nodeCan.revoke(session("operator"), node())).toEqual({ allowed: true });
    expect(rolloutCan.abort(session("admin"), rollout({ status: "completed" }))).toMatchObject({ allowed: false });
  });
});

describe("firstRun", () => {
  const overview: Overview = { attention: [], environments: [], nodes: [], missing_nodes: [], active_rollouts: [], turns: [], convergence: { converged: 0, pending: 0, waiting: 0, drifted: 0, failed: 0 }, recent_events: [], fleet_configuration_version: 0, application_count: 0 };
  const steps = (o: Partial<Overview>, apps: ApplicationSummary[] = []): string[] | null => firstRun({ ...overview, ...o }, apps, "https://m")?.filter((step) => step.done).map((step) => step.id) ?? null;

  it("ticks what the fleet shows, and ends when a release runs", () => {
    expect(steps({})).toEqual([]);
    expect(steps({ fleet_configuration_version: 1 })).toEqual(["fleet"]);
    expect(steps({ fleet_configuration_version: 1, nodes: [node({ liveness: "revoked" })] })).toEqual(["fleet"]);
    expect(steps({ fleet_configuration_version: 1, nodes: [node()] }, [{ ...app, environments: [{ ...place, release: null }] }])).toEqual(["fleet", "node", "release"]);
    expect(steps({ fleet_configuration_version: 1, nodes: [node()] }, [app])).toBeNull();
  });
  it("writes commands with the names of this fleet", () => {
    const made = firstRun({ ...overview, fleet_configuration_version: 1, missing_nodes: ["edge-7"] }, [{ ...app, name: "shop", environments: [{ ...place, environment: "live", release: null }] }], "https://m");
    expect(made?.[1]?.commands).toEqual(["muster node invite edge-7"]);
    expect(made?.[3]?.commands).toEqual(["muster deploy shop --release 2 --environment live --wait"]);
  });
});

describe("diff", () => {
  it("keeps what is common and numbers both sides", () => {
    const lines = diffLines("a\nb\nc\n", "a\nx\nc\nd\n");
    expect(lines.map((line) => `${line.kind}:${line.text}`)).toEqual(["same:a", "removed:b", "added:x", "same:c", "added:d"]);
    expect(lines.at(-1)).toMatchObject({ before: null, after: 4 });
  });
  it("gives both texts back", () => {
    const [before, after] = ["a\nb\nb\nc\ne", "b\na\nb\nd\ne\nf"];
    const lines = diffLines(before, after);
    expect(lines.filter((line) => line.kind !== "added").map((line) => line.text).join("\n")).toBe(before);
    expect(lines.filter((line) => line.kind !== "removed").map((line) => line.text).join("\n")).toBe(after);
  });
  it("leaves out what is far from a change", () => {
    const before = Array.from({ length: 30 }, (_, i) => `line ${i}`).join("\n");
    const parts = withContext(diffLines(before, before.replace("line 15", "other")));
    expect(parts.map((part) => (part.kind === "skipped" ? part.count : part.lines.length))).toEqual([12, 8, 11]);
  });
  it("lists new, gone and changed files", () => {
    const files = diffFiles([{ path: "a", content: "1" }, { path: "b", content: "2" }], [{ path: "b", content: "2" }, { path: "c", content: "3\n4" }]);
    expect(files.map(({ path, added, removed }) => [path, added, removed])).toEqual([["a", 0, 1], ["c", 2, 0]]);
  });
});

describe("highlightYaml", () => {
  it.each(["environments:", "  lb-1:    {environment: production, roles: [load_balancer]}", 'a: "b # c" # d', "url: http://x/#y", "- 12", "", "# only", "text: it's"])("never changes the text of %j", (line) =>
    expect(highlightYaml(line).map((token) => token.text).join("")).toBe(line),
  );
  it("tells a comment from a hash inside a text", () => {
    expect(highlightYaml('a: "b # c" # d').filter((token) => token.kind === "comment").map((token) => token.text)).toEqual(["# d"]);
  });
});

describe("logs", () => {
  const entry = (key: number, time: string, over: object = {}): LogEntry => ({ type: "line", at: time, node: "n", instance: 0, stream: "out", line: `l${key}`, key, ...over }) as LogEntry;

  it("puts pieces together to lines", () => {
    const splitter = new LineSplitter();
    expect(splitter.push('{"a"')).toEqual([]);
    expect(splitter.push(':1}\n\n{"b":2}\n{')).toEqual(['{"a":1}', '{"b":2}']);
    expect(splitter.push("}\n")).toEqual(["{}"]);
  });
  it("orders past lines of several nodes by time, and leaves live ones as they come", () => {
    const past = append([], [entry(1, "2026-01-01T00:00:03Z"), entry(2, "2026-01-01T00:00:01Z")], false);
    expect(past.map((each) => each.key)).toEqual([2, 1]);
    expect(append(past, [entry(3, "2026-01-01T00:00:02Z")], true).map((each) => each.key)).toEqual([2, 1, 3]);
  });
  it("filters by instance and pattern, and shows a mistake in the pattern", () => {
    expect(passes(entry(1, "2026-01-01T00:00:01Z"), { pattern: /L1/i })).toBe(true);
    expect(passes(entry(1, "2026-01-01T00:00:01Z"), { instance: 2 })).toBe(false);
    expect(parsePattern("(").mistake).toBeTruthy();
    expect(parsePattern("")).toEqual({});
  });
  it("takes terminal colours out", () => expect(withoutColours("\u001b[32mGET\u001b[0m /")).toBe("GET /"));
});

describe("tables", () => {
  it("reads and changes the sort of the URL", () => {
    expect(parseSort(undefined, "-cpu")).toEqual({ column: "cpu", descending: true });
    expect(nextSort({ column: "cpu", descending: true }, "cpu", true)).toBe("cpu");
    expect(nextSort({ column: "name", descending: false }, "cpu", true)).toBe("-cpu");
  });
  it("sorts names as people do, and nothing last in both directions", () => {
    expect(["app-10", "app-2"].toSorted((a, b) => compare(a, b, false))).toEqual(["app-2", "app-10"]);
    expect(compare(null, 1, false)).toBeGreaterThan(0);
    expect(compare(null, 1, true)).toBeGreaterThan(0);
    expect(sortRows([{ n: "b", v: 1 }, { n: "a", v: 1 }], (row) => row.v, true, (row) => row.n).map((row) => row.n)).toEqual(["a", "b"]);
  });
  it("wants every word of a filter", () => {
    expect(matches("app prod", ["app-1", "production"])).toBe(true);
    expect(matches("app stag", ["app-1", "production"])).toBe(false);
    expect(matches("", [null])).toBe(true);
  });
});

describe("graphs", () => {
  const point = (seconds: number) => ({ at: new Date(seconds * 1000).toISOString(), cpu_percent: seconds }) as never;
  it("leaves a gap where samples are missing", () => {
    const [times, cpu] = columns([point(0), point(10), point(20), point(100)], 0, [(p) => p.cpu_percent]);
    expect(times).toEqual([0, 10, 20, 30, 100]);
    expect(cpu).toEqual([0, 10, 20, null, 100]);
  });
  it("marks what concerns the node", () => {
    const event = { sequence: 1, at: "2026-01-01T00:00:00Z", kind: "rollout.node_moved", severity: "info" as const, message: "m", actor: "c", node: "app-1", environment: "production", application: "web", rollout: null };
    expect(markers([event, { ...event, node: "app-2" }, { ...event, kind: "node.up" }, { ...event, kind: "rollout.rolled_back", node: null, environment: "staging" }], "app-1", "production")).toHaveLength(1);
  });
  it("reads a range from the URL, live or fixed", () => {
    expect(parseRange({})).toMatchObject({ live: true, value: "1h" });
    expect(parseRange({ range: "nonsense" }).value).toBe("1h");
    expect(parseRange({}, defaultRange("2026-01-01T00:00:00Z", Date.parse("2026-01-01T00:05:00Z"))).value).toBe("15m");
    const fixed = parseRange({ range: "6h", from: "2026-01-01T00:00:00Z", to: "2026-01-01T01:00:00Z" });
    expect(fixed.live).toBe(false);
    expect(fixed.at(0)).toEqual({ from: 1_767_225_600, to: 1_767_229_200 });
    expect(parseRange({ from: "2026-01-01T02:00:00Z", to: "2026-01-01T01:00:00Z" }).live).toBe(true);
  });
});

describe("safeNext", () => {
  it.each([
    ["/nodes/app-1?range=6h", "/nodes/app-1?range=6h"],
    [undefined, "/"],
    ["https://evil.example", "/"],
    ["//evil.example", "/"],
    ["/\\evil.example", "/"],
    ["/sign-in?next=/", "/"],
  ])("%s leads to %s", (next, path) => expect(safeNext(next)).toBe(path));
});

describe("toYaml", () => {
  it("leaves out what says nothing and quotes what would be read as something else", () => {
    expect(toYaml({ web: { script: "a.js", args: [], port: 80, on: null, env: { A: "yes", B: "1", C: "x y" }, health: { http: "/healthz" }, list: ["a", "b"] } })).toBe(
      'web:\n  script: a.js\n  port: 80\n  env:\n    A: "yes"\n    B: "1"\n    C: x y\n  health:\n    http: /healthz\n  list: [a, b]\n',
    );
  });
});

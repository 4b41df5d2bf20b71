import { describe, expect, it } from "vitest";
import type { NodeDetail, NodePlan, PlannedResource, ResourceState, Turn } from "../api/types";
import { countConvergence, countStatus, groupPlan, modeConsequences, passesFilter, planSentence, rebootConsequences, resourcesNote, sortTurns, splitKey, strictest } from "./convergence";
import { reportedLines } from "./diff";
import { eventWord } from "./events";
import { nodePlanStatus, turnStatus } from "./status";

const resource = (key: string, over: Partial<ResourceState> = {}): ResourceState => ({
  key,
  kind: key.split(":")[0] ?? "",
  status: "converged",
  mode: "enforce",
  detail: "",
  differs: false,
  reported_at: "2026-11-22T12:00:00Z",
  changed_at: null,
  change: null,
  change_detail: null,
  ...over,
});

const RESOURCES = [resource("file:/etc/motd"), resource("file:/etc/issue", { status: "drifted", mode: "report", differs: true }), resource("application:web"), resource("sysctl:a", { mode: "ignore" })];

const node = (over: Partial<NodeDetail> = {}): NodeDetail =>
  ({ name: "app-1", environment: "production", roles: ["app_server"], liveness: "up", facts: { hostname: "app-1.example" }, resource_count: RESOURCES.length, resources: RESOURCES, mode_overrides: [], processes: [], ...over }) as unknown as NodeDetail;

const set = (over: Partial<NodeDetail["mode_overrides"][number]> = {}): NodeDetail["mode_overrides"][number] => ({ resource: null, mode: "report", reason: "r", set_by: "amara", set_at: "", expires_at: null, ...over });

describe("resources", () => {
  it("splits a key at its first colon only", () => {
    expect(splitKey("apt_repository:http://deb.example:80/x")).toEqual({ kind: "apt_repository", name: "http://deb.example:80/x" });
  });
  it("counts the words that occur, the worst first", () => {
    expect(countStatus(RESOURCES)).toEqual([{ status: "drifted", count: 1 }, { status: "converged", count: 3 }]);
    expect(countConvergence({ converged: 2, pending: 0, waiting: 1, drifted: 0, failed: 3 }).map((each) => each.convergence)).toEqual(["failed", "waiting", "converged"]);
  });
  it("calls nothing as it should be that the agent does not manage", () => {
    const unsupported = resource("package:nginx", { status: "unsupported" });
    expect(resourcesNote([])).toBe("");
    expect(resourcesNote([resource("a:b")])).toBe("1 resource, all as they should be");
    expect(resourcesNote([resource("a:b"), unsupported])).toBe("1 of 2 as they should be, 1 not managed by its agent");
    expect(resourcesNote([...RESOURCES, unsupported])).toBe("1 of 5 not as they should be, 1 not managed by its agent");
  });
  it.each([
    [{ show: "problems" }, ["file:/etc/issue"]],
    [{ show: "held" }, ["file:/etc/issue", "sysctl:a"]],
    [{ show: "converged", kind: "file" }, ["file:/etc/motd"]],
    [{ kind: "package" }, []],
  ])("%j filters", (filter, keys) => expect(RESOURCES.filter((each) => passesFilter(each, filter)).map((each) => each.key)).toEqual(keys));
});

describe("modes", () => {
  it("lets the strictest hold", () => {
    expect(strictest("enforce", "report")).toBe("report");
    expect(strictest("ignore", "report")).toBe("ignore");
  });
  it("says in numbers what is held back, and for how long", () => {
    const text = modeConsequences(node(), null, "report", 14_400);
    expect(text[0]).toBe("Muster goes on looking at every resource of app-1 and changes nothing, for 4\u00a0h; then it is lifted by itself.");
    expect(text[1]).toBe("2 resources of 4 are held back by this; 2 are held back as much already.");
    expect(text.at(-1)).toBe("web gets no new release here meanwhile; what runs goes on running.");
    expect(modeConsequences(node(), "sysctl:a", "report", null)[1]).toBe("It is held back as much already, by what is declared or set for the node.");
  });
  it("says what lifting puts right, and that there may be nothing to lift", () => {
    expect(modeConsequences(node(), null, "enforce", null)).toEqual(["Nothing was set for app-1: what the configuration declares holds already."]);
    const text = modeConsequences(node({ mode_overrides: [set(), set({ resource: "sysctl:a", mode: "ignore" })] }), null, "enforce", null);
    expect(text[1]).toContain("1 resource differs now and is put right at the next run");
    expect(text.at(-1)).toBe("1 mode set for single resources stays.");
  });
});

describe("restarts", () => {
  it("name what stops, and what does not wait", () => {
    const busy = node({ processes: [{ application: "web" }, { application: "web" }, { application: "api" }] as NodeDetail["processes"] });
    const text = rebootConsequences(busy, false);
    expect(text[1]).toBe("3 processes of web and api stop and are started again when it is back.");
    expect(text[2]).toContain("It waits for its turn, so that not too many nodes (app server) of production");
    expect(text[3]).toContain("1 resource is not converged now");
    // What its agent cannot manage does not keep it from coming back as it was.
    const partly = node({ resources: [resource("file:/etc/motd"), resource("package:nginx", { status: "unsupported" })] });
    expect(rebootConsequences(partly, false).join(" ")).not.toContain("not converged");
    expect(rebootConsequences(busy, true)[2]).toContain("It does not wait for its turn");
  });
});

describe("plans", () => {
  const planned = (key: string, change: PlannedResource["change"], over: Partial<PlannedResource> = {}): PlannedResource => ({ key, change, mode: "enforce", cause: null, disruptive: false, detail: "", diff: null, ...over });
  const plan = (over: Partial<NodePlan> = {}): NodePlan => ({ node: "a", environment: "production", state: "planned", problem: null, change_count: 0, generation: 4, reboot_required: null, resources: [], unchanged_count: 3, ...over });

  it("keeps what a mode holds back apart from what would be done", () => {
    const groups = groupPlan(
      plan({
        resources: [planned("a", "change"), planned("b", "change", { mode: "report" }), planned("c", "reload"), planned("d", "run"), planned("e", "remove"), planned("f", "release"), planned("g", "unknown"), planned("h", "none")],
      }),
    );
    expect(Object.fromEntries([...groups].map(([group, resources]) => [group, resources.map((each) => each.key).join("")]))).toEqual({ change: "a", held: "b", restart: "cd", remove: "ef", stuck: "g" });
  });
  it("says the whole in one sentence", () => {
    expect(planSentence([plan()])).toBe("Nothing would change on a.");
    const restart = plan({ node: "b", change_count: 2, resources: [planned("a", "change"), planned("b", "restart", { disruptive: true })] });
    expect(planSentence([plan(), restart, plan({ state: "problem", problem: "it is down" })])).toBe("2 changes on b, 1 of them disruptive; 1 node without an answer.");
    expect(planSentence([plan({ state: "problem" })])).toBe("No node has answered; 1 node without an answer.");
    expect(planSentence([plan(), plan({ node: "c", state: "missing" })])).toBe("Nothing would change on a; 1 node without a host yet.");
    expect(nodePlanStatus(plan({ state: "missing" })).word).toBe("no host yet");
  });
  it("does not call a node well of which something could not be told", () => {
    expect(nodePlanStatus(plan()).look).toBe("ok");
    expect(nodePlanStatus(plan({ resources: [planned("a", "unknown")] })).look).toBe("warning");
    expect(nodePlanStatus(plan({ state: "problem" })).look).toBe("error");
  });
});

describe("turns", () => {
  const turn = (state: Turn["state"], over: Partial<Turn> = {}): Turn => ({ node: "a", environment: "production", roles: [], kind: "change", cause: "intentional", state, reason: "", detail: "", since: "2026-11-22T12:00:00Z", expires_at: null, rollout: null, ...over });
  it("stand with the one that holds the others up first", () => {
    expect(sortTurns([turn("waiting"), turn("granted"), turn("failed")]).map((each) => each.state)).toEqual(["failed", "granted", "waiting"]);
  });
  it("say what for", () => {
    expect(turnStatus(turn("waiting", { kind: "reboot" })).word).toBe("waits to restart");
    expect(turnStatus(turn("granted", { rollout: "r" })).word).toBe("moved by a rollout");
    expect(turnStatus(turn("failed"))).toEqual({ look: "error", word: "change failed" });
  });
});

describe("reportedLines", () => {
  it("tells a unified diff by its head, and keeps lines that look like one", () => {
    const lines = reportedLines("--- /etc/x\n+++ /etc/x\n@@ -1,2 +1,2 @@\n same\n--- a rule of dashes\n+++ two plus signs\n\\ No newline at end of file\n");
    expect(lines.map((line) => line.kind)).toEqual(["head", "head", "head", "same", "removed", "added", "head"]);
    expect(lines[4]?.text).toBe("-- a rule of dashes");
  });
  const shown = (text: string): string[] => reportedLines(text).map((line) => `${line.kind}:${line.text}`);
  it("leaves facts as they are, also before a unified diff", () => {
    expect(shown("mode: 0644 -> 0600\n")).toEqual(["same:mode: 0644 -> 0600"]);
    expect(shown("hostname: a -> b\n--- /etc/hosts\n+++ /etc/hosts\n@@ -1 +1 @@\n-127.0.1.1 a\n+127.0.1.1 b\n")).toEqual(["same:hostname: a -> b", "head:--- /etc/hosts", "head:+++ /etc/hosts", "head:@@ -1 +1 @@", "removed:127.0.1.1 a", "added:127.0.1.1 b"]);
  });
  it("knows lines with a sign, as of sshd and of certificates", () => {
    expect(shown("- PermitRootLogin yes\n+ PermitRootLogin no\n")).toEqual(["removed:PermitRootLogin yes", "added:PermitRootLogin no"]);
  });
  it("knows the heads of a second file, and of one that only goes", () => {
    const text = "--- /etc/apt/a.sources\n+++ /etc/apt/a.sources\n-URIs: a\n+URIs: b\n--- /etc/apt/a.asc\n+++ /etc/apt/a.asc\n-no key\n+the declared key\n--- /etc/apt/a.gpg\n-a former key\n";
    expect(reportedLines(text).map((line) => line.kind)).toEqual(["head", "head", "removed", "added", "head", "head", "removed", "added", "head", "removed"]);
    expect(shown("--- /a\n+++ /a\n@@ -1 +1 @@\n-x\n+y\n--- /b\n+++ /b\n@@ -0,0 +1 @@\n+--- z\n").slice(5)).toEqual(["head:--- /b", "head:+++ /b", "head:@@ -0,0 +1 @@", "added:--- z"]);
  });
});

describe("eventWord", () => {
  it("says kinds in words, unknown ones by their own", () => {
    expect(eventWord("node.turn_failed")).toBe("turn: change failed");
    expect(eventWord("release.created")).toBe("release created");
  });
});

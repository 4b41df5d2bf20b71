import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Throttle, parseLiveMessage, staleKeys, type Batch } from "./live";
import { keys } from "./queries";

describe("staleKeys", () => {
  it("touches only what a node message is about", () => {
    const stale = staleKeys({ topic: "node", name: "app-1" });
    expect(stale).toContainEqual(keys.node("app-1"));
    expect(stale).toContainEqual(keys.overview);
    expect(stale).not.toContainEqual(keys.node("app-2"));
    expect(stale).not.toContainEqual(keys.secrets);
  });
  it("renews a rollout and its application", () => {
    const stale = staleKeys({ topic: "rollout", id: "r1", application: "web" });
    expect(stale).toContainEqual(keys.rollout("r1"));
    expect(stale).toContainEqual(keys.application("web"));
  });
  it("renews the restarts for what happened to a process, and for nothing else", () => {
    const event = { sequence: 1, at: "", severity: "info" as const, message: "", actor: "", node: null, environment: null, application: null, rollout: null };
    expect(staleKeys({ topic: "event", event: { ...event, kind: "process.exited" } })).toContainEqual(keys.processEvents);
    expect(staleKeys({ topic: "event", event: { ...event, kind: "node.down" } })).not.toContainEqual(keys.processEvents);
  });
  it("reads everything again when messages were lost", () => expect(staleKeys({ topic: "resync" })).toBe("everything"));
});

describe("parseLiveMessage", () => {
  it("passes over what it does not know", () => {
    expect(parseLiveMessage('{"topic":"node","name":"a"}')).toEqual({ topic: "node", name: "a" });
    expect(parseLiveMessage('{"topic":"weather"}')).toBeNull();
    expect(parseLiveMessage("{")).toBeNull();
    expect(parseLiveMessage("null")).toBeNull();
  });
});

describe("Throttle", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("gathers what comes close together, once per key", () => {
    const batches: Batch[] = [];
    const throttle = new Throttle((batch) => batches.push(batch), 1000, 50);
    for (let i = 0; i < 20; i += 1) throttle.push({ topic: "node", name: "app-1" });
    expect(batches).toHaveLength(0);
    vi.advanceTimersByTime(50);
    expect(batches).toHaveLength(1);
    expect(batches[0]?.keys.filter((key) => key[0] === "overview")).toHaveLength(1);
  });

  it("hands out at most one batch per period", () => {
    const batches: Batch[] = [];
    const throttle = new Throttle((batch) => batches.push(batch), 1000, 50);
    for (let ms = 0; ms < 5000; ms += 100) {
      throttle.push({ topic: "node", name: `app-${ms}` });
      vi.advanceTimersByTime(100);
    }
    expect(batches.length).toBeGreaterThanOrEqual(5);
    expect(batches.length).toBeLessThanOrEqual(6);
  });

  it("forgets everything when it is stopped", () => {
    const batches: Batch[] = [];
    const throttle = new Throttle((batch) => batches.push(batch));
    throttle.push({ topic: "resync" });
    throttle.stop();
    vi.advanceTimersByTime(10_000);
    expect(batches).toHaveLength(0);
  });
});

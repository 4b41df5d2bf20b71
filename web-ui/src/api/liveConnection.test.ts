import { QueryClient } from "@tanstack/react-query";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { LiveConnection } from "./liveConnection";

class FakeSource extends EventTarget {
  static made: FakeSource[] = [];
  closed = false;
  constructor(readonly url: string) {
    super();
    FakeSource.made.push(this);
  }
  close(): void {
    this.closed = true;
  }
}

const last = (): FakeSource => FakeSource.made.at(-1)!;

describe("LiveConnection", () => {
  let queries: QueryClient;
  let invalidate: ReturnType<typeof vi.spyOn>;
  let stop: () => void;
  let connection: LiveConnection;

  beforeEach(() => {
    vi.useFakeTimers();
    FakeSource.made = [];
    vi.stubGlobal("EventSource", FakeSource);
    queries = new QueryClient();
    invalidate = vi.spyOn(queries, "invalidateQueries");
    connection = new LiveConnection(queries);
    stop = connection.start();
  });
  afterEach(() => {
    stop();
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("is live once the stream answers, and passes messages on", () => {
    last().dispatchEvent(new Event("open"));
    expect(connection.snapshot()).toEqual({ kind: "live" });
    last().dispatchEvent(new MessageEvent("message", { data: '{"topic":"node","name":"app-1"}' }));
    vi.advanceTimersByTime(100);
    expect(invalidate).toHaveBeenCalledWith({ queryKey: ["node", "app-1"] });
  });

  it("keeps the time since which it is lost over several tries, and reads everything when it is back", () => {
    last().dispatchEvent(new Event("open"));
    last().dispatchEvent(new Event("error"));
    const lost = connection.snapshot();
    expect(lost.kind).toBe("lost");
    vi.advanceTimersByTime(700);
    expect(FakeSource.made).toHaveLength(2);
    last().dispatchEvent(new Event("error"));
    expect(connection.snapshot()).toBe(lost);
    vi.advanceTimersByTime(1300);
    invalidate.mockClear();
    last().dispatchEvent(new Event("open"));
    expect(connection.snapshot()).toEqual({ kind: "live" });
    expect(invalidate).toHaveBeenCalledTimes(1);
  });

  it("polls slowly while it is lost, and stops when it is back", () => {
    last().dispatchEvent(new Event("error"));
    invalidate.mockClear();
    vi.advanceTimersByTime(31_000);
    expect(invalidate.mock.calls.length).toBeGreaterThanOrEqual(2);
    last().dispatchEvent(new Event("open"));
    invalidate.mockClear();
    vi.advanceTimersByTime(60_000);
    expect(invalidate).not.toHaveBeenCalled();
  });

  it("gives up a stream that never answers", () => {
    const first = last();
    vi.advanceTimersByTime(8100);
    expect(first.closed).toBe(true);
    expect(connection.snapshot().kind).toBe("lost");
  });
});

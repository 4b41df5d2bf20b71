// The one stream of live messages: opens it, opens it again when it breaks, and falls back to slow polling meanwhile.
import type { QueryClient } from "@tanstack/react-query";
import { LIVE_URL } from "./client";
import { Throttle, parseLiveMessage } from "./live";
import { keys } from "./queries";

export type LiveState = { kind: "connecting" } | { kind: "live" } | { kind: "lost"; since: Date } | { kind: "resting" };

const POLL_WHILE_LOST_MS = 15_000;
const REST_WHEN_HIDDEN_MS = 60_000;
const RETRY_MS = [500, 1000, 2000, 4000, 8000, 15_000];
const FIRST_ANSWER_MS = 8000;

export class LiveConnection {
  private state: LiveState = { kind: "connecting" };
  private readonly listeners = new Set<() => void>();
  private source: EventSource | null = null;
  private attempts = 0;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private pollTimer: ReturnType<typeof setInterval> | undefined;
  private restTimer: ReturnType<typeof setTimeout> | undefined;
  private answerTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly throttle: Throttle;
  private readonly queries: QueryClient;

  constructor(queries: QueryClient) {
    this.queries = queries;
    this.throttle = new Throttle((batch) => {
      if (batch.everything) void this.readEverything();
      else for (const queryKey of batch.keys) void queries.invalidateQueries({ queryKey });
    });
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly snapshot = (): LiveState => this.state;

  start(): () => void {
    document.addEventListener("visibilitychange", this.onVisibility);
    this.open();
    return () => {
      document.removeEventListener("visibilitychange", this.onVisibility);
      this.close();
      clearTimeout(this.restTimer);
      clearInterval(this.pollTimer);
      this.throttle.stop();
    };
  }

  /** Tries at once: the button of the banner. */
  readonly retryNow = (): void => {
    this.attempts = 0;
    this.open();
  };

  private open(): void {
    this.close();
    const source = new EventSource(LIVE_URL);
    this.source = source;
    source.addEventListener("open", this.onOpen);
    source.addEventListener("message", (event: MessageEvent<string>) => this.onMessage(event));
    source.addEventListener("error", () => this.onError());
    this.answerTimer = setTimeout(() => {
      if (this.state.kind !== "live") this.onError();
    }, FIRST_ANSWER_MS);
  }

  private close(): void {
    this.source?.close();
    this.source = null;
    clearTimeout(this.retryTimer);
    clearTimeout(this.answerTimer);
  }

  private readonly onOpen = (): void => {
    const cameBack = this.state.kind === "lost" || this.state.kind === "resting";
    this.attempts = 0;
    clearInterval(this.pollTimer);
    clearTimeout(this.answerTimer);
    this.set({ kind: "live" });
    if (cameBack) void this.readEverything();
  };

  private onMessage(event: MessageEvent<string>): void {
    const message = parseLiveMessage(event.data);
    if (message !== null) this.throttle.push(message);
  }

  private onError(): void {
    this.close();
    if (this.state.kind !== "lost") {
      this.set({ kind: "lost", since: new Date() });
      clearInterval(this.pollTimer);
      this.pollTimer = setInterval(() => void this.readEverything(), POLL_WHILE_LOST_MS);
      // A session that ended looks the same as a broken stream: ask, and the sign-in page follows if it did.
      void this.queries.invalidateQueries({ queryKey: keys.session });
    }
    const wait = RETRY_MS[Math.min(this.attempts, RETRY_MS.length - 1)] ?? 15_000;
    this.attempts += 1;
    this.retryTimer = setTimeout(() => this.open(), wait * (0.8 + Math.random() * 0.4));
  }

  /** A tab that nobody looks at gives its connection back: browsers allow few of them per host without HTTP/2. */
  private readonly onVisibility = (): void => {
    clearTimeout(this.restTimer);
    if (document.visibilityState === "hidden") {
      this.restTimer = setTimeout(() => {
        this.close();
        clearInterval(this.pollTimer);
        this.set({ kind: "resting" });
      }, REST_WHEN_HIDDEN_MS);
    } else if (this.state.kind === "resting") this.open();
  };

  private readEverything(): Promise<void> {
    return this.queries.invalidateQueries({ predicate: (query) => query.queryKey[0] !== keys.session[0] });
  }

  private set(state: LiveState): void {
    this.state = state;
    for (const listener of this.listeners) listener();
  }
}

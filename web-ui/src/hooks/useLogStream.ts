import { useEffect, useRef, useState } from "react";
import { logRead } from "../api/client";
import { LineSplitter, append, parseLogMessage, type LogEntry } from "../util/logs";

export type LogState = "opening" | "past" | "following" | "ended" | "failed";

export interface LogStream {
  entries: readonly LogEntry[];
  state: LogState;
  error: unknown;
  reopen: () => void;
}

const PAINT_MS = 120;
/** Per instance. */
const PAST_LINES = 200;

/** Follows the log of an application in one environment. Lines are painted a few times a second, however fast they come. */
export function useLogStream(application: string, environment: string): LogStream {
  const [entries, setEntries] = useState<readonly LogEntry[]>([]);
  const [state, setState] = useState<LogState>("opening");
  const [error, setError] = useState<unknown>(null);
  const [attempt, setAttempt] = useState(0);
  const counter = useRef(0);

  useEffect(() => {
    const abort = new AbortController();
    let fresh: LogEntry[] = [];
    let caughtUp = false;
    setEntries([]);
    setState("opening");
    setError(null);

    const paint = (): void => {
      if (fresh.length === 0) return;
      const batch = fresh;
      fresh = [];
      const settled = caughtUp && !batch.some((entry) => entry.type === "caught_up");
      setEntries((shown) => append(shown, batch, settled));
    };
    const timer = setInterval(paint, PAINT_MS);

    async function read(): Promise<void> {
      const stream = await logRead(application, { environment, lines: PAST_LINES, follow: true }, abort.signal);
      setState("past");
      const splitter = new LineSplitter();
      const decoder = new TextDecoder();
      const reader = stream.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        for (const line of splitter.push(decoder.decode(value, { stream: true }))) {
          const message = parseLogMessage(line);
          if (message === null) continue;
          counter.current += 1;
          fresh.push({ ...message, key: counter.current });
          if (message.type === "caught_up") {
            caughtUp = true;
            setState("following");
          }
        }
      }
    }

    read().then(
      () => {
        paint();
        setState("ended");
      },
      (failure: unknown) => {
        if (abort.signal.aborted) return;
        paint();
        setError(failure);
        setState("failed");
      },
    );
    return () => {
      clearInterval(timer);
      abort.abort();
    };
  }, [application, environment, attempt]);

  return { entries, state, error, reopen: () => setAttempt((n) => n + 1) };
}

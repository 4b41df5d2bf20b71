// A log as it streams in: a bounded buffer, and the filter over it.
import type { LogMessage } from "../api/types";

export type LogEntry = LogMessage & { key: number };

export const LOG_LIMIT = 5000;

/** Splits a stream of newline-delimited JSON that arrives in pieces of any size. */
export class LineSplitter {
  private rest = "";

  push(piece: string): string[] {
    const lines = (this.rest + piece).split("\n");
    this.rest = lines.pop() ?? "";
    return lines.filter((line) => line.trim() !== "");
  }
}

export function parseLogMessage(line: string): LogMessage | null {
  try {
    const message = JSON.parse(line) as LogMessage;
    return ["line", "dropped", "problem", "caught_up"].includes(message.type) ? message : null;
  } catch {
    return null;
  }
}

/** Past lines of several nodes arrive node by node: they are put in the order of time until the log has caught up. */
export function append(entries: readonly LogEntry[], fresh: readonly LogEntry[], caughtUp: boolean): LogEntry[] {
  const all = [...entries, ...fresh];
  if (!caughtUp) all.sort((a, b) => order(a) - order(b) || a.key - b.key);
  return all.length > LOG_LIMIT ? all.slice(-LOG_LIMIT) : all;
}

const order = (entry: LogEntry): number => (entry.type === "line" ? Date.parse(entry.at) : entry.type === "caught_up" ? Number.MAX_SAFE_INTEGER : 0);

export interface LogFilter {
  node?: string;
  instance?: number;
  pattern?: RegExp;
}

/** An empty text is no filter; a text that is no regular expression is a mistake to show. */
export function parsePattern(text: string): { pattern?: RegExp; mistake?: string } {
  if (text === "") return {};
  try {
    return { pattern: new RegExp(text, "i") };
  } catch (error) {
    return { mistake: error instanceof Error ? error.message.replace(/^Invalid regular expression: /, "") : "no regular expression" };
  }
}

export function passes(entry: LogEntry, filter: LogFilter): boolean {
  if (entry.type === "caught_up") return true;
  if (filter.node !== undefined && entry.node !== filter.node) return false;
  if (entry.type !== "line") return true;
  if (filter.instance !== undefined && entry.instance !== filter.instance) return false;
  return filter.pattern === undefined || filter.pattern.test(entry.line);
}

// Colours that applications print for a terminal. The pattern is made of a string, as a control character in a literal reads badly.
const ANSI = new RegExp(`${String.fromCharCode(27)}\\[[0-9;?]*[A-Za-z]`, "g");

export const withoutColours = (line: string): string => line.replace(ANSI, "");

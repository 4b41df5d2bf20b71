// A line diff for reading, not for patching: what two versions of a text share, and what not.

export type DiffLine = { kind: "same" | "added" | "removed"; text: string; before: number | null; after: number | null };
export type DiffPart = { kind: "lines"; lines: DiffLine[] } | { kind: "skipped"; count: number };

/** Past this many cells the middle is shown as replaced, rather than searched: it would take too long in a browser. */
const CELL_LIMIT = 4_000_000;

function split(text: string): string[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

export function diffLines(before: string, after: string): DiffLine[] {
  const a = split(before);
  const b = split(after);
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail += 1;

  const out: DiffLine[] = [];
  const same = (i: number, j: number): void => void out.push({ kind: "same", text: a[i]!, before: i + 1, after: j + 1 });
  const removed = (i: number): void => void out.push({ kind: "removed", text: a[i]!, before: i + 1, after: null });
  const added = (j: number): void => void out.push({ kind: "added", text: b[j]!, before: null, after: j + 1 });

  for (let i = 0; i < head; i += 1) same(i, i);
  const [rows, columns] = [a.length - head - tail, b.length - head - tail];
  let [i, j] = [0, 0];
  if (rows * columns <= CELL_LIMIT) {
    const lengths = commonLengths(a, b, head, rows, columns);
    const at = (row: number, column: number): number => lengths[row * (columns + 1) + column] ?? 0;
    while (i < rows && j < columns) {
      if (a[head + i] === b[head + j]) same(head + i++, head + j++);
      else if (at(i + 1, j) >= at(i, j + 1)) removed(head + i++);
      else added(head + j++);
    }
  }
  while (i < rows) removed(head + i++);
  while (j < columns) added(head + j++);
  for (let k = 0; k < tail; k += 1) same(a.length - tail + k, b.length - tail + k);
  return out;
}

/** Length of the longest common subsequence of both rests, for every pair of starts. */
function commonLengths(a: string[], b: string[], head: number, rows: number, columns: number): Uint32Array {
  const width = columns + 1;
  const lengths = new Uint32Array((rows + 1) * width);
  for (let i = rows - 1; i >= 0; i -= 1) {
    for (let j = columns - 1; j >= 0; j -= 1) {
      const down = lengths[(i + 1) * width + j]!;
      const right = lengths[i * width + j + 1]!;
      lengths[i * width + j] = a[head + i] === b[head + j] ? lengths[(i + 1) * width + j + 1]! + 1 : Math.max(down, right);
    }
  }
  return lengths;
}

/** Leaves out what is far from any change. */
export function withContext(lines: DiffLine[], context = 3): DiffPart[] {
  const near = new Uint8Array(lines.length);
  lines.forEach((line, index) => {
    if (line.kind === "same") return;
    near.fill(1, Math.max(0, index - context), Math.min(lines.length, index + context + 1));
  });
  const parts: DiffPart[] = [];
  for (const [index, line] of lines.entries()) {
    const last = parts.at(-1);
    if (near[index] === 1) {
      if (last?.kind === "lines") last.lines.push(line);
      else parts.push({ kind: "lines", lines: [line] });
    } else if (last?.kind === "skipped") last.count += 1;
    else parts.push({ kind: "skipped", count: 1 });
  }
  return parts;
}

export interface FileDiff {
  path: string;
  lines: DiffLine[];
  added: number;
  removed: number;
}

/** The files that differ between two sets, by path. */
export function diffFiles(before: readonly { path: string; content: string }[], after: readonly { path: string; content: string }[]): FileDiff[] {
  const old = new Map(before.map((file) => [file.path, file.content]));
  const fresh = new Map(after.map((file) => [file.path, file.content]));
  return [...new Set([...old.keys(), ...fresh.keys()])]
    .sort()
    .filter((path) => old.get(path) !== fresh.get(path))
    .map((path) => {
      const lines = diffLines(old.get(path) ?? "", fresh.get(path) ?? "");
      const tally = (kind: DiffLine["kind"]): number => lines.filter((line) => line.kind === kind).length;
      return { path, lines, added: tally("added"), removed: tally("removed") };
    });
}

export interface ReportedLine {
  /** `head`: the names and places of a unified diff. */
  kind: DiffLine["kind"] | "head";
  /** Without its sign. */
  text: string;
}

const HUNK = /^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@/;

/**
 * The lines of a difference as an agent reports it: unified diffs, lines with a sign, and a line for each fact, which is left as it
 * is, one after the other. Within a hunk, whose length is known, what looks like a head is content.
 */
export function reportedLines(text: string): ReportedLine[] {
  let [old, fresh] = [0, 0];
  return split(text).map((line, index, lines) => {
    if (line.startsWith("\\ ")) return { kind: "head", text: line };
    const kind = line.startsWith("+") ? "added" : line.startsWith("-") ? "removed" : "same";
    if (old > 0 || fresh > 0) {
      if (kind !== "added") old -= 1;
      if (kind !== "removed") fresh -= 1;
      return { kind, text: kind === "same" ? line.replace(/^ /, "") : line.slice(1) };
    }
    const hunk = HUNK.exec(line);
    if (hunk !== null) [old, fresh] = [Number(hunk[1] ?? 1), Number(hunk[2] ?? 1)];
    if (hunk !== null || line.startsWith("--- ") || (line.startsWith("+++ ") && lines[index - 1]?.startsWith("--- "))) return { kind: "head", text: line };
    return { kind, text: kind === "same" ? line : line.slice(1).replace(/^ /, "") };
  });
}

// Sentences of the controller and of agents, cut into what is set differently: commands in backticks, and instants.
export type ProsePart = { kind: "text"; text: string } | { kind: "code"; text: string } | { kind: "instant"; text: string; at: Date };

const SPECIAL = /(`[^`\n]+`|\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)/;

export function proseParts(text: string): ProsePart[] {
  return text
    .split(SPECIAL)
    .filter((part) => part !== "")
    .map((part) => {
      if (part.length > 2 && part.startsWith("`") && part.endsWith("`")) return { kind: "code", text: part.slice(1, -1) };
      const at = part.endsWith("Z") && SPECIAL.test(part) ? new Date(part) : null;
      return at === null || Number.isNaN(at.getTime()) ? { kind: "text", text: part } : { kind: "instant", text: part, at };
    });
}

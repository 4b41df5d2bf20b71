// Writes plain data as YAML, to read. Values that say nothing (null, empty) are left out, as people leave them out of fleet files.

const PLAIN = /^[A-Za-z_./][\w ./:@+-]*$/;
const WORDS = new Set(["true", "false", "null", "yes", "no", "on", "off", "y", "n"]);

function scalar(value: unknown): string {
  if (typeof value !== "string") return String(value);
  const plain = PLAIN.test(value) && !WORDS.has(value.toLowerCase()) && !/: |:$| $/.test(value);
  return plain ? value : JSON.stringify(value);
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

function says(value: unknown): boolean {
  if (value === null || value === undefined || value === false) return false;
  if (Array.isArray(value)) return value.length > 0;
  return !isObject(value) || Object.values(value).some(says);
}

function lines(value: Record<string, unknown>, depth: number): string[] {
  const pad = "  ".repeat(depth);
  return Object.entries(value)
    .filter(([, each]) => says(each))
    .flatMap(([key, each]) => {
      if (isObject(each)) return [`${pad}${scalar(key)}:`, ...lines(each, depth + 1)];
      if (Array.isArray(each)) {
        return each.every((item) => !isObject(item)) ? [`${pad}${scalar(key)}: [${each.map(scalar).join(", ")}]`] : [`${pad}${scalar(key)}: ${JSON.stringify(each)}`];
      }
      return [`${pad}${scalar(key)}: ${scalar(each)}`];
    });
}

export function toYaml(value: Record<string, unknown>): string {
  return `${lines(value, 0).join("\n")}\n`;
}

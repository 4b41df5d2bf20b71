// Sorting and filtering of tables. The state is text in the URL: `sort=-cpu` is by cpu, largest first.

export interface Sort {
  column: string;
  descending: boolean;
}

export function parseSort(text: string | undefined, fallback: string): Sort {
  const value = text === undefined || text === "" ? fallback : text;
  return value.startsWith("-") ? { column: value.slice(1), descending: true } : { column: value, descending: false };
}

export function nextSort(current: Sort, column: string, descendingFirst: boolean): string {
  const descending = current.column === column ? !current.descending : descendingFirst;
  return `${descending ? "-" : ""}${column}`;
}

export type SortValue = string | number | null;

const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/** Nothing sorts last in both directions; `app-2` comes before `app-10`. */
export function compare(a: SortValue, b: SortValue, descending: boolean): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
  const order = typeof a === "number" && typeof b === "number" ? a - b : collator.compare(String(a), String(b));
  return descending ? -order : order;
}

export function sortRows<R>(rows: readonly R[], value: (row: R) => SortValue, descending: boolean, tie: (row: R) => SortValue): R[] {
  return rows.toSorted((a, b) => compare(value(a), value(b), descending) || compare(tie(a), tie(b), false));
}

/** Every word of the filter is somewhere in the texts. */
export function matches(filter: string, texts: readonly (string | null | undefined)[]): boolean {
  const hay = texts.filter(Boolean).join(" ").toLowerCase();
  return filter.toLowerCase().split(/\s+/).every((word) => hay.includes(word));
}

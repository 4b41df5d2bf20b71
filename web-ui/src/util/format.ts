// Figures and times in words. Everything that a person reads as a number goes through here, so that it looks the same everywhere.

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** `1.4 GiB`: three significant digits, binary units, a no-break space before the unit. */
export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  let unit = 0;
  let size = Math.max(0, value);
  while (size >= 1023.5 && unit < BYTE_UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;
  return `${size.toFixed(digits)}\u00a0${BYTE_UNITS[unit]}`;
}

export function bytesPerSecond(value: number | null | undefined): string {
  return value === null || value === undefined ? "–" : `${bytes(value)}/s`;
}

export function percent(value: number | null | undefined, digits = 0): string {
  return value === null || value === undefined || !Number.isFinite(value) ? "–" : `${value.toFixed(digits)}\u00a0%`;
}

/** The share of a whole in percent; null when there is no whole. */
export function share(part: number | null | undefined, whole: number | null | undefined): number | null {
  return part === null || part === undefined || !whole ? null : (part / whole) * 100;
}

export function decimal(value: number | null | undefined, digits = 2): string {
  return value === null || value === undefined || !Number.isFinite(value) ? "–" : value.toFixed(digits);
}

export function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** `1 node`, `3 nodes`. */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** `app-1, app-2 and app-3`; past `limit` names: `app-1, app-2 and 5 more`. */
export function list(names: readonly string[], limit = 4): string {
  const shown = names.length > limit ? [...names.slice(0, limit - 1), `${names.length - limit + 1} more`] : [...names];
  const last = shown.pop();
  if (last === undefined) return "";
  return shown.length === 0 ? last : `${shown.join(", ")} and ${last}`;
}

const SPANS: readonly [unit: string, ms: number][] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1000],
];

/** `42 s`, `3 min 10 s`, `2 d 4 h`: at most two units. */
export function duration(ms: number): string {
  const total = Math.max(0, Math.round(ms / 1000) * 1000);
  const first = SPANS.findIndex(([, size]) => total >= size);
  if (first === -1) return "0\u00a0s";
  const [unit, size] = SPANS[first]!;
  const head = `${Math.floor(total / size)}\u00a0${unit}`;
  const next = SPANS[first + 1];
  const rest = next === undefined ? 0 : Math.floor((total % size) / next[1]);
  return rest === 0 || next === undefined ? head : `${head} ${rest}\u00a0${next[0]}`;
}

/** `now`, `12 s ago`, `3 min ago`, `in 5 h`, `2 d ago`: one unit, so that a column of them is quiet. */
export function relative(at: Date, now: Date): string {
  const ms = at.getTime() - now.getTime();
  const distance = Math.abs(ms);
  if (distance < 5000) return "now";
  const [unit, size] = SPANS.find(([, size]) => distance >= size) ?? SPANS[3]!;
  const text = `${Math.floor(distance / size)}\u00a0${unit}`;
  return ms > 0 ? `in\u00a0${text}` : `${text}\u00a0ago`;
}

/** `2026-11-22 12:31:05 UTC+01:00`: exact, sortable, with its zone. */
export function exact(at: Date): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  const offset = -at.getTimezoneOffset();
  const zone = offset === 0 ? "UTC" : `UTC${offset < 0 ? "-" : "+"}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock(at)} ${zone}`;
}

export function clock(at: Date): string {
  return [at.getHours(), at.getMinutes(), at.getSeconds()].map((value) => String(value).padStart(2, "0")).join(":");
}

/** `03:12:07` today, `22 Nov 03:12` before, `22 Nov 2025` in another year: when something happened, for a list. */
export function moment(at: Date, now: Date): string {
  if (at.toDateString() === now.toDateString()) return clock(at);
  const date = `${at.getDate()} ${at.toLocaleDateString("en-GB", { month: "short" })}`;
  return at.getFullYear() === now.getFullYear() ? `${date} ${clock(at).slice(0, 5)}` : `${date} ${at.getFullYear()}`;
}

/** As `duration`, with milliseconds below a second: a process that lives for 50 ms never began to work. */
export function shortDuration(ms: number): string {
  return ms < 1000 ? `${Math.max(0, Math.round(ms))}\u00a0ms` : duration(ms);
}

/** `Sun 22 Nov`. */
export function day(at: Date): string {
  return at.toLocaleDateString("en-GB", { weekday: "short", day: "numeric", month: "short" });
}

/** The first 12 characters of a digest or commit. */
export function short(digest: string): string {
  return digest.slice(0, 12);
}

/** `load_balancer` as `load balancer`. */
export function words(value: string): string {
  return value.replaceAll("_", " ");
}

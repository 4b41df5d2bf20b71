import { describe, expect, it } from "vitest";
import { bytes, bytesPerSecond, duration, exact, list, moment, percent, plural, relative, share, shortDuration } from "./format";

const plain = (text: string): string => text.replaceAll("\u00a0", " ");

describe("bytes", () => {
  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.00 KiB"],
    [1536, "1.50 KiB"],
    [10.3 * 1024 ** 2, "10.3 MiB"],
    [312 * 1024 ** 2, "312 MiB"],
    [1023.9 * 1024 ** 2, "1.00 GiB"],
    [4 * 1024 ** 3, "4.00 GiB"],
  ])("writes %d as %s", (value, text) => expect(plain(bytes(value))).toBe(text));

  it("shows that there is no figure", () => {
    expect(bytes(null)).toBe("–");
    expect(bytes(Number.NaN)).toBe("–");
    expect(bytesPerSecond(undefined)).toBe("–");
    expect(percent(null)).toBe("–");
  });
});

describe("moments", () => {
  const now = new Date(2026, 10, 22, 12, 0, 0);
  it.each([
    [new Date(2026, 10, 22, 3, 12, 7), "03:12:07"],
    [new Date(2026, 10, 21, 23, 59, 1), "21 Nov 23:59"],
    [new Date(2025, 10, 22, 3, 12, 7), "22 Nov 2025"],
  ])("writes %s as %s", (at, text) => expect(moment(at, now)).toBe(text));

  it("does not round a short life away", () => {
    expect(plain(shortDuration(50))).toBe("50 ms");
    expect(plain(shortDuration(62_000))).toBe("1 min 2 s");
  });
});

describe("times", () => {
  const now = new Date("2026-11-22T12:00:00Z");
  it.each([
    [-2, "now"],
    [-12, "12 s ago"],
    [-59, "59 s ago"],
    [-200, "3 min ago"],
    [-7300, "2 h ago"],
    [-200_000, "2 d ago"],
    [3700, "in 1 h"],
  ])("%d seconds away is %s", (seconds, text) => expect(plain(relative(new Date(now.getTime() + seconds * 1000), now))).toBe(text));

  it.each([
    [-5, "0 s"],
    [42_000, "42 s"],
    [190_000, "3 min 10 s"],
    [3_600_000, "1 h"],
    [187_200_000, "2 d 4 h"],
  ])("%d ms last %s", (ms, text) => expect(plain(duration(ms))).toBe(text));

  it("names the zone of an exact time", () => expect(exact(now)).toMatch(/^2026-11-2[12] \d\d:\d\d:00 UTC/));
});

describe("words", () => {
  it("joins names, and counts those that are too many", () => {
    expect(list([])).toBe("");
    expect(list(["a"])).toBe("a");
    expect(list(["a", "b", "c"])).toBe("a, b and c");
    expect(list(["a", "b", "c", "d", "e", "f"], 4)).toBe("a, b, c and 3 more");
  });
  it("counts", () => {
    expect(plural(1, "node")).toBe("1 node");
    expect(plural(2400, "process", "processes")).toBe("2,400 processes");
  });
  it("has no share of nothing", () => {
    expect(share(1, 0)).toBeNull();
    expect(share(1, 4)).toBe(25);
  });
});

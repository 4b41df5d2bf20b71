import { describe, expect, it } from "vitest";
import { proseParts } from "./prose";

describe("proseParts", () => {
  it.each([
    ["nothing special", ["text:nothing special"]],
    ["`muster node show a` says which", ["code:muster node show a", "text: says which"]],
    ["attempt 2, next try at 2026-11-22T22:21:14Z", ["text:attempt 2, next try at ", "instant:2026-11-22T22:21:14Z"]],
    ["a lone ` and 2026-11-22T99:21:14Z", ["text:a lone ` and ", "text:2026-11-22T99:21:14Z"]],
    ["", []],
  ])("%j", (text, expected) => expect(proseParts(text).map((part) => `${part.kind}:${part.text}`)).toEqual(expected));
});

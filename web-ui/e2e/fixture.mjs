// Starts the mock and a browser for a file of tests, and ends both.
import { after, afterEach, before } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { startMock } from "../mock-api/server.mjs";
import { SCREENSHOTS, launch, open } from "./browser.mjs";

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export function setup() {
  const state = { mock: null, browser: null, opened: [] };
  let close = async () => {};
  before(async () => {
    state.mock = await startMock();
    const launched = await launch();
    state.browser = launched.browser;
    close = launched.close;
  });
  afterEach(async () => {
    for (const each of state.opened.splice(0)) {
      await each.close();
      assert.deepEqual(each.mistakes, [], "the page made no mistakes");
    }
  });
  after(async () => {
    await close();
    await state.mock?.stop();
  });
  return {
    get world() {
      return state.mock.world;
    },
    /** Opens a path in a state of the fleet. */
    async visit(path, { scenario = "full", prepare = () => {}, ...options } = {}) {
      state.mock.world.reset(scenario);
      prepare(state.mock.world);
      const opened = await open(state.browser, state.mock.url, options);
      state.opened.push(opened);
      await opened.page.goto(path);
      return opened.page;
    },
  };
}

export const shot = (page, name) => page.screenshot({ path: `${SCREENSHOTS}test-${name}.png` });

/** Fails on every violation of WCAG 2.2 A and AA that axe finds. */
export async function accessible(page, what) {
  await page.evaluate(axeSource);
  const violations = await page.evaluate(async () => {
    const { violations: found } = await window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] });
    return found.map((each) => `${each.id}: ${each.help}\n${each.nodes.slice(0, 4).map((node) => `    ${node.html.slice(0, 160)} ${node.failureSummary?.split("\n").slice(1, 2).join(" ") ?? ""}`).join("\n")}`);
  });
  assert.deepEqual(violations, [], `${what} is accessible`);
}

/** Waits until a condition holds, for at most 10 s. */
export async function until(condition, what) {
  const end = Date.now() + 10_000;
  while (!(await condition())) {
    assert.ok(Date.now() < end, `timed out: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

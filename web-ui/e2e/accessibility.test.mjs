// Every page in both themes, wide and narrow: no violation of WCAG AA, nothing wider than the window, no mistake in the console.
import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, setup } from "./fixture.mjs";

const fleet = setup();
const WEB = "/applications/web";
const PAGES = {
  "/": "things need a person",
  "/nodes": "Invite a node",
  "/nodes/app-2": "What changed last",
  "/nodes/app-1?resource=sysctl:net.core.somaxconn": "somaxconn: 4096",
  "/nodes/lb-1?resource=file:/etc/nginx/sites-available/shop": "Show all",
  "/nodes/stage-1": "The whole node is set to report",
  "/nodes?convergence=failed": "app-2",
  "/applications": "What runs where",
  [WEB]: "Roll back to 2.4.0",
  [`${WEB}?tab=restarts`]: "out of memory",
  [`${WEB}?tab=releases`]: "2.3.2",
  [`${WEB}?tab=rollouts`]: "completed",
  [`${WEB}?tab=logs&environment=production`]: "caught up",
  [`${WEB}?tab=declaration`]: "dist/server.js",
  "/rollouts": "failed, rolled back",
  "/events": "counts as down",
  "/fleet-configuration": "environments",
  "/fleet-configuration?version=7": "unchanged",
  "/secrets": "STRIPE_KEY",
  "/settings": "laptop of Amara",
};
const LOOKS = [
  { name: "light, wide", width: 1440, height: 900, colorScheme: "light" },
  { name: "dark, narrow", width: 360, height: 780, colorScheme: "dark" },
];

for (const look of LOOKS) {
  for (const [path, text] of Object.entries(PAGES)) {
    test(`${path} is readable for everybody: ${look.name}`, async () => {
      const page = await fleet.visit(path, { ...look, reducedMotion: "reduce" });
      await page.getByText(text).first().waitFor();
      await accessible(page, path);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(overflow, 0, "nothing is wider than the window");
    });
  }
}

test("dialogs are readable for everybody", async () => {
  for (const [path, button] of [[`${WEB}?deploy=2.4.0`, null], ["/?invite=1", null], ["/nodes/app-1", "Revoke"], ["/nodes/app-1", "Set mode"], ["/nodes/stage-1", "Lift the mode of stage-1"], ["/nodes/app-1", "Restart"], ["/nodes/app-1", "Inspect"], ["/nodes/app-2", "Let others go on"], ["/secrets", "Set a secret"], ["/settings", "Create a token"]]) {
    const page = await fleet.visit(path, { reducedMotion: "reduce", colorScheme: "dark" });
    if (button) await page.getByRole("button", { name: button, exact: true }).first().click();
    await page.getByRole("dialog").waitFor();
    await page.getByRole("dialog").getByRole("button").last().waitFor();
    await accessible(page, `${path} ${button ?? ""}`);
  }
});

test("plans are readable for everybody", async () => {
  for (const look of LOOKS) {
    const node = await fleet.visit("/nodes/lb-1", { ...look, reducedMotion: "reduce" });
    await node.getByRole("button", { name: "Plan", exact: true }).click();
    await node.getByText("3 changes on lb-1.").waitFor();
    await node.getByText("Would change", { exact: true }).waitFor();
    await accessible(node, "the plan of a node");
    const page = await fleet.visit("/", { ...look, reducedMotion: "reduce" });
    await page.getByRole("button", { name: "Plan of production" }).click();
    await page.getByText("1 node without an answer").waitFor();
    await accessible(page, "the plan of an environment");
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0, "nothing is wider than the window");
  }
});

for (const scenario of ["empty", "calm"]) {
  test(`pages of a fleet that is ${scenario} are readable for everybody`, async () => {
    for (const path of ["/", "/nodes", "/applications", "/rollouts", "/events", "/fleet-configuration", "/secrets"]) {
      const page = await fleet.visit(path, { scenario, reducedMotion: "reduce" });
      await page.locator("main").getByText(/./).first().waitFor();
      await page.waitForLoadState("networkidle").catch(() => {});
      await accessible(page, `${scenario} ${path}`);
    }
  });
}

test("the sign-in page is readable for everybody", async () => {
  const page = await fleet.visit("/", { prepare: (world) => void (world.signedIn = false), colorScheme: "dark" });
  await page.getByRole("button", { name: "Sign in" }).waitFor();
  await accessible(page, "sign-in");
});

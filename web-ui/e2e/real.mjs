// A thin look at a dashboard that a real controller serves:
//   npm run e2e:real -- --url https://127.0.0.1:8443 --username admin --password-file FILE [--nodes 3] [--application web] [--node app-1 --host-dir DIR]
// With --host-dir, the folder that stands for / of a node whose agent runs without root, things are broken there and have to heal.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { SCREENSHOTS, launch, open } from "./browser.mjs";
import { follow } from "./live.mjs";
import { convergence } from "./real-convergence.mjs";

const { values } = parseArgs({
  options: {
    url: { type: "string" },
    username: { type: "string", default: "admin" },
    password: { type: "string" },
    "password-file": { type: "string" },
    nodes: { type: "string", default: "3" },
    application: { type: "string", default: "web" },
    node: { type: "string", default: "app-1" },
    "host-dir": { type: "string" },
  },
});
const password = values.password ?? (values["password-file"] ? readFileSync(values["password-file"], "utf8").trim() : undefined);
if (!values.url || !password) {
  console.error("usage: npm run e2e:real -- --url URL --password-file FILE [--username admin] [--nodes 3] [--application web] [--node app-1 --host-dir DIR]");
  process.exit(2);
}

const { browser, close } = await launch();
// The certificate of a new controller is issued by the fleet's own authority, which the browser does not know.
const { page, mistakes, settled } = await open(browser, values.url, { ignoreHTTPSErrors: true, reducedMotion: "reduce" });
page.setDefaultTimeout(20_000);
const step = async (what, run) => {
  await run();
  await page.screenshot({ path: `${SCREENSHOTS}real-${what.replaceAll(/\W+/g, "-")}.png` });
  console.log(`ok   ${what}`);
};

let failed = false;
try {
  await step("sign in", async () => {
    await page.goto("/");
    await page.getByLabel("User name").fill(values.username);
    await page.getByLabel("Password", { exact: true }).fill(password);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("nodes up").waitFor();
    await page.getByText("live", { exact: true }).first().waitFor();
  });
  const rows = page.getByRole("region", { name: "Nodes" }).locator("tbody tr");
  await step(`see ${values.nodes} nodes`, async () => {
    await rows.nth(Number(values.nodes) - 1).waitFor();
    assert.equal(await rows.count(), Number(values.nodes));
  });
  await step("open a node", async () => {
    const link = rows.first().getByRole("link").first();
    const name = await link.innerText();
    await link.click();
    await page.getByRole("heading", { name, exact: true }).waitFor();
    await page.getByRole("heading", { name: "Resources" }).waitFor();
    await page.getByRole("img", { name: /^CPU, latest/ }).waitFor();
  });
  await step("open the application", async () => {
    await page.goto(`/applications/${values.application}`);
    await page.getByRole("heading", { name: values.application, exact: true }).waitFor();
    await page.getByText(/processes ready/).first().waitFor();
  });
  await step("read what a deploy would do", async () => {
    await page.getByRole("tab", { name: "Releases" }).click();
    await page.getByRole("button", { name: "Deploy", exact: true }).last().click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText(/ goes from | already\. | for the first time/).waitFor();
    await dialog.getByRole("button", { name: "Cancel" }).click();
  });
  await step("follow its log", async () => {
    await page.getByRole("tab", { name: "Logs" }).click();
    await page.getByText("caught up").waitFor();
  });
  await step("read the events", async () => {
    await page.goto("/events");
    await page.getByRole("heading", { name: "Time axis" }).waitFor();
    await page.locator("main li time").first().waitFor();
  });
  if (values["host-dir"] !== undefined) {
    const live = await follow(page.context(), values.url);
    await convergence({ page, step, node: values.node, hostDir: values["host-dir"] });
    mistakes.push(...(await live.stop()));
  }
  await settled();
  assert.deepEqual(mistakes, [], "the page made no mistakes");
} catch (error) {
  failed = true;
  await page.screenshot({ path: `${SCREENSHOTS}real-failed.png` });
  console.error(`FAILED at ${page.url()}: ${error instanceof Error ? error.message : error}`);
  for (const mistake of mistakes) console.error(`  ${mistake}`);
}
await close();
process.exit(failed ? 1 : 0);

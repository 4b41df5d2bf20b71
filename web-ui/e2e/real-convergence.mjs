// Convergence as a person sees it, with a real controller and real agents: things are broken on the disk of a node, and the open
// page has to show it. `hostDir` is what stands for `/` of that node, whose agent runs without root.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { accessible } from "./fixture.mjs";

const SECRET = "PRICES_KEY";
const SECRET_VALUE = "kept-from-everybody-0451";
const PRICES = "/etc/prices.conf";
const GATED = "/etc/gated.conf";

const declared = (node, gate, timeout) => `files:
  prices-folder: {path: /srv/prices, directory: true, mode: "0750", on_removal: remove}
  prices-link: {path: /srv/prices/current, link_to: ${PRICES}, on_removal: remove}
  prices-key: {path: /etc/prices.key, secret: ${SECRET}, on_removal: remove}
  prices:
    path: ${PRICES}
    on_removal: remove
    content: |
      # who is asked
      url = https://prices.example
      timeout = ${timeout}
  gated:
    path: ${GATED}
    on_removal: remove
    content: "not before somebody says so\\n"
    validate: ls ${gate} {}
    on: {nodes: [${node}]}
`;

/** The API as the page asks it, with its session. */
function apiOf(page) {
  return (method, path, body) =>
    page.evaluate(
      async ([method, path, body]) => {
        const request = { method, headers: { "Content-Type": "application/json", "X-Muster-CSRF": "1" } };
        if (body !== null) request.body = JSON.stringify(body);
        const answer = await fetch(`/api/v1${path}`, request);
        const text = await answer.text();
        if (!answer.ok) throw new Error(`${method} ${path} answers ${answer.status}: ${text}`);
        return text === "" ? null : JSON.parse(text);
      },
      [method, path, body ?? null],
    );
}

export async function convergence({ page, step, node, hostDir }) {
  const api = apiOf(page);
  const before = (await api("GET", "/fleet-configuration")).files;
  const gate = join(hostDir, "../gate");
  const extra = (timeout = "5s") => ({ path: "e2e.yaml", content: declared(node, gate, timeout) });
  const apply = (files) => api("PUT", "/fleet-configuration", { files });
  const onHost = (path) => join(hostDir, path);
  const read = (path) => readFileSync(onHost(path), "utf8");
  const resources = page.getByRole("region", { name: "Resources" });
  const row = (name) => resources.getByRole("row", { name });
  const drawer = page.getByRole("dialog");
  const byHand = "timeout = 1h\n";
  try {
    await api("PUT", `/secrets/${SECRET}`, { value: SECRET_VALUE });
    await page.goto(`/nodes/${node}`);
    await page.getByRole("heading", { name: "Resources" }).waitFor();

    await step("see resources appear as they are declared", async () => {
      await apply([...before, extra()]);
      for (const name of [/converged directory \/srv\/prices/, /converged symlink \/srv\/prices\/current/, /converged secret_file \/etc\/prices.key/, /converged file \/etc\/prices.conf/]) await row(name).waitFor();
      assert.equal(read("/etc/prices.key").trim(), SECRET_VALUE);
    });
    await step("see why a file is not taken, and converge when it can be", async () => {
      await row(/failed file \/etc\/gated.conf/).getByText(/ls/).first().waitFor();
      await page.getByRole("heading", { level: 1 }).locator("..").getByText("1 failed").waitFor();
      // Nothing that the agent watches: it does not know of it until it is asked.
      writeFileSync(gate, "");
      await page.getByRole("button", { name: "Converge now" }).click();
      await page.getByText(`${node} was asked to converge now`).waitFor();
      await row(/converged file \/etc\/gated.conf/).waitFor();
      assert.equal(read(GATED), "not before somebody says so\n");
    });
    await step("see drift put right", async () => {
      writeFileSync(onHost(PRICES), byHand);
      await row(/converged file \/etc\/prices.conf.*corrective/).waitFor();
      assert.match(read(PRICES), /timeout = 5s/);
      await row(/prices.conf/).getByRole("button", { name: "What changed last" }).click();
      const diff = await page.getByRole("region", { name: `The last change of file:${PRICES}` }).innerText();
      assert.match(diff.replaceAll("\t", ""), /−timeout = 1h/);
    });
    await step("hold a file back for an hour", async () => {
      await row(/prices.conf/).getByRole("link").click();
      await drawer.getByRole("button", { name: "Set the mode" }).click();
      const dialog = page.getByRole("dialog", { name: `Mode of file:${PRICES}` });
      await dialog.getByLabel("Why").fill("trying another time by hand");
      await dialog.getByRole("combobox", { name: "For" }).click();
      await page.getByRole("option", { name: "1 hour" }).click();
      await dialog.getByRole("button", { name: "Set to report" }).click();
      await dialog.waitFor({ state: "detached" });
      await drawer.getByText(/It is set to report by .* \((59\smin|1\sh)/).waitFor();
      await drawer.getByText("report", { exact: true }).first().waitFor();
    });
    await step("see drift that is left alone", async () => {
      writeFileSync(onHost(PRICES), byHand);
      await drawer.getByText("drifted", { exact: true }).waitFor();
      const diff = (await drawer.getByRole("region", { name: `What differs now of file:${PRICES}` }).innerText()).replaceAll("\t", "");
      assert.match(diff, /−timeout = 1h[^]*\+timeout = 5s/);
      await page.keyboard.press("Escape");
      await drawer.waitFor({ state: "detached" });
      await page.getByRole("heading", { level: 1 }).locator("..").getByText("1 drifted").waitFor();
      await row(/drifted file .*prices.conf.*report/).getByText("content differs").waitFor();
      await looks(page, "the page of a node that has drifted");
    });
    await step("converge without changing what is held back", async () => {
      await page.getByRole("button", { name: "Converge now" }).click();
      // The answer comes after the run that was asked for.
      await page.getByRole("button", { name: "Plan", exact: true }).click();
      await page.getByText(`Nothing would change on ${node}.`).waitFor();
      await page.getByRole("region", { name: `Not in force on ${node}` }).getByText(`file:${PRICES}`).waitFor();
      assert.equal(read(PRICES), byHand);
    });
    await step("lift the mode and see it put right", async () => {
      await page.getByRole("button", { name: `Lift the mode of file:${PRICES}` }).click();
      await drawer.getByText("1 resource differs now and is put right at the next run").waitFor();
      await drawer.getByRole("button", { name: "Enforce again" }).click();
      await row(/converged file \/etc\/prices.conf/).waitFor();
      assert.match(read(PRICES), /timeout = 5s/);
      await page.getByRole("group", { name: "Modes" }).waitFor({ state: "detached" });
    });
    await step("read that a folder is in the way of a file", async () => {
      rmSync(onHost(PRICES));
      mkdirSync(onHost(PRICES));
      await row(/failed file \/etc\/prices.conf/).getByText("a folder is in the place of a file").waitFor();
      rmdirSync(onHost(PRICES));
      await page.getByRole("button", { name: "Converge now" }).click();
      await row(/converged file \/etc\/prices.conf/).waitFor();
      assert.match(read(PRICES), /timeout = 5s/);
    });
    await step("plan files that are not applied, without their secrets", async () => {
      const { id } = await api("POST", "/plans", { files: [...before, extra(`9s\n      key = ${SECRET_VALUE}`)], node });
      await page.goto(`/plans/${id}`);
      await page.getByRole("heading", { name: `Plan of ${node}` }).waitFor();
      await page.getByText("What the nodes would change if these files were applied: they are not.").waitFor();
      await page.getByText(`1 change on ${node}.`).waitFor();
      await page.getByRole("region", { name: `Would change on ${node}` }).getByText(`file:${PRICES}`).click();
      const diff = (await page.getByRole("region", { name: `What would change of file:${PRICES}` }).innerText()).replaceAll("\t", "");
      assert.match(diff, /−timeout = 5s[^]*\+timeout = 9s[^]*\+key = \[redacted\]/);
      assert.ok(!(await page.content()).includes(SECRET_VALUE), "the value is not in the page");
      assert.match(read(PRICES), /timeout = 5s/);
      await looks(page, "the page of a plan");
    });
    await step("see who waits for whom, and why", () => turns({ page, api, apply, files: [...before, extra()] }));
  } finally {
    const { mode_overrides: left } = await api("GET", `/nodes/${node}`);
    for (const { resource } of left) await api("PUT", `/nodes/${node}/mode`, { mode: "enforce", resource });
    await apply(before);
    await api("DELETE", `/secrets/${SECRET}`);
    rmSync(gate, { force: true });
  }
}

/** A change that fails on the first node of a role: the second one waits, and both are well when it is mended. */
async function turns({ page, api, apply, files }) {
  const broken = files.map((file) => ({ ...file, content: file.content.replace("script: server.js", "script: nothing.js") }));
  assert.notDeepEqual(broken, files);
  await page.goto("/");
  await page.getByText("nodes up").waitFor();
  await apply(broken);
  const list = page.getByRole("list", { name: "Turns" });
  const failed = list.getByRole("listitem").filter({ hasText: "change failed" });
  const waiting = list.getByRole("listitem").filter({ hasText: "waits to change" });
  await failed.getByText(/has no file "nothing.js"/).waitFor();
  const name = await failed.getByRole("link").first().innerText();
  await waiting.getByText(new RegExp(`^${name} failed at .*at most 1 of the 2 app_server in production may change at once`)).waitFor();
  await failed.getByRole("button", { name: "Let others go on" }).waitFor();
  await page.getByRole("list", { name: "What needs a person" }).getByText(`a change failed on node ${name}, and others of its roles wait`).waitFor();
  await looks(page, "the first page while nodes wait");
  await waiting.getByRole("link").first().click();
  const notice = page.getByRole("group", { name: "Turn" });
  await notice.getByText("Waits for its turn").waitFor();
  await notice.getByText(new RegExp(`${name} failed at`)).waitFor();
  await page.getByRole("region", { name: "Resources" }).getByRole("row", { name: /waiting application/ }).waitFor();
  await apply(files);
  await notice.waitFor({ state: "detached" });
  await page.getByRole("link", { name: "Fleet" }).first().click();
  await page.getByText("nodes converged").waitFor();
  await list.waitFor({ state: "detached" });
  assert.deepEqual((await api("GET", "/overview")).turns, []);
}

/** As it is, and in the other theme on a narrow window: readable for everybody, and nothing wider than the window. */
async function looks(page, what) {
  const size = page.viewportSize();
  await accessible(page, what);
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 360, height: 780 });
  await calm(page, "dark");
  await accessible(page, `${what}, dark and narrow,`);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0, `${what} is not wider than the window`);
  await page.setViewportSize(size);
  await page.emulateMedia({ colorScheme: "light" });
  await calm(page, "light");
}

/** Until the page has taken the theme, and no colour is on its way to another. What turns for ever does not count. */
async function calm(page, scheme) {
  await page.locator(`html[data-mantine-color-scheme=${scheme}]`).waitFor();
  await page.waitForFunction(() => document.getAnimations().every((each) => each.playState !== "running" || each.effect?.getTiming().iterations === Infinity));
}

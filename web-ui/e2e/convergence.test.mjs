// What people do about convergence: see what differs and why, hold a node back, plan, restart, let others go on, adopt a host.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setup, until } from "./fixture.mjs";

const fleet = setup();
const viewer = (world) => void (world.state.session.role = "viewer");
const row = (page, name) => page.getByRole("region", { name: "Resources" }).getByRole("row", { name });

test("every resource shows its kind, state, mode and last change; the worst first, filters in the address", async () => {
  const page = await fleet.visit("/nodes/app-1");
  await row(page, /drifted sysctl net.core.somaxconn.*report.*intentional/).waitFor();
  const first = await page.getByRole("region", { name: "Resources" }).getByRole("row").nth(1).innerText();
  assert.match(first, /drifted/);
  await row(page, /converged file .*motd.*corrective/).waitFor();
  await page.getByRole("button", { name: "Show all 26" }).click();
  await row(page, /converged application web/).waitFor();
  await page.getByRole("group", { name: "Show only" }).getByRole("button", { name: "1 waiting" }).click();
  await row(page, /waiting package nginx/).waitFor();
  await until(async () => (await page.getByRole("region", { name: "Resources" }).getByRole("row").count()) === 2, "only what waits is left");
  assert.match(page.url(), /show=waiting/);
  await page.reload();
  await row(page, /waiting package nginx/).waitFor();
});

test("what differs unfolds under its row, with signs as well as colours", async () => {
  const page = await fleet.visit("/nodes/app-1?show=corrective");
  await row(page, /motd/).getByRole("button", { name: "What changed last" }).click();
  const diff = page.getByRole("region", { name: "The last change of file:/etc/motd" });
  await diff.getByText("Managed by Muster. Changes here are put back.").waitFor();
  const text = (await diff.innerText()).replaceAll("\t", "");
  assert.match(text, /−Welcome to app-1/);
  assert.match(text, /\+Managed by Muster/);
});

test("a resource has an address, its history, and a long difference is shown in full when asked for", async () => {
  const page = await fleet.visit("/nodes/lb-1?kind=file");
  await page.getByRole("link", { name: "/etc/nginx/sites-available/shop", exact: true }).click();
  const drawer = page.getByRole("dialog");
  await drawer.getByRole("list", { name: "Changes of file:/etc/nginx/sites-available/shop" }).getByText("generation 31").waitFor();
  assert.equal(await drawer.getByText("location /p57").count(), 0);
  await drawer.getByRole("button", { name: /Show all \d+ lines/ }).click();
  await drawer.getByText("location /p57").waitFor();
  const address = page.url();
  assert.match(address, /resource=/);
  await page.keyboard.press("Escape");
  await drawer.waitFor({ state: "detached" });
  assert.match(page.url(), /kind=file/);
  await page.goto(address);
  await page.getByRole("dialog").getByText("History").waitFor();
});

test("a resource that is not there says so", async () => {
  const page = await fleet.visit("/nodes/lb-1?resource=file:/nowhere");
  await page.getByRole("dialog").getByRole("alert").getByText('there is no resource "file:/nowhere" on lb-1').waitFor();
});

test("holding a node back says what that means in numbers, wants a reason, and is lifted again", async () => {
  const page = await fleet.visit("/nodes/lb-1");
  await page.getByRole("button", { name: "Set mode" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("26 resources of 26 are held back by this.").waitFor();
  await dialog.getByText(/changes nothing, for 4\sh; then it is lifted by itself/).waitFor();
  const confirm = dialog.getByRole("button", { name: "Set to report" });
  assert.ok(await confirm.isDisabled(), "a reason is needed");
  await dialog.getByLabel("Why").fill("watching the disk");
  await confirm.click();
  const notice = page.getByRole("group", { name: "Modes" });
  await notice.getByText(/set to report by admin now: watching the disk/).waitFor();
  await notice.getByText(/3\sh 59\smin left|4\sh left/).waitFor();
  await page.getByRole("button", { name: "26 not enforced" }).waitFor();
  await notice.getByRole("button", { name: "Lift the mode of lb-1" }).click();
  await dialog.getByText("What admin set (report) is lifted").waitFor();
  await dialog.getByRole("button", { name: "Enforce again" }).click();
  await notice.waitFor({ state: "detached" });
});

test("a mode whose time is over is being lifted, not overdue", async () => {
  const set = { resource: null, mode: "report", reason: "for a moment", set_by: "amara", set_at: new Date(Date.now() - 9000).toISOString(), expires_at: new Date(Date.now() - 1000).toISOString() };
  const page = await fleet.visit("/nodes/lb-1", { prepare: ({ state }) => void (state.overrides["lb-1"] = [set]) });
  await page.getByRole("group", { name: "Modes" }).getByText("for a moment (is being lifted)").waitFor();
});

test("one resource is held back from its drawer, without closing it", async () => {
  const page = await fleet.visit("/nodes/lb-1?resource=file:/etc/motd");
  await page.getByRole("button", { name: "Set the mode" }).click();
  const dialog = page.getByRole("dialog", { name: "Mode of file:/etc/motd" });
  await dialog.getByText("ignore", { exact: true }).click();
  await dialog.getByText("Muster does not even look at file:/etc/motd").waitFor();
  await dialog.getByLabel("Why").fill("the provider writes it");
  await dialog.getByRole("button", { name: "Set to ignore" }).click();
  await page.getByRole("dialog", { name: "file:/etc/motd", exact: true }).getByText(/It is set to ignore by admin/).waitFor();
});

test("a node that waits for its turn says for whom and why; others go on when a person lets them", async () => {
  const waiting = await fleet.visit("/nodes/app-1");
  await waiting.getByRole("group", { name: "Turn" }).getByText("app-2 keeps its place because its change failed").waitFor();
  const page = await fleet.visit("/");
  const turns = page.getByRole("list", { name: "Turns" });
  await turns.getByText("waits to change").waitFor();
  await turns.getByRole("button", { name: "Let others go on" }).click();
  await page.getByRole("dialog").getByText("1 node waits in production").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Let others go on" }).click();
  await turns.getByText("changing", { exact: true }).waitFor();
  assert.equal(await turns.getByText("change failed", { exact: true }).count(), 0);
});

test("a restart says what stops, can be asked for and taken back", async () => {
  const page = await fleet.visit("/");
  await page.getByRole("list", { name: "Nodes that need a restart" }).getByRole("link", { name: "lb-1" }).click();
  const notice = page.getByRole("group", { name: "Restart" });
  await notice.getByRole("button", { name: "Restart it" }).click();
  const dialog = page.getByRole("dialog");
  assert.match(await dialog.getByLabel("Why").inputValue(), /linux-image/);
  await dialog.getByText("It waits for its turn").waitFor();
  await dialog.getByLabel("Now, without waiting for its turn").check();
  await dialog.getByText("It does not wait for its turn").waitFor();
  await dialog.getByRole("button", { name: "Restart the host" }).click();
  await notice.getByText("A restart is asked for, without waiting for its turn").waitFor();
  assert.equal(await page.getByRole("button", { name: "Restart", exact: true }).getAttribute("aria-description"), "A restart is asked for already");
  await notice.getByRole("button", { name: "Take it back" }).click();
  await notice.getByText("It has to be restarted").waitFor();
});

test("a plan of a node fills in, grouped by what would happen", async () => {
  const page = await fleet.visit("/nodes/lb-1");
  await page.getByRole("button", { name: "Plan", exact: true }).click();
  await page.getByText("0 of 1 node answered").waitFor();
  await page.getByText("3 changes on lb-1.").waitFor();
  await page.getByRole("region", { name: "Would reload, restart or run on lb-1" }).getByText("because file:/etc/nginx/sites-available/shop changes").waitFor();
  await page.getByRole("region", { name: "Would remove or release on lb-1" }).getByText("no longer declared; it stays").waitFor();
  await page.getByRole("region", { name: "Not tried or not known on lb-1" }).getByText("connection refused").waitFor();
  await page.getByRole("region", { name: "Would change on lb-1" }).getByText("file:/etc/nginx/sites-available/shop").click();
  await page.getByRole("region", { name: /What would change of/ }).getByText("listen 443 ssl http2;").waitFor();
  assert.match(page.url(), /plan=[0-9a-f-]{36}/);
});

test("a plan of an environment names the nodes that could not be asked, and what is not in force", async () => {
  const page = await fleet.visit("/");
  await page.getByRole("button", { name: "Plan of production" }).click();
  await page.getByRole("heading", { name: "Plan of production" }).waitFor();
  await page.getByText("it is down: it was not asked").waitFor();
  await page.getByText("app-1", { exact: true }).first().click();
  await page.getByRole("region", { name: "Not in force on app-1" }).getByText("sysctl:net.core.somaxconn").waitFor();
  const address = page.url();
  fleet.world.state.plans = {};
  await page.goto(address);
  await page.getByText("This plan is not kept any more").waitFor();
});

test("a plan of files that are not applied says so, and which nodes have no host yet", async () => {
  const page = await fleet.visit("/");
  await page.getByText("things need a person").waitFor();
  const id = await page.evaluate(async () => {
    const answer = await fetch("/api/v1/plans", { method: "POST", headers: { "Content-Type": "application/json", "X-Muster-CSRF": "1" }, body: JSON.stringify({ files: [] }) });
    return (await answer.json()).id;
  });
  await page.goto(`/plans/${id}`);
  await page.getByText("What the nodes would change if these files were applied: they are not.").waitFor();
  await page.getByText(/; 1 node without a host yet\.$/).waitFor();
  await page.getByText("app-3", { exact: true }).click();
  await page.getByText("no host has joined as it: everything would be made when one does").waitFor();
  assert.equal(await page.getByRole("link", { name: "app-3" }).count(), 0, "there is no page of it");
  assert.equal(await page.getByRole("button", { name: "Plan again" }).count(), 0, "the files are not here");
});

test("a change is told with its reason, which is not the state after it", async () => {
  const page = await fleet.visit("/nodes/app-1?resource=file:/etc/motd");
  const drawer = page.getByRole("dialog");
  await drawer.getByRole("list", { name: "Changes of file:/etc/motd" }).getByText("because: content differs").waitFor();
  assert.equal(await drawer.getByText("content differs", { exact: true }).count(), 0, "it is as it should be");
  await page.goto("/nodes/app-1?resource=user:amara");
  const reasons = drawer.getByText("because: is missing");
  // The last change, of which there is no difference to show, and both of the history.
  await until(async () => (await reasons.count()) === 3, "each change has its reason");
});

test("sentences of agents show commands as such, and times as those of the reader", async () => {
  const page = await fleet.visit("/nodes/app-2", { timezoneId: "Asia/Tokyo" });
  const when = row(page, /shop.conf/).locator("time[datetime='2026-11-22T22:21:14Z']");
  assert.match(await when.getAttribute("title"), /2026-11-23 07:21:14 UTC\+09:00/);
  assert.match(await when.innerText(), /07:21:14/);
});

test("a rollout says which node waits for its turn, and why", async () => {
  const page = await fleet.visit("/", {
    prepare: ({ state }) => {
      const rollout = state.rollouts.find((each) => each.status === "running");
      rollout.nodes[0] = { ...rollout.nodes[0], state: "waiting", deadline: null, reason: "1 of 1 nodes with the role app_server is changing: stage-2" };
    },
  });
  await page.getByRole("link", { name: "web to 2.5.0-rc.1" }).click();
  await page.getByRole("row", { name: /waits for its turn stage-1/ }).getByText("is changing: stage-2").waitFor();
  await page.getByText("stage-1 waits for its turn: 1 of 1 nodes").waitFor();
});

test("what happened to convergence reads in words", async () => {
  const page = await fleet.visit("/events?q=turn");
  await page.getByText("waits for its turn", { exact: true }).first().waitFor();
  await page.goto("/events?q=mode+set");
  await page.getByText("stage-1 was set to report for 4 h").waitFor();
});

test("an existing host is inspected: a fragment to copy, and what was left out", async () => {
  const page = await fleet.visit("/nodes/app-1");
  await page.getByRole("button", { name: "Inspect" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("region", { name: "app-1.yaml" }).getByText("/usr/local/bin/backup --quiet").waitFor();
  await dialog.getByText("take them over with muster adopt").waitFor();
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await dialog.getByRole("button", { name: "Copy the fragment" }).click();
  await until(async () => (await page.evaluate(() => navigator.clipboard.readText())).includes("cron_jobs:"), "the fragment is in the clipboard");
});

test("a host that does not answer an inspection says why", async () => {
  const page = await fleet.visit("/nodes/app-1", { prepare: (world) => void (world.failing = { "/nodes/app-1/inspect": 503 }) });
  await page.getByRole("button", { name: "Inspect" }).click();
  await page.getByRole("dialog").getByRole("alert").getByText("The database cannot be reached").waitFor();
});

test("convergence at a glance leads to the nodes it counts", async () => {
  const page = await fleet.visit("/");
  await page.getByRole("link", { name: "1 drifted", exact: true }).click();
  const table = page.getByRole("region", { name: "Nodes" });
  await page.getByRole("heading", { name: "Nodes", exact: true, level: 1 }).waitFor();
  await table.getByRole("link", { name: "app-1" }).waitFor();
  assert.equal(await table.getByRole("row").count(), 2);
  assert.match(page.url(), /environment=production&convergence=drifted/);
  await page.goto("/nodes?state=restart");
  await table.getByText("restart needed").waitFor();
  assert.equal(await table.getByRole("row").count(), 2);
});

test("the open page follows what the node reports", async () => {
  const page = await fleet.visit("/nodes/app-2");
  await row(page, /failed file .*shop.conf/).waitFor();
  const found = fleet.world.state.resources["app-2"].find((each) => each.status === "failed");
  Object.assign(found, { status: "converged", differs: false, diff: null, detail: "" });
  fleet.world.send({ topic: "node", name: "app-2" });
  await row(page, /converged file .*shop.conf/).waitFor();
});

test("a viewer may look and plan; what they may not do says why", async () => {
  const page = await fleet.visit("/nodes/app-2", { prepare: viewer });
  for (const [name, reason] of [
    ["Set mode", "Setting a mode needs the role operator; you are viewer"],
    ["Restart", "Restarting a host needs the role operator; you are viewer"],
    ["Inspect", "Inspecting a host needs the role operator; you are viewer"],
    ["Let others go on", "Letting others go on needs the role operator; you are viewer"],
  ]) {
    assert.equal(await page.getByRole("button", { name, exact: true }).getAttribute("aria-description"), reason);
  }
  await page.getByRole("button", { name: "Plan", exact: true }).click();
  await page.getByText("1 change on app-2.").waitFor();
  const inspect = await fleet.visit("/nodes/app-1?inspect=1", { prepare: viewer });
  await inspect.getByRole("heading", { name: "app-1" }).waitFor();
  assert.equal(await inspect.getByRole("dialog").count(), 0);
});

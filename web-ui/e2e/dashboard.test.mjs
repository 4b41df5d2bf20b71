// What people do with the dashboard, in a real browser, against the mock of the controller.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setup, shot, until } from "./fixture.mjs";

const fleet = setup();
const WEB = "/applications/web";

test("signing in leads back to the page that was asked for, and a wrong password says so", async () => {
  const page = await fleet.visit("/nodes/app-1?range=6h", { prepare: (world) => void (world.signedIn = false) });
  await page.getByLabel("User name").fill("admin");
  await page.getByLabel("Password", { exact: true }).fill("wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("the user name or the password is wrong").waitFor();
  await page.getByLabel("Password", { exact: true }).fill("correct");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "app-1" }).waitFor();
  assert.ok(page.url().endsWith("/nodes/app-1?range=6h"), page.url());
});

test("a session that ends leads to the sign-in page", async () => {
  const page = await fleet.visit("/nodes");
  await page.getByRole("link", { name: "app-1" }).waitFor();
  fleet.world.signedIn = false;
  await page.getByRole("link", { name: "Secrets" }).click();
  await page.getByRole("button", { name: "Sign in" }).waitFor();
  assert.match(page.url(), /next=%2Fsecrets/);
});

test("the first page says what is wrong and where, without scrolling", async () => {
  const page = await fleet.visit("/");
  await page.getByRole("heading", { name: "2 things need a person now, 1 more worth a look" }).waitFor();
  const last = page.getByLabel("What needs a person").getByRole("listitem").last();
  const box = await last.boundingBox();
  assert.ok(box.y + box.height < 900, "the list of what needs a person is on the first screen");
  await page.getByRole("region", { name: "Nodes" }).getByRole("link", { name: "app-2" }).click();
  await page.getByText("no space left on device").first().waitFor();
});

test("a fleet that is well says so quietly", async () => {
  const page = await fleet.visit("/", { scenario: "calm" });
  await page.getByRole("heading", { name: "All is well" }).waitFor();
  assert.equal(await page.getByLabel("What needs a person").count(), 0);
});

test("a new fleet is led from no nodes to the next step with the exact commands", async () => {
  const page = await fleet.visit("/", { scenario: "empty" });
  await page.getByText("0 of 4 done").waitFor();
  await page.getByText("muster apply -f fleet/", { exact: true }).waitFor();
  fleet.world.state.versions = [{ version: 1, author: "admin", created_at: new Date().toISOString(), files: [] }];
  fleet.world.state.missing = ["edge-7"];
  fleet.world.send({ topic: "fleet_configuration", version: 1 });
  await page.getByText("1 of 4 done").waitFor();
  await page.getByText("muster node invite edge-7").waitFor();
});

test("inviting shows the command once and waits until the node has joined", async () => {
  const page = await fleet.visit("/nodes");
  await page.getByRole("button", { name: "Invite a node" }).click();
  const dialog = page.getByRole("dialog");
  assert.equal(await dialog.getByLabel("Name of the node").inputValue(), "app-3");
  await dialog.getByRole("button", { name: "Make the invitation" }).click();
  await dialog.getByText(/^echo muster_join_/).waitFor();
  await dialog.getByText("A host that is yet to be made").click();
  await dialog.getByText(/^#cloud-config/).waitFor();
  await dialog.getByText("app-3 has joined").waitFor();
  await dialog.getByRole("link", { name: "Open the node" }).click();
  await page.getByRole("heading", { name: "app-3" }).waitFor();
});

test("a name that is taken is refused with what to do", async () => {
  const page = await fleet.visit("/nodes?invite=app-1");
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Make the invitation" }).click();
  await dialog.getByText("Revoke it first, or choose another name.").waitFor();
});

test("deploying says what will happen in numbers, then shows the rollout live to its end", async () => {
  const page = await fleet.visit(WEB);
  await page.getByRole("button", { name: "Deploy", exact: true }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("web in production goes from 2.4.1 to 2.5.0-rc.1: 2 nodes, 8 processes.").waitFor();
  await dialog.getByText("every node that was touched goes back to 2.4.1 by itself").waitFor();
  await shot(page, "deploy");
  await dialog.getByRole("button", { name: "Deploy 2.5.0-rc.1 to production" }).click();
  await page.getByRole("heading", { name: "web to 2.5.0-rc.1" }).waitFor();
  assert.match(page.url(), /\/rollouts\/[0-9a-f-]{36}$/);
  await page.getByText("Waiting until every process on app-1 is ready. Then app-2.").waitFor();
  await page.getByText("Every node that could be reached runs 2.5.0-rc.1.").waitFor({ timeout: 15_000 });
  assert.equal(await page.getByRole("progressbar").getAttribute("aria-valuenow"), "2");
});

test("aborting a rollout says which nodes go back", async () => {
  const page = await fleet.visit("/");
  await page.getByRole("link", { name: "web to 2.5.0-rc.1" }).click();
  await page.getByRole("button", { name: "Abort" }).click();
  await page.getByRole("dialog").getByText("1 node (stage-1) goes back to 2.4.1").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Abort and go back" }).click();
  await page.getByText("It was stopped by a person.").waitFor();
});

test("rolling back names the release that ran before", async () => {
  const page = await fleet.visit(WEB);
  await page.getByRole("button", { name: "Roll back to 2.4.0" }).click();
  await page.getByRole("dialog").getByText("web in production goes from 2.4.1 to 2.4.0").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Roll back to 2.4.0" }).click();
  await page.getByRole("heading", { name: "web back to 2.4.0" }).waitFor();
});

test("revoking wants the name and says what will happen to what", async () => {
  const page = await fleet.visit("/nodes/app-1");
  await page.getByRole("button", { name: "Revoke" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("6 processes of web and api keep running on the host").waitFor();
  const confirm = dialog.getByRole("button", { name: "Revoke the node" });
  assert.ok(await confirm.isDisabled());
  await dialog.getByLabel(/Type app-1/).fill("app-1");
  await confirm.click();
  await page.getByText("The identity of this node was withdrawn").waitFor();
  await page.getByRole("button", { name: "Remove" }).waitFor();
});

test("a button that cannot be used says why", async () => {
  const page = await fleet.visit("/nodes/app-1", { prepare: (world) => void (world.state.session.role = "viewer") });
  const button = page.getByRole("button", { name: "Converge now" });
  await button.waitFor();
  assert.equal(await button.getAttribute("aria-description"), "Converging a node needs the role operator; you are viewer");
});

test("logs stream, pause, filter and tell where live begins", async () => {
  const page = await fleet.visit(`${WEB}?tab=logs&environment=production`);
  await page.getByText("caught up – live from here").waitFor();
  const log = page.getByRole("log");
  await page.getByRole("button", { name: "Pause" }).click();
  const lines = await log.locator("time").count();
  await page.getByRole("button", { name: /Resume \(\d+ new\)/ }).waitFor();
  assert.equal(await log.locator("time").count(), lines, "a paused log stands still");
  await page.getByLabel("Filter by regular expression").fill("order placed.*MUG");
  await until(async () => (await log.locator("time").count()) < lines, "the filter leaves lines out");
  assert.ok((await log.locator("mark").count()) > 0, "what matches is marked");
  assert.match(page.url(), /filter=order\+placed/);
  await page.getByLabel("Filter by regular expression").fill("(");
  await page.getByText(/Unterminated group/).waitFor();
});

test("rows change in place when the fleet reports", async () => {
  const page = await fleet.visit("/", { scenario: "calm" });
  const table = page.getByRole("region", { name: "Nodes" });
  await table.getByRole("link", { name: "lb-1" }).waitFor();
  const before = await table.getByRole("row").allInnerTexts();
  Object.assign(fleet.world.state.nodes.find((node) => node.name === "lb-1"), { liveness: "down" });
  fleet.world.send({ topic: "node", name: "lb-1" });
  await table.getByRole("row", { name: /lb-1.*down/ }).waitFor();
  const after = await table.getByRole("row").allInnerTexts();
  assert.deepEqual(after.map((text) => text.split(/\s/)[0]), before.map((text) => text.split(/\s/)[0]), "no row has moved");
});

test("a lost connection says so and since when, and is forgotten when it is back", async () => {
  const page = await fleet.visit("/");
  await page.getByText("live", { exact: true }).first().waitFor();
  fleet.world.liveRefused = true;
  fleet.world.cutLive();
  await page.getByText(/Not live since \d\d:\d\d:\d\d/).waitFor();
  fleet.world.liveRefused = false;
  await page.getByRole("button", { name: "Connect now" }).click();
  await until(async () => (await page.getByText(/Not live since/).count()) === 0, "the banner goes");
});

test("an error says why and what to do, and trying again helps", async () => {
  const page = await fleet.visit("/", { prepare: (world) => void (world.failing = { "/overview": 503 }) });
  await page.getByRole("alert").getByText("The database cannot be reached").waitFor({ timeout: 15_000 });
  await page.getByText("applications keep running meanwhile").waitFor();
  const again = page.getByRole("button", { name: "Try again" });
  const asked = page.waitForRequest(/\/overview/);
  await again.click();
  await asked;
  fleet.world.failing = {};
  // News of the fleet makes the page ask by itself: it may be well before the button is reached.
  const well = page.getByRole("heading", { name: /things need a person/ });
  await Promise.any([again.click(), well.waitFor()]);
  await well.waitFor();
});

test("a slow controller shows skeletons, not an empty page", async () => {
  const page = await fleet.visit("/nodes", { prepare: (world) => void (world.latencyMs = 1500) });
  await page.getByRole("status", { name: "Loading" }).first().waitFor();
  await page.getByRole("link", { name: "app-1" }).waitFor();
});

test("sort and filter stand in the URL and survive a reload", async () => {
  const page = await fleet.visit("/nodes");
  await page.getByRole("button", { name: "CPU" }).click();
  await page.getByLabel("Name, role").fill("app");
  await until(() => /sort=-cpu/.test(page.url()) && /q=app/.test(page.url()), "the URL follows");
  await page.reload();
  const names = page.getByRole("region", { name: "Nodes" }).getByRole("row").locator("td:first-child a");
  await names.first().waitFor();
  assert.deepEqual(await names.allInnerTexts(), ["app-2", "app-1", "stage-1"]);
});

test("the keyboard reaches everything", async () => {
  const page = await fleet.visit("/");
  await page.getByRole("heading", { name: /things need/ }).waitFor();
  await page.keyboard.press("g");
  await page.keyboard.press("n");
  await page.getByRole("heading", { name: "Nodes" }).first().waitFor();
  await page.keyboard.press("g");
  await page.keyboard.press("e");
  await page.getByRole("heading", { name: "Events" }).waitFor();
  await page.keyboard.press("/");
  await page.getByRole("combobox", { name: "Search" }).fill("stage");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "stage-1" }).waitFor();
  await page.keyboard.press("?");
  await page.getByRole("dialog").getByText("Keyboard and help").waitFor();
});

test("events filter by what they are about, in the URL", async () => {
  const page = await fleet.visit("/events?node=app-2");
  await page.getByText("api #1 on app-2 exited").waitFor();
  assert.equal(await page.getByText("data-1 has missed").count(), 0);
});

test("the fleet configuration shows its files and what a version changed", async () => {
  const page = await fleet.visit("/fleet-configuration");
  await page.getByText("ordered, not delivered").waitFor();
  await page.getByRole("link", { name: /Version 7/ }).click();
  await page.getByRole("region", { name: "Changes of applications/web.yaml" }).getByText("4", { exact: true }).first().waitFor();
});

test("secrets are set without ever being shown, and deleted by name", async () => {
  const page = await fleet.visit("/secrets");
  await page.getByRole("button", { name: "Set a secret" }).click();
  await page.getByRole("dialog").getByLabel("Name").fill("API_KEY");
  await page.getByRole("dialog").getByLabel("Value").fill("hush-hush");
  await page.getByRole("dialog").getByRole("button", { name: "Set the secret" }).click();
  await page.getByRole("cell", { name: "API_KEY" }).waitFor();
  assert.equal(await page.getByText("hush-hush").count(), 0);
});

test("a token shows its secret once", async () => {
  const page = await fleet.visit("/settings");
  await page.getByRole("button", { name: "Create a token" }).click();
  await page.getByLabel("What it is for").fill("ci of shop");
  await page.getByRole("button", { name: "Create the token" }).click();
  await page.getByText(/^muster_api_/).waitFor();
  await page.getByRole("button", { name: "I have copied it" }).click();
  await page.getByRole("cell", { name: "ci of shop" }).waitFor();
  assert.equal(await page.getByText(/^muster_api_/).count(), 0);
});

test("the theme is kept over a reload, without a flash", async () => {
  const page = await fleet.visit("/settings", { colorScheme: "light" });
  await page.getByText("Dark", { exact: true }).click();
  await page.reload();
  assert.equal(await page.evaluate(() => document.documentElement.dataset.mantineColorScheme), "dark");
});

for (const [path, ready] of [
  ["/", (page) => page.getByRole("region", { name: "Nodes" }).getByRole("link", { name: "lb-1" })],
  ["/nodes/app-1", (page) => page.getByRole("region", { name: "Resources" }).getByRole("link", { name: "net.core.somaxconn" })],
]) {
  test(`the page does not move while it loads: ${path}`, async () => {
    const page = await fleet.visit(path, { prepare: (world) => void (world.latencyMs = 300) });
    await ready(page).waitFor();
    const shift = await page.evaluate(
      () =>
        new Promise((done) => {
          let sum = 0;
          new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) if (!entry.hadRecentInput) sum += entry.value;
          }).observe({ type: "layout-shift", buffered: true });
          setTimeout(() => done(sum), 300);
        }),
    );
    assert.ok(shift < 0.1, `the layout shifted by ${shift}`);
  });
}

test("why a process restarted is one line, and its last words are one click away", async () => {
  const page = await fleet.visit(`${WEB.replace("web", "api")}?tab=restarts`);
  const list = page.getByRole("list", { name: "Restarts" });
  const newest = list.getByRole("listitem").first();
  await newest.getByText("exited with code 1 after 1.2 s: Error: no route to data-1").waitFor();
  await newest.getByText("exit code 1", { exact: true }).waitFor();
  const stderr = newest.getByRole("region", { name: "Last lines of standard error" });
  assert.equal(await stderr.isVisible(), false);
  await newest.getByText("exit code 1", { exact: true }).click();
  await stderr.getByText("at Pool.connect").waitFor();
  await newest.getByText("after 7 automatic restarts").waitFor();
  assert.ok((await newest.innerText()).includes("with password [redacted]"));
  await newest.getByRole("link", { name: "app-2" }).click();
  await page.getByRole("region", { name: "Restarts" }).getByText("out of memory", { exact: true }).waitFor();
  await shot(page, "restarts");
});

test("a process that ends appears in the open list by itself", async () => {
  const page = await fleet.visit(`${WEB}?tab=restarts`);
  const list = page.getByRole("list", { name: "Restarts" });
  await list.getByText("out of memory", { exact: true }).waitFor();
  const before = await list.getByRole("listitem").count();
  fleet.world.state.processEvents.unshift({ ...fleet.world.state.processEvents[0], sequence: 2000, application: "web", at: new Date().toISOString(), reason: "exited with code 137 just now" });
  fleet.world.say("process.exited", "warning", "web #1: exited with code 137 just now", { application: "web", node: "app-2" });
  await list.getByText("exited with code 137 just now").waitFor();
  assert.equal(await list.getByRole("listitem").count(), before + 1);
});

test("restarts that are not there, or cannot be read, say so", async () => {
  const page = await fleet.visit("/applications/reports?tab=restarts");
  await page.getByText("No process has ended by itself or was restarted").waitFor();
  const broken = await fleet.visit(`${WEB}?tab=restarts`, { prepare: (world) => void (world.failing = { "/process-events": 503 }) });
  await broken.getByRole("alert").getByText("The database cannot be reached").waitFor();
  fleet.world.failing = {};
  await broken.getByRole("button", { name: "Try again" }).click();
  await broken.getByText("out of memory", { exact: true }).waitFor();
});

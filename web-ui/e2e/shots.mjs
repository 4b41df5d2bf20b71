// Screenshots of every page in both themes, wide and narrow, and in every state, for a person to look at.
import { startMock } from "../mock-api/server.mjs";
import { SCREENSHOTS, launch, open } from "./browser.mjs";

const only = process.argv[2];
const mock = await startMock({ scenario: "full" });
const { browser, close } = await launch();

async function shoot(name, path, options = {}, act = async () => {}) {
  if (only && !name.includes(only)) return;
  const { page, mistakes, close: done } = await open(browser, mock.url, options);
  await page.goto(path);
  await page.waitForLoadState("load");
  await page.waitForTimeout(options.wait ?? 700);
  await act(page);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  await page.screenshot({ path: `${SCREENSHOTS}${name}.png`, fullPage: options.fullPage ?? false });
  if (overflow > 0) console.log(`${name}: page is ${overflow} px too wide`);
  for (const mistake of mistakes) console.log(`${name}: ${mistake}`);
  await done();
}

const WEB = "/applications/web";
const failed = mock.world.state.rollouts.find((rollout) => rollout.status === "rolled_back").id;
const running = mock.world.state.rollouts.find((rollout) => rollout.status === "running").id;
const PAGES = {
  fleet: "/",
  nodes: "/nodes",
  node: "/nodes/app-2?range=6h",
  "node-drifted": "/nodes/app-1",
  "node-held": "/nodes/stage-1",
  "node-restart": "/nodes/lb-1",
  applications: "/applications",
  application: WEB,
  restarts: `${WEB}?tab=restarts`,
  releases: `${WEB}?tab=releases`,
  logs: `${WEB}?tab=logs&environment=production`,
  rollouts: "/rollouts",
  "rollout-failed": `/rollouts/${failed}`,
  "rollout-running": `/rollouts/${running}`,
  events: "/events",
  configuration: "/fleet-configuration",
  "configuration-diff": "/fleet-configuration?version=7",
  secrets: "/secrets",
  settings: "/settings",
};
for (const [name, path] of Object.entries(PAGES)) {
  await shoot(`${name}-light`, path, { fullPage: true });
  await shoot(`${name}-dark`, path, { colorScheme: "dark", fullPage: true });
  await shoot(`${name}-narrow`, path, { width: 360, height: 780, colorScheme: name.length % 2 ? "dark" : "light", fullPage: true });
}
await shoot("fleet-wide", "/", { width: 2560, height: 1300 });
await shoot("node-wide", "/nodes/app-1?range=24h", { width: 2560, height: 1300, colorScheme: "dark" });
await shoot("deploy-dialog", `${WEB}?deploy=2.4.1`, {});
await shoot("revoke-dialog", "/nodes/app-1", {}, (page) => page.getByRole("button", { name: "Revoke" }).click().then(() => page.waitForTimeout(300)));
const RESOURCE = "/nodes/app-1?resource=sysctl:net.core.somaxconn";
for (const [look, options] of Object.entries({ light: {}, dark: { colorScheme: "dark" }, narrow: { width: 360, height: 780 } })) {
  await shoot(`resource-${look}`, RESOURCE, options);
  await shoot(`resource-diff-${look}`, "/nodes/lb-1?resource=file:/etc/nginx/sites-available/shop", options);
  await shoot(`plan-node-${look}`, "/nodes/lb-1", { ...options, fullPage: true }, (page) => page.getByRole("button", { name: "Plan", exact: true }).click().then(() => page.waitForTimeout(1200)));
  await shoot(`plan-fleet-${look}`, "/", { ...options, fullPage: true }, (page) => page.getByRole("button", { name: "Plan of production" }).click().then(() => page.waitForTimeout(1300)));
  await shoot(`mode-dialog-${look}`, "/nodes/app-1", options, (page) => page.getByRole("button", { name: "Set mode", exact: true }).click().then(() => page.waitForTimeout(300)));
  await shoot(`restart-dialog-${look}`, "/nodes/app-1", options, (page) => page.getByRole("button", { name: "Restart", exact: true }).click().then(() => page.waitForTimeout(300)));
  await shoot(`inspect-dialog-${look}`, "/nodes/app-1?inspect=1", options);
  await shoot(`turn-dialog-${look}`, "/nodes/app-2", options, (page) => page.getByRole("button", { name: "Let others go on" }).click().then(() => page.waitForTimeout(300)));
}
await shoot("invite-dialog", "/?invite=1", { colorScheme: "dark" });
await shoot("palette", "/", {}, async (page) => {
  await page.keyboard.press("/");
  await page.waitForTimeout(300);
  await page.keyboard.type("app");
});
await shoot("help", "/", { colorScheme: "dark" }, (page) => page.keyboard.press("?").then(() => page.waitForTimeout(300)));
await shoot("menu-narrow", "/", { width: 360, height: 780 }, (page) => page.getByRole("button", { name: "More" }).click().then(() => page.waitForTimeout(400)));

mock.world.reset("calm");
await shoot("calm-light", "/");
await shoot("calm-dark", "/", { colorScheme: "dark" });
mock.world.reset("empty");
for (const [name, path] of Object.entries({ fleet: "/", nodes: "/nodes", applications: "/applications", rollouts: "/rollouts", events: "/events", configuration: "/fleet-configuration", secrets: "/secrets" })) {
  await shoot(`empty-${name}`, path, { colorScheme: name.length % 2 ? "dark" : "light" });
}
await shoot("empty-narrow", "/", { width: 360, height: 780 });
mock.world.reset("full");
mock.world.failing = { "/overview": 503, "/nodes": 503 };
await shoot("error-fleet", "/", { wait: 3500 });
await shoot("error-node", "/nodes/app-1", { colorScheme: "dark", wait: 3500 });
mock.world.reset("full");
mock.world.latencyMs = 8000;
await shoot("loading-fleet", "/");
await shoot("loading-node", "/nodes/app-1", { colorScheme: "dark" });
mock.world.reset("full");
await shoot("lost", "/", {}, async (page) => {
  mock.world.liveRefused = true;
  mock.world.cutLive();
  await page.waitForTimeout(4000);
});
mock.world.reset("full");
mock.world.signedIn = false;
await shoot("sign-in", "/");
await shoot("sign-in-wrong", "/", { colorScheme: "dark" }, async (page) => {
  await page.getByLabel("User name").fill("admin");
  await page.getByLabel("Password", { exact: true }).fill("wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForTimeout(400);
});
await close();
await mock.stop();
process.exit(0);

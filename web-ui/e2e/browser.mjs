// A browser for the tests: Debian's Chromium, found by CHROMIUM or at its usual place. Nothing is downloaded.
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { answerMismatches } from "./contract.mjs";

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--font-render-hinting=none"];
export const SCREENSHOTS = new URL("./screenshots/", import.meta.url).pathname;

export async function launch() {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  if (!existsSync(executablePath)) throw new Error(`no browser at ${executablePath}: apt-get install chromium, or set CHROMIUM`);
  mkdirSync(SCREENSHOTS, { recursive: true });
  const profile = mkdtempSync(join(tmpdir(), "muster-e2e-"));
  const browser = await chromium.launch({ executablePath, args: [...FLAGS, `--crash-dumps-dir=${profile}`], headless: true });
  return {
    browser,
    close: async () => {
      await browser.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

/**
 * A page that fails the test on errors of its scripts, on violations of the content security policy, and on answers that are not
 * as the API's document says. `mistakes` holds them all once `settled()`.
 */
export async function open(browser, baseURL, { width = 1440, height = 900, colorScheme = "light", reducedMotion = "no-preference", ...rest } = {}) {
  const context = await browser.newContext({ baseURL, viewport: { width, height }, colorScheme, reducedMotion, deviceScaleFactor: 1, ...rest });
  const page = await context.newPage();
  const mistakes = [];
  const answers = new Set();
  page.on("response", (response) => {
    const reading = compare(response).then((found) => {
      answers.delete(reading);
      mistakes.push(...found);
    });
    answers.add(reading);
  });
  page.on("pageerror", (error) => mistakes.push(`script: ${error.message}`));
  page.on("console", (message) => {
    const text = message.text();
    // Answers that a test asks for on purpose are logged by the browser itself.
    if (message.type() === "error" && !/Failed to load resource|net::ERR/.test(text)) mistakes.push(`console: ${text}`);
  });
  const settled = () => Promise.all(answers);
  return { page, mistakes, settled, close: () => settled().then(() => context.close()) };
}

async function compare(response) {
  const { pathname } = new URL(response.url());
  if (!pathname.startsWith("/api/v1/") || !response.headers()["content-type"]?.startsWith("application/json")) return [];
  let body;
  try {
    body = await response.json();
  } catch {
    // The page went elsewhere before the answer was whole.
    return [];
  }
  return answerMismatches(response.request().method(), pathname, response.status(), body);
}

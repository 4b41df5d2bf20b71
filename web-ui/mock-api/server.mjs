// Serves the built dashboard with the content security policy of the controller, and the API of the mock.
import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { Refused } from "./refuse.mjs";
import { ROUTES } from "./routes.mjs";
import { streamLogs } from "./logs.mjs";
import { World } from "./world.mjs";

const CSP = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2" };
// Another folder than the usual one, to test a build that is kept elsewhere.
const DIST = process.env.MUSTER_UI_DIST ?? new URL("../dist/", import.meta.url).pathname;

const PATTERNS = ROUTES.map(([method, path, handler, status = 200]) => ({
  method,
  handler,
  status,
  pattern: new RegExp(`^${path.replaceAll(/:(\w+)/g, "(?<$1>[^/]+)")}$`),
}));

function json(response, status, body, type = "application/json") {
  response.writeHead(status, { "Content-Type": type, "Cache-Control": "no-store" });
  response.end(body === undefined ? "" : JSON.stringify(body));
}

const refuse = (response, error) => json(response, error.problem.status, error.problem, "application/problem+json");

async function readJson(request) {
  let text = "";
  for await (const chunk of request) text += chunk;
  return text === "" ? undefined : JSON.parse(text);
}

function live(world, request, response) {
  if (world.liveRefused) return refuse(response, new Refused(503, "unavailable", "Not available", "the controller is stopping"));
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  response.write(": hello\n\n");
  world.clients.add(response);
  request.on("close", () => world.clients.delete(response));
}

async function answer(world, request, response, path, query) {
  if (path === "/session" && request.method === "POST") {
    const body = await readJson(request);
    if (body.password !== "correct") throw new Refused(401, "wrong_credentials", "Not signed in", "the user name or the password is wrong", "After 5 wrong passwords the next try has to wait.");
    world.signedIn = true;
    response.setHeader("Set-Cookie", "muster_session=mock; HttpOnly; SameSite=Strict; Path=/");
    return json(response, 200, world.state.session);
  }
  if (!world.signedIn) throw new Refused(401, "unauthenticated", "Not signed in", "this needs a session or an API token", "Sign in.");
  if (path === "/live") return live(world, request, response);
  const failing = Object.entries(world.failing).find(([prefix]) => path.startsWith(prefix));
  if (failing) throw new Refused(failing[1], "database_unavailable", "The database cannot be reached", "connecting to PostgreSQL failed: connection refused", "Look at the log of the controller; applications keep running meanwhile.");
  if (request.method !== "GET" && request.headers["x-muster-csrf"] !== "1") throw new Refused(403, "csrf", "Refused", "the header X-Muster-CSRF is missing");
  const logs = /^\/applications\/([^/]+)\/logs$/.exec(path);
  if (logs) return streamLogs(world, logs[1], query, request, response);
  const found = PATTERNS.map((route) => ({ route, match: route.method === request.method ? route.pattern.exec(path) : null })).find(({ match }) => match);
  if (!found) throw new Refused(404, "not_found", "Not found", `there is no operation ${request.method} ${path}`);
  const parameters = Object.fromEntries(Object.entries(found.match.groups ?? {}).map(([key, value]) => [key, decodeURIComponent(value)]));
  const body = request.method === "GET" ? undefined : await readJson(request);
  json(response, found.route.status, found.route.handler(world, parameters, query, body));
}

function asset(path, response) {
  const file = join(DIST, normalize(path));
  const found = file.startsWith(DIST) && extname(file) !== "" && existsSync(file) ? file : join(DIST, "index.html");
  response.writeHead(200, { "Content-Type": TYPES[extname(found)] ?? "application/octet-stream", "Content-Security-Policy": CSP, "Cache-Control": "no-cache" });
  createReadStream(found).pipe(response);
}

/** Starts on a free port (or `port`); `world` is for tests to look into and to change. */
export async function startMock({ scenario = "full", port = 0, built = true } = {}) {
  if (built && !existsSync(join(DIST, "index.html"))) throw new Error(`there is no built dashboard in ${DIST}: npm run build`);
  const world = new World(scenario);
  const server = createServer(async (request, response) => {
    const url = new URL(request.url, "http://mock");
    if (!url.pathname.startsWith("/api/v1/")) return asset(url.pathname, response);
    try {
      if (world.latencyMs > 0 && url.pathname !== "/api/v1/session") await new Promise((done) => setTimeout(done, world.latencyMs));
      await answer(world, request, response, url.pathname.slice("/api/v1".length), Object.fromEntries(url.searchParams));
    } catch (error) {
      if (error instanceof Refused) refuse(response, error);
      else {
        console.error(error);
        json(response, 500, { type: "/problems/internal", title: "Internal error", status: 500, code: "internal", detail: String(error) }, "application/problem+json");
      }
    }
  });
  await new Promise((done) => server.listen(port, "127.0.0.1", done));
  return {
    world,
    url: `http://127.0.0.1:${server.address().port}`,
    stop: () => {
      world.stop();
      server.closeAllConnections();
      return new Promise((done) => server.close(done));
    },
  };
}

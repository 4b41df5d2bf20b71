// A log that looks like one of a web application: past lines of every node, then live ones.
const PATHS = ["/", "/cart", "/api/products?page=2", "/checkout", "/healthz", "/img/logo.svg", "/api/orders/18423"];

function line(process, at, index) {
  const path = PATHS[index % PATHS.length];
  const bad = index % 23 === 11;
  const text = bad
    ? "Error: upstream payment timed out after 3000 ms\n    at Timeout.<anonymous> (/srv/app/dist/payment.js:88:19)".split("\n")[index % 2]
    : index % 17 === 4
      ? `{"level":"info","msg":"order placed","order":${18_400 + index},"total":"49.90","currency":"EUR","items":[{"sku":"TS-1180-M","count":2},{"sku":"MUG-02","count":1}]}`
      : `\u001b[32mGET\u001b[0m ${path} 200 ${(3 + ((index * 7) % 40)).toFixed(0)} ms`;
  return { type: "line", at: new Date(at).toISOString(), node: process.node, instance: process.instance, stream: bad ? "err" : "out", line: text };
}

export function streamLogs(world, application, query, request, response) {
  response.writeHead(200, { "Content-Type": "application/x-ndjson", "Cache-Control": "no-store" });
  const write = (message) => response.write(`${JSON.stringify(message)}\n`);
  const processes = world.state.processes.filter((process) => process.application === application && process.environment === query.environment && process.state === "ready");
  const lines = Math.min(Number(query.lines ?? 100), 40);
  for (const process of processes) {
    for (let i = lines; i > 0; i -= 1) write(line(process, Date.now() - i * 1700 - process.instance * 130, i * (process.instance + 1)));
  }
  if (world.state.nodes.some((node) => node.name === "app-2" && node.liveness === "down")) write({ type: "problem", node: "app-2", message: "is down: its past lines cannot be read" });
  write({ type: "caught_up" });
  if (query.follow !== "true") return response.end();
  let index = 1000;
  const timer = setInterval(() => {
    index += 1;
    const process = processes[index % Math.max(1, processes.length)];
    if (process) write(line(process, Date.now(), index));
  }, 350);
  request.on("close", () => clearInterval(timer));
}

// What the nodes of the mock have on them: resources, their differences, and what was changed of them.
const MIN = 60;
const HOUR = 3600;
const DAY = 86_400;
const start = Date.now();
const ago = (seconds) => new Date(start - seconds * 1000).toISOString();
const later = (seconds) => new Date(Date.now() + seconds * 1000).toISOString();

const MOTD = "--- /etc/motd\n+++ /etc/motd\n@@ -1 +1 @@\n-Welcome to app-1, do not reboot on Fridays\n+Managed by Muster. Changes here are put back.\n";
const NGINX = `--- /etc/nginx/sites-available/shop\n+++ /etc/nginx/sites-available/shop\n@@ -1,64 +1,66 @@\n server {\n-    listen 80;\n+    listen 443 ssl http2;\n+    ssl_certificate /etc/muster/certificates/shop.example/fullchain.pem;\n+    ssl_certificate_key /etc/muster/certificates/shop.example/key.pem;\n     server_name shop.example;\n${Array.from({ length: 58 }, (_, i) => `     location /p${i} { proxy_pass http://web; }`).join("\n")}\n }\n`;
const SYSCTL = "net.core.somaxconn: 4096 -> 1024\n--- /dev/null\n+++ /etc/sysctl.d/60-muster-net.core.somaxconn.conf\n@@ -0,0 +1 @@\n+net.core.somaxconn = 1024\n";

const one = (key, detail, seconds, over = {}) => ({
  key,
  kind: key.split(":")[0],
  status: "converged",
  mode: "enforce",
  detail,
  differs: false,
  reported_at: ago(20),
  changed_at: ago(seconds),
  change: "intentional",
  change_detail: null,
  diff: null,
  change_diff: null,
  ...over,
});

function set(list, key, over) {
  Object.assign(list.find((each) => each.key === key), over);
}

/** In the order in which an agent applies them. */
export function resources(node) {
  const all = [
    one("hostname:hostname", node, 9 * DAY),
    one("apt_repository:nodesource", "", 9 * DAY),
    ...["nginx", "stunnel4", "unattended-upgrades", "chrony", "logrotate", "htop"].map((name) => one(`package:${name}`, `${name} is installed`, 9 * DAY, { changed_at: null, change: null })),
    one("os_updates:security", "security updates, daily", 9 * DAY),
    one("group:deploy", "", 9 * DAY, { changed_at: null, change: null }),
    one("user:amara", "", 9 * DAY, { change_detail: "is missing" }),
    one("authorized_key:amara", "ssh-ed25519, amara@laptop", 9 * DAY),
    one("directory:/srv/web", "", 9 * DAY),
    one("file:/etc/motd", "", 3 * HOUR, { change: "corrective", change_detail: "content differs", change_diff: MOTD }),
    one("file:/etc/security/limits.d/shop.conf", "", 9 * DAY, { change_detail: "is missing" }),
    one("symlink:/srv/web/shared", "", 9 * DAY),
    one("sysctl:net.core.somaxconn", "", 9 * DAY),
    one("logrotate:shop", "", 9 * DAY),
    one("cron_job:vacuum", "0 3 * * *", 9 * DAY),
    one("sshd:sshd", "", 9 * DAY, { change_detail: "the server does not read its file" }),
    one("firewall:firewall", "default deny, 4 rules", 2 * DAY, { change_detail: "1 rule is missing", change_diff: "+ allow 443/tcp\n" }),
    one("service:chrony", "enabled and running", 9 * DAY, { changed_at: null, change: null }),
    one("service:ssh", "enabled and running", 9 * DAY, { changed_at: null, change: null }),
    one("nodejs:22", "22.11.0 of the host satisfies 22", 9 * DAY),
  ];
  if (node.startsWith("app")) {
    all.push(one("application:web", "", 2 * DAY, { change_detail: "release 2.4.1 is not on this node" }), one("application:api", "", 5 * DAY));
  }
  if (node === "app-1") {
    set(all, "package:nginx", { status: "waiting", differs: true, diff: "version: 1.22.1-9 -> 1.22.1-9+deb12u1\n", detail: "waits for its turn: app-2 keeps its place" });
    set(all, "sysctl:net.core.somaxconn", { status: "drifted", mode: "report", differs: true, diff: SYSCTL, detail: "is \"4096\" instead of \"1024\"" });
  }
  if (node === "app-2") {
    set(all, "file:/etc/security/limits.d/shop.conf", { status: "failed", differs: true, diff: "content: nothing -> 44 bytes\n", detail: "could not write /etc/security/limits.d/shop.conf: no space left on device (os error 28); attempt 3, next try at 2026-11-22T22:21:14Z", changed_at: null, change: null, change_detail: null });
    set(all, "application:api", { status: "skipped", detail: "needs file:/etc/security/limits.d/shop.conf, which failed" });
  }
  if (node === "lb-1") {
    all.push(one("file:/etc/nginx/sites-available/shop", "", 5 * HOUR, { change_detail: "content differs", change_diff: NGINX }), one("service:nginx", "enabled and running", 5 * HOUR, { change_detail: "file:/etc/nginx/sites-available/shop changed" }));
  }
  if (node === "stage-1") {
    set(all, "directory:/srv/web", { status: "unsupported", detail: "the agent runs without root: owner root cannot be set", changed_at: null, change: null });
    for (const each of all) each.mode = "report";
  }
  return all;
}

/** The same node, converged and enforced. */
export const calmResources = (node) => resources(node).map((each) => ({ ...each, status: "converged", mode: "enforce", differs: false, diff: null, detail: each.status === "converged" ? each.detail : "" }));

export function counts(list) {
  const count = (...words) => list.filter((each) => words.includes(each.status)).length;
  const failed = count("failed", "skipped");
  const drifted = count("drifted");
  return { resource_count: list.length, failed_count: failed, drifted_count: drifted, waiting_count: count("waiting"), problem_count: failed + drifted };
}

/** What the list shows of a resource. */
export function listed(resource) {
  const state = { ...resource };
  delete state.diff;
  delete state.change_diff;
  return state;
}

export function changesOf(list, key) {
  const all = list
    .filter((each) => each.changed_at !== null && (key === undefined || each.key === key))
    .flatMap((each, index) => [
      { id: 900 - index, key: each.key, at: each.changed_at, generation: 42, cause: each.change, detail: each.change_detail ?? "", diff: each.change_diff },
      { id: 400 - index, key: each.key, at: new Date(Date.parse(each.changed_at) - 6 * DAY * 1000).toISOString(), generation: 31, cause: "intentional", detail: "is missing", diff: null },
    ]);
  return all.toSorted((a, b) => b.at.localeCompare(a.at));
}

export const overrides = () => ({
  "stage-1": [{ resource: null, mode: "report", reason: "load test until tonight, hands off", set_by: "jonas", set_at: ago(40 * MIN), expires_at: later(3 * HOUR) }],
  "app-1": [{ resource: "sysctl:net.core.somaxconn", mode: "report", reason: "trying other values by hand", set_by: "amara", set_at: ago(26 * HOUR), expires_at: null }],
});

export function turns(rollout) {
  const app = { environment: "production", roles: ["app_server"], kind: "change", expires_at: null, rollout: null };
  return [
    { ...app, node: "app-2", cause: "corrective", state: "failed", reason: "change application:api", detail: "file:/etc/security/limits.d/shop.conf failed: no space left on device (os error 28)", since: ago(22 * MIN) },
    { ...app, node: "app-1", cause: "intentional", state: "waiting", reason: "upgrade package:nginx", detail: "1 of 2 nodes with the role app_server may change at once, and app-2 keeps its place because its change failed", since: ago(9 * MIN) },
    { node: "stage-1", environment: "staging", roles: ["load_balancer", "app_server", "datastore"], kind: "change", cause: "intentional", state: "granted", reason: "web 2.5.0-rc.1", detail: "", since: ago(31), expires_at: null, rollout },
  ];
}

const planned = (key, change, over = {}) => ({ key, change, mode: "enforce", cause: "intentional", disruptive: false, detail: "", diff: null, ...over });

/** What a node answers when it is asked what it would change. */
export function planOf(node, list) {
  const base = { node: node.name, environment: node.environment, problem: null, generation: node.reported_generation, reboot_required: node.reboot_required };
  if (node.liveness === "down") return { ...base, state: "problem", problem: "it is down: it was not asked", change_count: 0, unchanged_count: 0, generation: null, resources: [] };
  const held = list.filter((each) => each.differs && each.mode !== "enforce").map((each) => planned(each.key, "change", { mode: each.mode, cause: "corrective", detail: "differs", diff: each.diff }));
  const own = list.filter((each) => each.differs && each.mode === "enforce").map((each) => planned(each.key, "change", { cause: each.status === "waiting" ? "intentional" : "corrective", disruptive: each.kind === "package", detail: each.kind === "package" ? "is upgraded" : "content", diff: each.diff }));
  const more =
    node.name === "lb-1"
      ? [
          planned("file:/etc/nginx/sites-available/shop", "change", { detail: "content", diff: NGINX }),
          planned("service:nginx", "reload", { detail: "because file:/etc/nginx/sites-available/shop changes" }),
          planned("cron_job:old-report", "remove", { detail: "no longer declared, and its declaration said to remove it" }),
          planned("package:htop", "release", { detail: "no longer declared; it stays" }),
          planned("command:reindex", "unknown", { cause: null, detail: "its guard ended with exit code 2: psql: connection refused" }),
        ]
      : [];
  const resources = [...own, ...held, ...more];
  const would = resources.filter((each) => each.mode === "enforce" && !["skip", "unknown", "release"].includes(each.change)).length;
  return { ...base, state: "planned", change_count: would, unchanged_count: list.length - own.length - held.length, resources };
}

export const FRAGMENT = (node) => `# Found on ${node}: applied to it, nothing changes.
nodes:
  ${node}: {environment: production, roles: [app_server]}

packages:
  nginx: {on: {nodes: [${node}]}}
  redis-server: {hold: true, on: {nodes: [${node}]}}

cron_jobs:
  backup:
    schedule: "15 2 * * *"
    user: root
    command: /usr/local/bin/backup --quiet
    on: {nodes: [${node}]}

services:
  nginx: {enabled: true, running: true, on: {nodes: [${node}]}}
`;

export const NOTES = [
  "crontab of user web: has an environment line (PATH=...), which a cron_job cannot carry; put it into the command",
  "user ubuntu: made by the image of the provider and left out; declare it with ensure: absent to remove it",
  "pm2 of user web runs 2 apps (shop, worker): take them over with muster adopt, after applying this",
];

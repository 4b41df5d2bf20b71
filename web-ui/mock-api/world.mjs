// The state that changes by itself: beats, rollouts that move, hosts that join; and the live stream that says so.
import { ago, ahead, event, summary, SCENARIOS } from "./data.mjs";

const STEP_MS = 900;

export class World {
  constructor(scenario = "full") {
    this.clients = new Set();
    this.timers = new Set();
    this.reset(scenario);
  }

  reset(scenario) {
    for (const timer of this.timers) clearTimeout(timer);
    this.timers.clear();
    this.state = SCENARIOS[scenario]();
    this.signedIn = true;
    /** Paths that answer with an error: `{"/overview": 500}`. */
    this.failing = {};
    this.latencyMs = 0;
    this.liveRefused = false;
    this.every(2000, () => this.beat());
  }

  stop() {
    for (const timer of this.timers) clearTimeout(timer);
    for (const client of this.clients) client.end();
  }

  every(ms, run) {
    const timer = setInterval(run, ms);
    this.timers.add(timer);
  }

  later(ms, run) {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      run();
    }, ms);
    this.timers.add(timer);
  }

  send(message) {
    for (const client of this.clients) client.write(`data: ${JSON.stringify(message)}\n\n`);
  }

  cutLive() {
    for (const client of this.clients) client.destroy();
    this.clients.clear();
  }

  say(kind, severity, message, over) {
    const made = { ...event(0, kind, severity, message, over), at: new Date().toISOString() };
    this.state.events.unshift(made);
    this.send({ topic: "event", event: made });
  }

  beat() {
    for (const node of this.state.nodes) {
      if (node.liveness !== "up") continue;
      node.last_heartbeat_at = new Date().toISOString();
      node.cpu_percent = Math.min(97, Math.max(1, node.cpu_percent + (Math.random() - 0.5) * 5));
      this.send({ topic: "node", name: node.name });
    }
  }

  moved(rollout) {
    rollout.updated_at = new Date().toISOString();
    this.send({ topic: "rollout", id: rollout.id, application: rollout.application });
  }

  drive(rollout, place) {
    const next = () => {
      if (rollout.status !== "running") return;
      const moving = rollout.nodes.find((node) => node.state === "moving");
      if (moving) {
        Object.assign(moving, { state: "moved", since: new Date().toISOString(), deadline: null });
        for (const process of this.state.processes) if (process.node === moving.node && process.application === rollout.application) Object.assign(process, { release: rollout.release, started_at: new Date().toISOString() });
        this.say("rollout.node_moved", "info", `${moving.node} runs ${rollout.application} ${rollout.release}`, { node: moving.node, application: rollout.application, environment: rollout.environment, rollout: rollout.id });
      }
      const pending = rollout.nodes.find((node) => node.state === "pending");
      if (pending) Object.assign(pending, { state: "moving", since: new Date().toISOString(), deadline: ahead(300) });
      else {
        Object.assign(rollout, { status: "completed", finished_at: new Date().toISOString() });
        place.active_rollout = null;
        this.say("rollout.completed", "info", "rollout completed", { application: rollout.application, environment: rollout.environment, rollout: rollout.id });
      }
      this.moved(rollout);
      if (rollout.status === "running") this.later(STEP_MS, next);
    };
    this.later(STEP_MS, next);
  }

  abort(rollout) {
    Object.assign(rollout, { status: "rolling_back", reason: `aborted by ${this.state.session.username}` });
    for (const node of rollout.nodes) if (node.state === "moved" || node.state === "moving") Object.assign(node, { state: "returning", since: new Date().toISOString(), deadline: ahead(300) });
    this.moved(rollout);
    this.later(STEP_MS, () => {
      for (const node of rollout.nodes) if (node.state === "returning") Object.assign(node, { state: "returned", deadline: null });
      Object.assign(rollout, { status: "aborted", finished_at: new Date().toISOString() });
      for (const app of this.state.applications) for (const place of app.environments) if (place.active_rollout === rollout.id) Object.assign(place, { active_rollout: null, release: rollout.former_release });
      this.moved(rollout);
    });
  }

  joinSoon(enrolment) {
    this.later(1500, () => {
      Object.assign(enrolment, { status: "enrolled", enrolled_at: new Date().toISOString() });
      this.state.missing = this.state.missing.filter((name) => name !== enrolment.node);
      this.state.nodes.push(summary(enrolment.node, enrolment.environment, enrolment.roles, { liveness_changed_at: new Date().toISOString(), converged: null, last_heartbeat_at: ago(0) }));
      this.say("node.enrolled", "info", `${enrolment.node} joined`, { node: enrolment.node, environment: enrolment.environment });
      this.send({ topic: "node", name: enrolment.node });
    });
  }
}

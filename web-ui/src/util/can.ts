// What may be done now, and if not, why. The controller decides; these say it before the click. They mirror the role checks of
// `controller/app` and the rollout rules of `core/planning/src/rollout`.
import type { ApplicationEnvironment, NodeDetail, NodeSummary, Release, Rollout, Session, UserRole } from "../api/types";
import { rolloutEnded } from "./status";

export type Can = { allowed: true } | { allowed: false; reason: string };

const YES: Can = { allowed: true };
const no = (reason: string): Can => ({ allowed: false, reason });

const LADDER: readonly UserRole[] = ["viewer", "deployer", "operator", "admin"];

function has(session: Session, role: UserRole): boolean {
  return LADDER.indexOf(session.role) >= LADDER.indexOf(role);
}

function needs(session: Session, role: UserRole, what: string): Can {
  return has(session, role) ? YES : no(`${what} needs the role ${role}; you are ${session.role}`);
}

export const nodeCan = {
  invite: (session: Session): Can => needs(session, "operator", "Inviting a node"),
  converge(session: Session, node: NodeSummary): Can {
    const role = needs(session, "operator", "Converging a node");
    if (!role.allowed) return role;
    if (node.liveness === "revoked") return no("Its identity was withdrawn: it gets no more assignments");
    if (node.liveness === "down") return no("It is down; it converges by itself as soon as it is back");
    return YES;
  },
  /** Candidate files need more; what is in force may be looked at by everybody. */
  plan(node: NodeSummary): Can {
    if (node.liveness === "revoked") return no("Its identity was withdrawn: it is not asked any more");
    return node.liveness === "up" || node.liveness === "late" ? YES : no(node.liveness === "pending" ? "It was not heard yet" : "It is down: it cannot be asked what it would change");
  },
  inspect(session: Session, node: NodeSummary): Can {
    const role = needs(session, "operator", "Inspecting a host");
    if (!role.allowed) return role;
    return nodeCan.plan(node);
  },
  setMode(session: Session, node: NodeSummary): Can {
    const role = needs(session, "operator", "Setting a mode");
    if (!role.allowed) return role;
    return node.liveness === "revoked" ? no("Its identity was withdrawn: it gets no more assignments") : YES;
  },
  reboot(session: Session, node: NodeDetail): Can {
    const role = needs(session, "operator", "Restarting a host");
    if (!role.allowed) return role;
    if (node.reboot_request !== null) return no("A restart is asked for already");
    if (node.facts.rootless) return no("Its agent runs without root: it cannot restart the host");
    return node.liveness === "revoked" ? no("Its identity was withdrawn: it takes no orders any more") : YES;
  },
  cancelReboot: (session: Session): Can => needs(session, "operator", "Taking back a restart"),
  releaseTurn: (session: Session): Can => needs(session, "operator", "Letting others go on"),
  revoke(session: Session, node: NodeSummary): Can {
    const role = needs(session, "operator", "Revoking a node");
    if (!role.allowed) return role;
    return node.liveness === "revoked" ? no("Its identity was withdrawn already") : YES;
  },
  remove(session: Session, node: NodeSummary): Can {
    const role = needs(session, "operator", "Removing a node");
    if (!role.allowed) return role;
    return node.liveness === "revoked" ? YES : no("Only a revoked node can be removed");
  },
};

export const applicationCan = {
  deploy(session: Session, place: ApplicationEnvironment | undefined, releases: readonly Release[]): Can {
    const role = needs(session, "deployer", "Deploying");
    if (!role.allowed) return role;
    if (releases.length === 0) return no("There is no release yet");
    if (place === undefined) return no("No environment runs this application");
    if (place.active_rollout !== null) return no("A rollout is under way; wait for it or abort it");
    return place.nodes.length === 0 ? no("No node of this environment runs it") : YES;
  },
  rollBack(session: Session, place: ApplicationEnvironment, former: string | null): Can {
    const role = needs(session, "deployer", "Rolling back");
    if (!role.allowed) return role;
    if (place.active_rollout !== null) return no("A rollout is under way; abort it to go back");
    return former === null ? no("Nothing ran here before") : YES;
  },
};

export const rolloutCan = {
  abort(session: Session, rollout: Rollout): Can {
    const role = needs(session, "deployer", "Aborting");
    if (!role.allowed) return role;
    if (rolloutEnded(rollout.status)) return no("It has ended");
    return rollout.status === "rolling_back" ? no("It is going back already") : YES;
  },
};

export const secretCan = {
  change: (session: Session): Can => needs(session, "operator", "Setting secrets"),
};

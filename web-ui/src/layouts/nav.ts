import type { LinkProps } from "@tanstack/react-router";
import type { IconName } from "../components/Icon";

export interface NavItem {
  to: LinkProps["to"];
  label: string;
  icon: IconName;
  /** The second key of the pair that begins with `g`. */
  key: string;
}

export const MAIN: readonly NavItem[] = [
  { to: "/", label: "Fleet", icon: "fleet", key: "f" },
  { to: "/nodes", label: "Nodes", icon: "node", key: "n" },
  { to: "/applications", label: "Applications", icon: "application", key: "a" },
  { to: "/rollouts", label: "Rollouts", icon: "rollout", key: "r" },
  { to: "/events", label: "Events", icon: "event", key: "e" },
];

export const SETUP: readonly NavItem[] = [
  { to: "/fleet-configuration", label: "Fleet configuration", icon: "configuration", key: "c" },
  { to: "/secrets", label: "Secrets", icon: "secret", key: "x" },
  { to: "/settings", label: "Settings", icon: "settings", key: "s" },
];

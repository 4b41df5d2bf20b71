// The kinds of events in words. The message of an event says what happened; the kind says what sort of thing it was.
import { words } from "./format";

const KINDS: Record<string, string> = {
  "node.turn_waiting": "waits for its turn",
  "node.turn_failed": "turn: change failed",
  "node.turn_lost": "turn: not given back",
  "node.turn_released": "turn: others may go on",
  "node.mode_set": "mode set",
  "node.changed": "node changed",
  "node.reboot_required": "restart needed",
  "node.reboot_not_required": "restart not needed any more",
  "node.reboot_requested": "restart asked for",
  "node.reboot_cancelled": "restart taken back",
  "node.reboot_failed": "restart failed",
  "node.rebooting": "restarting",
  "node.rebooted": "restarted",
  "resource.drifted": "drifted",
  "resource.corrected": "put back after drift",
  "resource.failed": "resource failed",
  "resource.recovered": "resource works again",
  "resource.released": "no longer looked after",
  "resource.removed": "resource removed",
  "resource.reverted": "change taken back",
  "rollout.node_waiting": "rollout waits for a turn",
};

/** `resource.corrected` as `put back after drift`; kinds of a newer controller by their own words. */
export const eventWord = (kind: string): string => KINDS[kind] ?? words(kind.replaceAll(".", " "));

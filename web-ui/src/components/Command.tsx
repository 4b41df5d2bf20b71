import { ActionIcon, Tooltip } from "@mantine/core";
import { useClipboard } from "@mantine/hooks";
import type { JSX } from "react";
import classes from "./Command.module.css";
import { Icon } from "./Icon";

export function CopyButton({ text, label }: { text: string; label: string }): JSX.Element {
  const clipboard = useClipboard({ timeout: 1600 });
  return (
    <Tooltip label={clipboard.copied ? "Copied" : clipboard.error ? "The browser did not allow it: select and copy by hand" : label}>
      <ActionIcon variant="subtle" color="gray" size={26} aria-label={label} onClick={() => clipboard.copy(text)}>
        <Icon name={clipboard.copied ? "check" : "copy"} size={15} />
      </ActionIcon>
    </Tooltip>
  );
}

/** A line for a terminal, ready to copy. */
export function Command({ text, prompt = true }: { text: string; prompt?: boolean }): JSX.Element {
  return (
    <div className={classes.command}>
      <code className={`${classes.text} ${prompt ? "" : classes.plain}`}>{text}</code>
      <CopyButton text={text} label={prompt ? "Copy the command" : "Copy"} />
    </div>
  );
}

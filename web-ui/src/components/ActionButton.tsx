import { Button, Tooltip, type ButtonProps } from "@mantine/core";
import type { JSX, ReactNode } from "react";
import type { Can } from "../util/can";

interface Props extends Omit<ButtonProps, "disabled"> {
  can?: Can;
  onClick: () => void;
  children: ReactNode;
}

/** A button that says why it cannot be used. It stays focusable then, so that the reason can be read with the keyboard too. */
export function ActionButton({ can = { allowed: true }, onClick, children, ...button }: Props): JSX.Element {
  if (can.allowed) {
    return (
      <Button variant="default" {...button} onClick={onClick}>
        {children}
      </Button>
    );
  }
  return (
    <Tooltip label={can.reason}>
      <Button {...button} variant="default" data-disabled aria-disabled="true" aria-description={can.reason} onClick={(event) => event.preventDefault()}>
        {children}
      </Button>
    </Tooltip>
  );
}

import { CloseButton, TextInput } from "@mantine/core";
import type { JSX } from "react";
import { Icon } from "./Icon";

/** Narrows a list; its text stands in the URL. */
export function FilterBox({ value, set, label, width = 220 }: { value: string | undefined; set: (value: string | undefined) => void; label: string; width?: number }): JSX.Element {
  return (
    <TextInput
      size="xs"
      w={width}
      maw="100%"
      placeholder={label}
      aria-label={label}
      value={value ?? ""}
      onChange={(event) => set(event.currentTarget.value || undefined)}
      leftSection={<Icon name="search" size={13} />}
      rightSection={value ? <CloseButton size="xs" aria-label="Clear the filter" onClick={() => set(undefined)} /> : null}
    />
  );
}

import { ActionIcon, Tooltip, useMantineColorScheme } from "@mantine/core";
import type { JSX } from "react";
import { Icon } from "../components/Icon";

const NEXT = { auto: "light", light: "dark", dark: "auto" } as const;
const ICON = { auto: "system", light: "sun", dark: "moon" } as const;
const WORD = { auto: "as the system", light: "light", dark: "dark" } as const;

/** Goes round: as the system, light, dark. Settings has the same as a choice. */
export function ThemeButton(): JSX.Element {
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const label = `Theme: ${WORD[colorScheme]}. Change to ${WORD[NEXT[colorScheme]]}`;
  return (
    <Tooltip label={label}>
      <ActionIcon variant="subtle" color="gray" aria-label={label} onClick={() => setColorScheme(NEXT[colorScheme])}>
        <Icon name={ICON[colorScheme]} />
      </ActionIcon>
    </Tooltip>
  );
}

import { SegmentedControl, useMantineColorScheme } from "@mantine/core";
import type { JSX } from "react";
import { Facts } from "../../components/Facts";
import { PageHeader } from "../../components/PageHeader";
import { Panel } from "../../components/Panel";
import { Left } from "../../components/Time";
import { useSession } from "../../hooks/contexts";
import { Tokens } from "./Tokens";

const THEMES = [
  { value: "auto", label: "As the system" },
  { value: "light", label: "Light" },
  { value: "dark", label: "Dark" },
];

export function SettingsPage(): JSX.Element {
  const session = useSession();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  return (
    <>
      <PageHeader title="Settings" />
      <div className="stack">
        <Panel title="You">
          <Facts
            facts={[
              ["User", session.username],
              ["Role", session.role],
              ["Session", session.expires_at === null ? "no end" : <Left key="left" until={session.expires_at} />],
              ["Controller", session.controller_version],
            ]}
          />
        </Panel>
        <Panel title="Theme" padded>
          <SegmentedControl aria-label="Theme" data={THEMES} value={colorScheme} onChange={(value) => setColorScheme(value as "auto" | "light" | "dark")} />
        </Panel>
        <Tokens />
      </div>
    </>
  );
}

import { Modal, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useMemo, useState, type JSX, type KeyboardEvent } from "react";
import { applicationsQuery, overviewQuery } from "../api/queries";
import { Icon, type IconName } from "../components/Icon";
import { matches } from "../util/table";
import { MAIN, SETUP } from "./nav";
import classes from "./Palette.module.css";

interface Target {
  id: string;
  label: string;
  kind: string;
  icon: IconName;
  mono: boolean;
  texts: (string | null)[];
  go: () => Promise<void>;
}

const SHOWN = 12;

/** Finds a node, application, rollout or page by a part of its name. */
export function Palette({ close }: { close: () => void }): JSX.Element {
  const navigate = useNavigate();
  const overview = useQuery(overviewQuery).data;
  const applications = useQuery(applicationsQuery).data;
  const [text, setText] = useState("");
  const [selected, setSelected] = useState(0);

  const targets = useMemo((): Target[] => {
    const nodes = (overview?.nodes ?? []).map((node): Target => ({
      id: `node-${node.name}`,
      label: node.name,
      kind: `node, ${node.environment}`,
      icon: "node",
      mono: true,
      texts: [node.name, node.environment, "node", ...node.roles],
      go: () => navigate({ to: "/nodes/$name", params: { name: node.name } }),
    }));
    const apps = (applications?.items ?? []).flatMap((app): Target[] => {
      const base = { icon: "application" as const, mono: true };
      return [
        { ...base, id: `app-${app.name}`, label: app.name, kind: "application", texts: [app.name, "application"], go: () => navigate({ to: "/applications/$name", params: { name: app.name } }) },
        { ...base, id: `logs-${app.name}`, label: app.name, kind: "logs", icon: "logs", texts: [app.name, "logs"], go: () => navigate({ to: "/applications/$name", params: { name: app.name }, search: { tab: "logs" } }) },
      ];
    });
    const rollouts = (overview?.active_rollouts ?? []).map((rollout): Target => ({
      id: `rollout-${rollout.id}`,
      label: `${rollout.application} ${rollout.release}`,
      kind: `rollout, ${rollout.environment}`,
      icon: "rollout",
      mono: true,
      texts: [rollout.application, rollout.release, rollout.environment, "rollout"],
      go: () => navigate({ to: "/rollouts/$id", params: { id: rollout.id } }),
    }));
    const pages = [...MAIN, ...SETUP].map((page): Target => ({ id: `page-${page.to}`, label: page.label, kind: "page", icon: page.icon, mono: false, texts: [page.label, "page"], go: () => navigate({ to: page.to }) }));
    return [...rollouts, ...nodes, ...apps, ...pages];
  }, [overview, applications, navigate]);

  const found = targets.filter((target) => matches(text, target.texts)).slice(0, SHOWN);
  const at = Math.min(selected, Math.max(0, found.length - 1));

  function choose(target: Target | undefined): void {
    if (target === undefined) return;
    close();
    void target.go();
  }

  function onKey(event: KeyboardEvent): void {
    if (event.key === "ArrowDown") setSelected(Math.min(at + 1, found.length - 1));
    else if (event.key === "ArrowUp") setSelected(Math.max(at - 1, 0));
    else if (event.key === "Enter") choose(found[at]);
    else return;
    event.preventDefault();
  }

  return (
    <Modal opened onClose={close} withCloseButton={false} size="md" yOffset="12vh" centered={false} aria-label="Search" padding="sm">
      <TextInput
        data-autofocus
        placeholder="A node, application, rollout or page"
        aria-label="Search"
        role="combobox"
        aria-expanded="true"
        aria-controls="palette-results"
        aria-activedescendant={found[at] === undefined ? undefined : found[at].id}
        value={text}
        leftSection={<Icon name="search" />}
        onChange={(event) => {
          setText(event.currentTarget.value);
          setSelected(0);
        }}
        onKeyDown={onKey}
      />
      <div className={classes.results} role="listbox" id="palette-results" aria-label="Results">
        {found.map((target, index) => (
          <div key={target.id} id={target.id} role="option" tabIndex={-1} aria-selected={index === at} className={classes.result} onMouseMove={() => setSelected(index)} onClick={() => choose(target)}>
            <Icon name={target.icon} />
            <span className={target.mono ? "mono" : ""}>{target.label}</span>
            <span className={classes.kind}>{target.kind}</span>
          </div>
        ))}
      </div>
      {found.length === 0 && <p className="soft" style={{ padding: 10 }}>Nothing has that name.</p>}
    </Modal>
  );
}

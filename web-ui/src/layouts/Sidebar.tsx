import { ActionIcon, Tooltip } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { JSX } from "react";
import { overviewQuery } from "../api/queries";
import { Icon, Logo } from "../components/Icon";
import { Status, StatusMark } from "../components/Status";
import { Ago } from "../components/Time";
import { useLive, useSession } from "../hooks/contexts";
import { MAIN, SETUP, type NavItem } from "./nav";
import classes from "./Shell.module.css";
import { ThemeButton } from "./ThemeButton";

interface Props {
  search: () => void;
  help: () => void;
  signOut: () => void;
}

export function Sidebar({ search, help, signOut }: Props): JSX.Element {
  return (
    <aside className={classes.side}>
      <Link to="/" className={classes.brand}>
        <Logo />
        Muster
      </Link>
      <button type="button" className={classes.search} onClick={search}>
        <Icon name="search" size={14} />
        Search
        <kbd>/</kbd>
      </button>
      <NavList />
      <Foot help={help} signOut={signOut} />
    </aside>
  );
}

export function NavList({ onNavigate }: { onNavigate?: () => void }): JSX.Element {
  return (
    <nav className={classes.nav} aria-label="Pages">
      {MAIN.map((item) => (
        <Item key={item.to} item={item} onNavigate={onNavigate} />
      ))}
      <p className={classes.group}>Set up</p>
      {SETUP.map((item) => (
        <Item key={item.to} item={item} onNavigate={onNavigate} />
      ))}
    </nav>
  );
}

function Item({ item, onNavigate }: { item: NavItem; onNavigate?: () => void }): JSX.Element {
  return (
    <Link to={item.to} className={classes.item} activeOptions={{ exact: item.to === "/", includeSearch: false }} onClick={onNavigate}>
      <Icon name={item.icon} />
      {item.label}
      {item.to === "/" && <AttentionCount />}
    </Link>
  );
}

/** How much needs a person, on every page. */
function AttentionCount(): JSX.Element | null {
  const { data } = useQuery(overviewQuery);
  const worst = data?.attention[0];
  if (data === undefined || worst === undefined || worst.severity === "info") return null;
  const open = data.attention.filter((each) => each.severity !== "info").length;
  return (
    <span className={`${classes.count} row num`} style={{ gap: 4 }}>
      <StatusMark look={worst.severity} size={14} label={`${open} need attention`} />
      {open}
    </span>
  );
}

export function Foot({ help, signOut }: { help: () => void; signOut: () => void }): JSX.Element {
  const session = useSession();
  return (
    <div className={classes.foot}>
      <LiveMark />
      <div className={classes.user}>
        <span className="grow" style={{ fontSize: 13, lineHeight: 1.3 }}>
          <span style={{ fontWeight: 550, overflowWrap: "anywhere" }}>{session.username}</span>
          <br />
          <span className="softer small">{session.role}</span>
        </span>
        <ThemeButton />
        <Tooltip label="Keyboard and help (?)">
          <ActionIcon variant="subtle" color="gray" aria-label="Keyboard and help" onClick={help}>
            <Icon name="help" />
          </ActionIcon>
        </Tooltip>
        <Tooltip label="Sign out">
          <ActionIcon variant="subtle" color="gray" aria-label="Sign out" onClick={signOut}>
            <Icon name="exit" />
          </ActionIcon>
        </Tooltip>
      </div>
    </div>
  );
}

function LiveMark(): JSX.Element {
  const { state } = useLive();
  const session = useSession();
  return (
    <div className={classes.live} title={`Controller ${session.controller_version}`}>
      {state.kind === "live" && <Status status={{ look: "ok", word: "live" }} />}
      {state.kind === "connecting" && <Status status={{ look: "waiting", word: "connecting" }} />}
      {state.kind === "resting" && <Status status={{ look: "off", word: "resting while hidden" }} />}
      {state.kind === "lost" && (
        <Status status={{ look: "warning", word: "" }}>
          lost <Ago at={state.since.toISOString()} />
        </Status>
      )}
    </div>
  );
}

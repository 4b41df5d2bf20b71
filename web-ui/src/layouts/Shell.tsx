// The frame of every page of a signed-in person: navigation, search, the live connection.
import { ActionIcon, Drawer } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useRouter } from "@tanstack/react-router";
import { useEffect, useState, type JSX } from "react";
import { api } from "../api/client";
import { LiveConnection } from "../api/liveConnection";
import { ApiError } from "../api/problem";
import { keys, sessionQuery } from "../api/queries";
import { Icon, Logo } from "../components/Icon";
import { ErrorNotice } from "../components/Notice";
import { toastError } from "../components/Toasts";
import { LiveContext, SessionContext } from "../hooks/contexts";
import { useShortcuts } from "../hooks/useShortcuts";
import { ConnectionBanner } from "./ConnectionBanner";
import { HelpDialog } from "./HelpDialog";
import { MAIN, SETUP } from "./nav";
import { Palette } from "./Palette";
import classes from "./Shell.module.css";
import { Foot, NavList, Sidebar } from "./Sidebar";

export function Shell(): JSX.Element {
  const session = useQuery(sessionQuery);
  const router = useRouter();
  const signedOut = session.error instanceof ApiError && session.error.status === 401;
  useEffect(() => {
    // Read once, and not from the router's state: that is the sign-in page itself as soon as the way there begins.
    const here = router.latestLocation.href;
    if (signedOut && !here.startsWith("/sign-in")) void router.navigate({ to: "/sign-in", search: here === "/" ? {} : { next: here }, replace: true });
  }, [signedOut, router]);
  if (session.data !== undefined) {
    return (
      <SessionContext value={session.data}>
        <Frame />
      </SessionContext>
    );
  }
  return (
    <main className={classes.main} aria-busy={session.isPending}>
      {session.isError && !signedOut && <ErrorNotice error={session.error} retry={() => void session.refetch()} />}
    </main>
  );
}

function Frame(): JSX.Element {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const [connection] = useState(() => new LiveConnection(queries));
  const [open, setOpen] = useState<"search" | "help" | "menu" | null>(null);
  useEffect(() => connection.start(), [connection]);

  const close = (): void => setOpen(null);
  useShortcuts({
    "/": () => setOpen("search"),
    "?": () => setOpen("help"),
    ...Object.fromEntries([...MAIN, ...SETUP].map((page) => [`g ${page.key}`, () => void navigate({ to: page.to })])),
  });

  function signOut(): void {
    api.sessionDelete().then(() => {
      queries.clear();
      return navigate({ to: "/sign-in" });
    }, toastError);
  }

  return (
    <LiveContext value={connection}>
      <a href="#main" className={classes.skip}>
        Skip to the page
      </a>
      <div className={classes.shell}>
        <Sidebar search={() => setOpen("search")} help={() => setOpen("help")} signOut={signOut} />
        <header className={classes.top}>
          <Link to="/" className={classes.brand}>
            <Logo size={22} />
            Muster
          </Link>
          <ActionIcon variant="subtle" color="gray" size={40} aria-label="Search" onClick={() => setOpen("search")}>
            <Icon name="search" size={20} />
          </ActionIcon>
        </header>
        <div style={{ minWidth: 0 }}>
          <ConnectionBanner />
          <main className={classes.main} id="main" tabIndex={-1} style={{ outline: "none" }}>
            <div className={classes.inner}>
              <Outlet />
            </div>
          </main>
        </div>
        <nav className={classes.tabs} aria-label="Main pages">
          {MAIN.filter((item) => item.to !== "/rollouts").map((item) => (
            <Link key={item.to} to={item.to} className={classes.tab} activeOptions={{ exact: item.to === "/", includeSearch: false }}>
              <Icon name={item.icon} size={20} />
              {item.label}
            </Link>
          ))}
          <button type="button" className={classes.tab} onClick={() => setOpen("menu")}>
            <Icon name="menu" size={20} />
            More
          </button>
        </nav>
      </div>
      {open === "search" && <Palette close={close} />}
      {open === "help" && <HelpDialog close={close} />}
      <Drawer opened={open === "menu"} onClose={close} position="right" size={280} title={<strong>Muster</strong>} closeButtonProps={{ "aria-label": "Close" }}>
        <NavList onNavigate={close} />
        <div style={{ marginTop: 16 }}>
          <Foot help={() => setOpen("help")} signOut={signOut} />
        </div>
      </Drawer>
    </LiveContext>
  );
}

/** After a session ended elsewhere, the next refused request leads to the sign-in page. */
export function onUnauthenticated(queries: { resetQueries: (filter: { queryKey: readonly unknown[] }) => Promise<void> }): void {
  void queries.resetQueries({ queryKey: keys.session });
}

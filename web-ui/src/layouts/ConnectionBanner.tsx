import { Button } from "@mantine/core";
import { useEffect, useState, type JSX } from "react";
import { StatusMark } from "../components/Status";
import { Elapsed } from "../components/Time";
import { useLive } from "../hooks/contexts";
import { clock } from "../util/format";
import classes from "./Shell.module.css";

// A controller that restarts is back before anybody needs to know.
const GRACE_MS = 2500;

/** Says that the page is not live, and since when. */
export function ConnectionBanner(): JSX.Element | null {
  const { state, retryNow } = useLive();
  const since = state.kind === "lost" ? state.since.getTime() : null;
  const [shown, setShown] = useState(false);
  useEffect(() => {
    setShown(false);
    if (since === null) return;
    const timer = setTimeout(() => setShown(true), GRACE_MS);
    return () => clearTimeout(timer);
  }, [since]);
  if (!shown || since === null) return null;
  const at = new Date(since);
  return (
    <div className={classes.banner} role="status">
      <StatusMark look="warning" />
      <span>
        <strong>Not live since {clock(at)}</strong> (<Elapsed from={at.toISOString()} />
        ). Figures are read every 15 s, as far as the controller answers. Applications are not affected.
      </span>
      <Button variant="default" size="compact-sm" onClick={retryNow}>
        Connect now
      </Button>
    </div>
  );
}

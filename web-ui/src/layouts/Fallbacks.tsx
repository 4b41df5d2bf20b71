import { Button } from "@mantine/core";
import { Link, type ErrorComponentProps } from "@tanstack/react-router";
import type { JSX } from "react";
import { Empty, ErrorNotice } from "../components/Notice";

export function NotFound(): JSX.Element {
  return (
    <main>
      <Empty icon="search" title="There is no such page" action={<Link to="/">Go to the fleet</Link>}>
        The address may have been cut off where it was copied.
      </Empty>
    </main>
  );
}

/** A page that failed to draw, or whose script could not be loaded: after an update of the controller the old scripts are gone. */
export function RouteError({ error }: ErrorComponentProps): JSX.Element {
  const gone = error instanceof Error && /dynamically imported module|module script/i.test(error.message);
  return (
    <main style={{ padding: 24 }} className="stack">
      <ErrorNotice error={gone ? new Error("This page could not be loaded. The controller may have been updated while it was open.") : error} />
      <Button style={{ alignSelf: "flex-start" }} onClick={() => location.reload()}>
        Load the page again
      </Button>
    </main>
  );
}

// Links to the things of the fleet, so that a name is a link wherever it stands.
import { Link } from "@tanstack/react-router";
import type { JSX, ReactNode } from "react";

export function NodeLink({ name }: { name: string }): JSX.Element {
  return (
    <Link to="/nodes/$name" params={{ name }} className="mono nowrap">
      {name}
    </Link>
  );
}

export function ApplicationLink({ name }: { name: string }): JSX.Element {
  return (
    <Link to="/applications/$name" params={{ name }} className="mono nowrap">
      {name}
    </Link>
  );
}

export function RolloutLink({ id, children }: { id: string; children: ReactNode }): JSX.Element {
  return (
    <Link to="/rollouts/$id" params={{ id }}>
      {children}
    </Link>
  );
}

/** Opens a resource of the node that the page is about, keeping the filters of the page. */
export function ResourceLink({ resource, children }: { resource: string; children?: ReactNode }): JSX.Element {
  return (
    <Link to="." search={((before: Record<string, string>) => ({ ...before, resource })) as never} resetScroll={false} className="mono" style={{ overflowWrap: "anywhere" }}>
      {children ?? resource}
    </Link>
  );
}

/** The same from elsewhere. */
export function NodeResourceLink({ node, resource }: { node: string; resource: string }): JSX.Element {
  return (
    <Link to="/nodes/$name" params={{ name: node }} search={{ resource }} className="mono" style={{ overflowWrap: "anywhere" }}>
      {resource}
    </Link>
  );
}

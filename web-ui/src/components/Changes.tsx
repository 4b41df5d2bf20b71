// What was changed on a node, newest first: why, when, and the difference.
import { Button } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useState, type JSX } from "react";
import { changePagesQuery } from "../api/queries";
import type { ResourceChange } from "../api/types";
import classes from "./Changes.module.css";
import { ChangeText } from "./Code";
import { Icon } from "./Icon";
import { CauseLabel } from "./Labels";
import { Loaded, SkeletonRows } from "./Loaded";
import { ResourceLink } from "./links";
import { Empty } from "./Notice";
import { Prose } from "./Prose";
import { Ago } from "./Time";

/** A node page has other things to show. */
const BRIEF = 8;

/** Of a whole node, or of one of its resources. */
export function Changes({ node, resource }: { node: string; resource?: string }): JSX.Element {
  const changes = useInfiniteQuery(changePagesQuery(node, resource, resource === undefined ? BRIEF : undefined));
  return (
    <Loaded query={changes} skeleton={<SkeletonRows rows={3} height={40} />}>
      {(data) => {
        const shown = data.pages.flatMap((page) => page.items);
        if (shown.length === 0) return <Empty icon="configuration" title={resource === undefined ? "Nothing was changed on this node yet" : "It was not changed yet"} />;
        return (
          <>
            <ol className={classes.list} aria-label={resource === undefined ? "Changes" : `Changes of ${resource}`}>
              {shown.map((change) => (
                <Change key={change.id} change={change} named={resource === undefined} />
              ))}
            </ol>
            {changes.hasNextPage && (
              <div className={classes.older}>
                <Button variant="default" loading={changes.isFetchingNextPage} onClick={() => void changes.fetchNextPage()}>
                  Show older changes
                </Button>
              </div>
            )}
          </>
        );
      }}
    </Loaded>
  );
}

function Change({ change, named }: { change: ResourceChange; named: boolean }): JSX.Element {
  const [open, setOpen] = useState(false);
  return (
    <li>
      <div className={classes.head}>
        {named && (
          <span className={classes.key}>
            <ResourceLink resource={change.key} />
          </span>
        )}
        {change.detail !== "" && (
          <span className="soft" style={{ overflowWrap: "anywhere" }}>
            because: <Prose text={change.detail} />
          </span>
        )}
        <CauseLabel cause={change.cause} />
        <span className="softer small num" title="The generation that was in force">
          generation {change.generation}
        </span>
        <span className={classes.when}>
          <Ago at={change.at} />
        </span>
      </div>
      {change.diff !== null && (
        <div>
          <Button variant="subtle" size="compact-xs" ml={-8} aria-expanded={open} leftSection={<Icon name={open ? "down" : "chevron"} size={11} />} onClick={() => setOpen(!open)}>
            Difference
          </Button>
        </div>
      )}
      {open && change.diff !== null && <ChangeText text={change.diff} />}
    </li>
  );
}

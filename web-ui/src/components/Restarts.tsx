// Why processes ended or were restarted: one line each, newest first; open, it shows what the process wrote last.
import { Button } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import type { JSX } from "react";
import { processEventPagesQuery, type ProcessEventFilter } from "../api/queries";
import type { ProcessEvent } from "../api/types";
import { useNow } from "../hooks/useNow";
import { exact, moment, plural, shortDuration } from "../util/format";
import { processEventWord, severityStatus } from "../util/status";
import { Icon } from "./Icon";
import { ApplicationLink, NodeLink } from "./links";
import { Loaded, SkeletonRows } from "./Loaded";
import { Empty } from "./Notice";
import classes from "./Restarts.module.css";
import { StatusMark } from "./Status";

interface Props {
  filter: ProcessEventFilter;
  /** What the page is about already. */
  omit: "node" | "application";
}

export function Restarts({ filter, omit }: Props): JSX.Element {
  const events = useInfiniteQuery(processEventPagesQuery(filter));
  return (
    <Loaded query={events} skeleton={<SkeletonRows rows={4} height={40} />}>
      {(data) => {
        const shown = data.pages.flatMap((page) => page.items);
        if (shown.length === 0) {
          return (
            <Empty icon="refresh" title="No process has ended by itself or was restarted">
              Crashes, restarts and replacements appear here with their reason, as <span className="mono">muster app history</span> tells them.
            </Empty>
          );
        }
        return (
          <>
            <ul className={classes.list} aria-label="Restarts">
              {shown.map((event) => (
                <li key={event.sequence}>
                  <Restart event={event} omit={omit} />
                </li>
              ))}
            </ul>
            {events.hasNextPage && (
              <div className={classes.older}>
                <Button variant="default" loading={events.isFetchingNextPage} onClick={() => void events.fetchNextPage()}>
                  Show older restarts
                </Button>
              </div>
            )}
          </>
        );
      }}
    </Loaded>
  );
}

function Restart({ event, omit }: { event: ProcessEvent; omit: Props["omit"] }): JSX.Element {
  const status = severityStatus(event.severity);
  const at = new Date(event.at);
  const now = useNow();
  return (
    <details className={classes.restart}>
      <summary>
        <span className={classes.mark}>
          <StatusMark look={status.look} label={status.word} size={15} />
        </span>
        <time className={`${classes.when} num`} dateTime={event.at} title={exact(at)}>
          {moment(at, now)}
        </time>
        <span className={`${classes.which} mono`}>
          {omit === "node" ? event.application : event.node}
          {event.instance !== null && <span className="softer"> #{event.instance}</span>}
        </span>
        <span className={classes.reason}>{event.reason}</span>
        <span className={classes.facts}>
          {event.exit?.out_of_memory && <span className={classes.memory}>out of memory</span>}
          <span className={classes.badge}>{ending(event)}</span>
          {event.release !== null && <span className="mono">{event.release}</span>}
          {event.exit !== null && <span className="num nowrap">up {shortDuration(event.exit.uptime_ms)}</span>}
        </span>
        <span className={classes.chevron}>
          <Icon name="chevron" size={13} />
        </span>
      </summary>
      <div className={classes.more}>
        <p className="small soft">
          <ApplicationLink name={event.application} />
          {event.instance !== null && <span className="num"> #{event.instance}</span>} on <NodeLink name={event.node} /> ({event.environment}), {exact(at)} by the clock of the node
          {event.restarts !== null && <>, after {plural(event.restarts, "automatic restart")}</>}. <span className="mono">{event.kind}</span>
        </p>
        {event.exit !== null &&
          (event.exit.last_stderr.length === 0 ? (
            <p className="small soft">It wrote nothing to standard error.</p>
          ) : (
            // A region that scrolls sideways has to be reachable with the keyboard.
            <pre className={classes.stderr} tabIndex={0} role="region" aria-label="Last lines of standard error">
              {event.exit.last_stderr.join("\n")}
            </pre>
          ))}
      </div>
    </details>
  );
}

function ending({ exit, kind }: ProcessEvent): string {
  if (exit === null) return processEventWord(kind);
  if (exit.signal !== null) return exit.signal;
  return exit.code === null ? "ended unseen" : `exit code ${exit.code}`;
}

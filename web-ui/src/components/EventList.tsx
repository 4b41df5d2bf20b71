import type { JSX } from "react";
import type { FleetEvent } from "../api/types";
import { eventWord } from "../util/events";
import { severityStatus } from "../util/status";
import classes from "./EventList.module.css";
import { ApplicationLink, NodeLink, RolloutLink } from "./links";
import { Prose } from "./Prose";
import { StatusMark } from "./Status";
import { Ago } from "./Time";

/** Events, newest first, each with what it is about; `brief` leaves out its kind and who caused it. */
export function EventList({ events, brief = false }: { events: readonly FleetEvent[]; brief?: boolean }): JSX.Element {
  return (
    <ul className={classes.list}>
      {events.map((event) => {
        const status = severityStatus(event.severity);
        return (
          <li key={event.sequence}>
            <span className={classes.mark}>
              <StatusMark look={status.look} label={status.word} size={15} />
            </span>
            <span className={classes.message}>
              <Prose text={event.message} />
            </span>
            <span className={classes.when}>
              <Ago at={event.at} />
            </span>
            {(!brief || event.node !== null || event.application !== null) && (
              <span className={classes.about}>
                {event.node !== null && <NodeLink name={event.node} />}
                {event.application !== null && <ApplicationLink name={event.application} />}
                {event.environment !== null && <span>{event.environment}</span>}
                {event.rollout !== null && <RolloutLink id={event.rollout}>rollout</RolloutLink>}
                {!brief && <span title={event.kind}>{eventWord(event.kind)}</span>}
                {!brief && <span>by {event.actor}</span>}
              </span>
            )}
          </li>
        );
      })}
    </ul>
  );
}

// One time axis for the fleet, newest first. The filters stand in the URL.
import { Button, Select } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import type { JSX } from "react";
import { applicationsQuery, environmentsQuery, eventPagesQuery, nodesQuery } from "../../api/queries";
import type { FleetEvent, Severity } from "../../api/types";
import { EventList } from "../../components/EventList";
import listClasses from "../../components/EventList.module.css";
import { FilterBox } from "../../components/FilterBox";
import { Loaded, SkeletonRows } from "../../components/Loaded";
import { Empty } from "../../components/Notice";
import { PageHeader } from "../../components/PageHeader";
import { Panel } from "../../components/Panel";
import { useSearchState, type SearchState } from "../../hooks/useSearchState";
import { eventWord } from "../../util/events";
import { day } from "../../util/format";
import { matches } from "../../util/table";

const SEVERITIES: { value: Severity; label: string }[] = [
  { value: "info", label: "All severities" },
  { value: "warning", label: "Warning, error" },
  { value: "error", label: "Error" },
];

const severityOf = (text: string | undefined): Severity | undefined => (text === "warning" || text === "error" ? text : undefined);

export function EventsPage(): JSX.Element {
  const [search, set] = useSearchState();
  const { q, node, environment, application } = search;
  const severity = severityOf(search.severity);
  const events = useInfiniteQuery(eventPagesQuery({ severity, node, environment, application }));
  const filtered = [q, severity, node, environment, application].some(Boolean);
  return (
    <>
      <PageHeader title="Events" meta={<span>Everything that happened in the fleet, newest first. New ones appear by themselves.</span>} />
      <Panel title="Time axis" actions={<Filters search={search} set={set} />}>
        <Loaded query={events} skeleton={<SkeletonRows rows={12} height={48} />}>
          {(data) => {
            const shown = data.pages.flatMap((page) => page.items).filter((event) => matches(q ?? "", [event.message, event.kind, eventWord(event.kind), event.actor, event.node, event.application, event.environment]));
            if (shown.length === 0) {
              return filtered ? (
                <Empty icon="search" title="No event passes the filter" action={<Button variant="default" onClick={() => set({ q: undefined, severity: undefined, node: undefined, environment: undefined, application: undefined })}>Clear the filter</Button>} />
              ) : (
                <Empty icon="event" title="Nothing has happened yet" commands={["muster events -f"]}>
                  Joins, releases, rollouts, drift and failures appear here, and on the command line.
                </Empty>
              );
            }
            return (
              <>
                {byDay(shown).map(([label, items]) => (
                  <section key={label} aria-label={label}>
                    <h3 className={listClasses.day}>{label}</h3>
                    <EventList events={items} />
                  </section>
                ))}
                {events.hasNextPage && (
                  <div style={{ padding: 12, textAlign: "center" }}>
                    <Button variant="default" loading={events.isFetchingNextPage} onClick={() => void events.fetchNextPage()}>
                      Show older events
                    </Button>
                  </div>
                )}
              </>
            );
          }}
        </Loaded>
      </Panel>
    </>
  );
}

function Filters({ search, set }: { search: SearchState; set: (patch: SearchState) => void }): JSX.Element {
  const nodes = useQuery(nodesQuery).data?.items.map((node) => node.name) ?? [];
  const applications = useQuery(applicationsQuery).data?.items.map((app) => app.name) ?? [];
  const environments = useQuery(environmentsQuery).data?.items.map((each) => each.name) ?? [];
  const choices = (all: string, values: string[], chosen: string | undefined) => [{ value: "", label: all }, ...new Set(chosen ? [...values, chosen] : values)];
  return (
    <>
      <Select size="xs" w={134} aria-label="Severity" data={SEVERITIES} value={severityOf(search.severity) ?? "info"} onChange={(value) => set({ severity: severityOf(value ?? undefined) })} />
      <Select size="xs" w={146} aria-label="Environment" data={choices("All environments", environments, search.environment)} value={search.environment ?? ""} onChange={(value) => set({ environment: value || undefined })} />
      <Select size="xs" w={136} aria-label="Node" searchable data={choices("All nodes", nodes, search.node)} value={search.node ?? ""} onChange={(value) => set({ node: value || undefined })} />
      <Select size="xs" w={146} aria-label="Application" data={choices("All applications", applications, search.application)} value={search.application ?? ""} onChange={(value) => set({ application: value || undefined })} />
      <FilterBox label="Filter events" width={180} value={search.q} set={(value) => set({ q: value })} />
    </>
  );
}

function byDay(events: readonly FleetEvent[]): [string, FleetEvent[]][] {
  const days: [string, FleetEvent[]][] = [];
  for (const event of events) {
    const label = day(new Date(event.at));
    const last = days.at(-1);
    if (last !== undefined && last[0] === label) last[1].push(event);
    else days.push([label, [event]]);
  }
  return days;
}

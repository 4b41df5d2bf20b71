import { SegmentedControl } from "@mantine/core";
import type { JSX } from "react";
import type { ApplicationDetail } from "../../api/types";
import { LogViewer } from "../../components/LogViewer";
import { Empty } from "../../components/Notice";
import { useSearchState } from "../../hooks/useSearchState";

/** The log of one environment at a time. */
export function Logs({ application }: { application: ApplicationDetail }): JSX.Element {
  const [{ environment, filter, instance }, set] = useSearchState();
  const places = application.environments.filter((place) => place.nodes.length > 0);
  const chosen = places.find((place) => place.environment === environment) ?? places.toSorted((a, b) => b.process_count - a.process_count)[0];
  if (chosen === undefined) {
    return (
      <Empty icon="logs" title="Nothing runs it, so there is no log" commands={[`muster logs ${application.name} -f`]}>
        As soon as it is deployed, its output appears here and on the command line.
      </Empty>
    );
  }
  return (
    <>
      {places.length > 1 && (
        <div style={{ padding: "8px 14px 0" }}>
          <SegmentedControl size="xs" aria-label="Environment" data={places.map((place) => place.environment)} value={chosen.environment} onChange={(value) => set({ environment: value, instance: undefined })} />
        </div>
      )}
      <LogViewer
        key={chosen.environment}
        application={application.name}
        environment={chosen.environment}
        processes={application.processes}
        filter={filter}
        setFilter={(value) => set({ filter: value })}
        instance={instance}
        setInstance={(value) => set({ instance: value })}
      />
    </>
  );
}

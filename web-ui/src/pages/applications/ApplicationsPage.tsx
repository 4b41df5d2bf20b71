import { useQuery } from "@tanstack/react-query";
import type { JSX } from "react";
import { applicationsQuery } from "../../api/queries";
import { DataTable } from "../../components/DataTable";
import { FilterBox } from "../../components/FilterBox";
import { Loaded } from "../../components/Loaded";
import { Empty } from "../../components/Notice";
import { PageHeader } from "../../components/PageHeader";
import { Panel } from "../../components/Panel";
import { useSearchState } from "../../hooks/useSearchState";
import { plural } from "../../util/format";
import { matches } from "../../util/table";
import { APPLICATION_COLUMNS } from "./applicationColumns";

export function ApplicationsPage(): JSX.Element {
  const applications = useQuery(applicationsQuery);
  const [{ q, sort }, set] = useSearchState();
  return (
    <>
      <PageHeader title="Applications" meta={applications.data && <span>{plural(applications.data.items.length, "application")}</span>} actions={<FilterBox label="Filter applications" value={q} set={(value) => set({ q: value })} />} />
      <Panel>
        <Loaded query={applications}>
          {(data) => (
            <DataTable
              label="Applications"
              columns={APPLICATION_COLUMNS}
              rows={data.items.filter((app) => matches(q ?? "", [app.name, ...app.environments.map((place) => place.environment)]))}
              rowKey={(app) => app.name}
              sort={{ value: sort, fallback: "name", set: (value) => set({ sort: value }) }}
              empty={
                data.items.length === 0 ? (
                  <Empty icon="application" title="No applications yet" commands={["muster apply -f fleet/", "muster release create web --dir . --version 1.0.0"]}>
                    Declare one under <span className="mono">applications:</span> in a fleet file, apply it, then make a release of its folder.
                  </Empty>
                ) : (
                  <Empty icon="search" title="No application passes the filter" />
                )
              }
            />
          )}
        </Loaded>
      </Panel>
    </>
  );
}

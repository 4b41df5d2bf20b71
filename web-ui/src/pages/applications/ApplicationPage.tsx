import { Tabs } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import type { JSX } from "react";
import { applicationQuery, releasesQuery, rolloutsQuery } from "../../api/queries";
import type { ApplicationDetail, Page, Release, Rollout } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { Icon } from "../../components/Icon";
import { Loaded, SkeletonBlock, type Asked } from "../../components/Loaded";
import { WarningNotice } from "../../components/Notice";
import { PageHeader } from "../../components/PageHeader";
import { Panel } from "../../components/Panel";
import { ProcessTable } from "../../components/ProcessTable";
import { Restarts } from "../../components/Restarts";
import { Status } from "../../components/Status";
import { useSession } from "../../hooks/contexts";
import { useSearchState } from "../../hooks/useSearchState";
import { applicationCan } from "../../util/can";
import { plural } from "../../util/format";
import { processesStatus } from "../../util/status";
import { RolloutTable } from "../rollouts/RolloutTable";
import { Declaration } from "./Declaration";
import { DeployDialog } from "./DeployDialog";
import { Logs } from "./Logs";
import { Places } from "./Places";
import { Releases } from "./Releases";

export function ApplicationPage(): JSX.Element {
  const { name } = useParams({ from: "/shell/applications/$name" });
  const application = useQuery(applicationQuery(name));
  const releases = useQuery(releasesQuery(name));
  const rollouts = useQuery(rolloutsQuery({ application: name }));
  const session = useSession();
  const [{ deploy }, set] = useSearchState();
  const app = application.data;
  const known = releases.data?.items ?? [];
  const can = applicationCan.deploy(session, app?.environments.find((place) => place.active_rollout === null) ?? app?.environments[0], known);
  return (
    <>
      <PageHeader
        title={name}
        parent={{ label: "Applications", to: "/applications" }}
        status={app && <Status status={processesStatus(app.processes.filter((p) => p.state === "ready").length, app.processes.length)} />}
        meta={app && <span>{plural(app.release_count, "release")}</span>}
        actions={
          app && (
            <ActionButton variant="filled" can={can} onClick={() => set({ deploy: app.latest_release ?? known[0]?.version })} leftSection={<Icon name="rollout" size={14} />}>
              Deploy
            </ActionButton>
          )
        }
      />
      <Loaded
        query={application}
        skeleton={
          <div className="stack">
            <SkeletonBlock height={130} />
            <SkeletonBlock height={380} />
          </div>
        }
      >
        {(data) => (
          <div className="stack">
            {!data.declared && (
              <WarningNotice title="Not in the fleet configuration any more">
                <p>Its releases are kept, and nothing runs it. Declare it again to deploy it.</p>
              </WarningNotice>
            )}
            <Places application={data} rollouts={rollouts.data?.items ?? []} />
            <Details application={data} releases={releases} rollouts={rollouts} />
          </div>
        )}
      </Loaded>
      {app !== undefined && deploy !== undefined && <DeployDialog application={app} releases={known} release={deploy} close={() => set({ deploy: undefined })} />}
    </>
  );
}

interface DetailsProps {
  application: ApplicationDetail;
  releases: Asked<Page<Release>>;
  rollouts: Asked<Page<Rollout>>;
}

function Details({ application, releases, rollouts }: DetailsProps): JSX.Element {
  const [{ tab, sort }, set] = useSearchState();
  const setSort = (value: string): void => set({ sort: value });
  return (
    <Panel>
      <Tabs value={tab ?? "processes"} onChange={(value) => set({ tab: value === "processes" ? undefined : (value ?? undefined), sort: undefined, filter: undefined, instance: undefined })} keepMounted={false}>
        <Tabs.List px={6} style={{ overflowX: "auto", flexWrap: "nowrap" }}>
          <Tabs.Tab value="processes">Processes</Tabs.Tab>
          <Tabs.Tab value="restarts">Restarts</Tabs.Tab>
          <Tabs.Tab value="releases">Releases</Tabs.Tab>
          <Tabs.Tab value="rollouts">Rollouts</Tabs.Tab>
          <Tabs.Tab value="logs">Logs</Tabs.Tab>
          <Tabs.Tab value="declaration">Declaration</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="processes">
          <ProcessTable processes={application.processes} omit="application" sort={sort} setSort={setSort} />
        </Tabs.Panel>
        <Tabs.Panel value="restarts">
          <Restarts filter={{ application: application.name }} omit="application" />
        </Tabs.Panel>
        <Tabs.Panel value="releases">
          <Loaded query={releases}>{(data) => <Releases application={application} releases={data.items} sort={sort} setSort={setSort} />}</Loaded>
        </Tabs.Panel>
        <Tabs.Panel value="rollouts">
          <Loaded query={rollouts}>{(data) => <RolloutTable rollouts={data.items} omitApplication sort={sort} setSort={setSort} />}</Loaded>
        </Tabs.Panel>
        <Tabs.Panel value="logs">
          <Logs application={application} />
        </Tabs.Panel>
        <Tabs.Panel value="declaration">
          <Declaration application={application} />
        </Tabs.Panel>
      </Tabs>
    </Panel>
  );
}

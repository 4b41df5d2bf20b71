import { useQuery } from "@tanstack/react-query";
import type { JSX } from "react";
import { rolloutsQuery } from "../../api/queries";
import { FilterBox } from "../../components/FilterBox";
import { Loaded } from "../../components/Loaded";
import { PageHeader } from "../../components/PageHeader";
import { Panel } from "../../components/Panel";
import { useSearchState } from "../../hooks/useSearchState";
import { rolloutEnded } from "../../util/status";
import { matches } from "../../util/table";
import { RolloutTable } from "./RolloutTable";

export function RolloutsPage(): JSX.Element {
  const rollouts = useQuery(rolloutsQuery());
  const [{ q, sort }, set] = useSearchState();
  const active = rollouts.data?.items.filter((rollout) => !rolloutEnded(rollout.status)).length ?? 0;
  return (
    <>
      <PageHeader title="Rollouts" meta={rollouts.data && <span>{active === 0 ? "none under way" : `${active} under way`}</span>} actions={<FilterBox label="Filter rollouts" value={q} set={(value) => set({ q: value })} />} />
      <Panel>
        <Loaded query={rollouts}>
          {(data) => (
            <RolloutTable
              rollouts={data.items.filter((rollout) => matches(q ?? "", [rollout.application, rollout.environment, rollout.release, rollout.status, rollout.created_by]))}
              sort={sort}
              setSort={(value) => set({ sort: value })}
            />
          )}
        </Loaded>
      </Panel>
    </>
  );
}

import { Select } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState, type JSX } from "react";
import { api } from "../../api/client";
import { keys, nodesQuery } from "../../api/queries";
import type { ApplicationDetail, Release } from "../../api/types";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { useSession } from "../../hooks/contexts";
import { useNow } from "../../hooks/useNow";
import { applicationCan } from "../../util/can";
import { relative } from "../../util/format";
import { consequences } from "../../util/rollouts";

interface Props {
  application: ApplicationDetail;
  releases: readonly Release[];
  release: string;
  close: () => void;
}

export function DeployDialog({ application, releases, release, close }: Props): JSX.Element {
  const session = useSession();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const now = useNow();
  const nodes = useQuery(nodesQuery).data?.items ?? [];
  const free = application.environments.find((place) => place.active_rollout === null && place.release !== release) ?? application.environments[0];
  const [environment, setEnvironment] = useState(free?.environment ?? "");
  const [version, setVersion] = useState(releases.some((each) => each.version === release) ? release : (releases[0]?.version ?? release));
  const place = application.environments.find((each) => each.environment === environment);
  const can = applicationCan.deploy(session, place, releases);
  const same = place?.release === version;

  async function start(): Promise<void> {
    const rollout = await api.rolloutStart({ application: application.name, environment, release: version });
    queries.setQueryData(keys.rollout(rollout.id), rollout);
    void queries.invalidateQueries({ queryKey: keys.rollouts });
    void queries.invalidateQueries({ queryKey: keys.application(application.name) });
    await navigate({ to: "/rollouts/$id", params: { id: rollout.id } });
  }

  return (
    <ConfirmDialog
      title={`Deploy ${application.name}`}
      confirm={`Deploy ${version} to ${environment}`}
      blocked={!can.allowed || same}
      consequences={
        !can.allowed ? [can.reason] : same ? [`${environment} runs ${version} already. Choose another release or environment.`] : place === undefined ? [] : consequences(application, place, version, nodes)
      }
      action={start}
      close={close}
    >
      <div style={{ display: "grid", gridTemplateColumns: "repeat(auto-fit, minmax(200px, 1fr))", gap: 12, marginBottom: 14 }}>
        <Select label="Environment" data={application.environments.map((each) => each.environment)} value={environment} onChange={(value) => setEnvironment(value ?? environment)} />
        <Select
          label="Release"
          searchable
          data={releases.map((each) => ({ value: each.version, label: `${each.version}  ·  ${relative(new Date(each.created_at), now)}` }))}
          value={version}
          onChange={(value) => setVersion(value ?? version)}
        />
      </div>
    </ConfirmDialog>
  );
}

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import type { JSX } from "react";
import { api } from "../../api/client";
import { keys, nodesQuery } from "../../api/queries";
import type { ApplicationDetail, ApplicationEnvironment } from "../../api/types";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { consequences } from "../../util/rollouts";

interface Props {
  application: ApplicationDetail;
  place: ApplicationEnvironment;
  former: string;
  close: () => void;
}

export function RollbackDialog({ application, place, former, close }: Props): JSX.Element {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const nodes = useQuery(nodesQuery).data?.items ?? [];

  async function start(): Promise<void> {
    // The release is named, so that what was read here is what happens.
    const rollout = await api.rolloutRollback({ application: application.name, environment: place.environment, release: former });
    queries.setQueryData(keys.rollout(rollout.id), rollout);
    void queries.invalidateQueries({ queryKey: keys.rollouts });
    void queries.invalidateQueries({ queryKey: keys.application(application.name) });
    await navigate({ to: "/rollouts/$id", params: { id: rollout.id } });
  }

  return (
    <ConfirmDialog
      title={`Roll back ${application.name} in ${place.environment}`}
      confirm={`Roll back to ${former}`}
      consequences={[...consequences(application, place, former, nodes), `${place.release ?? "The release"} is kept and can be deployed again.`]}
      action={start}
      close={close}
    />
  );
}

import type { JSX } from "react";
import type { ApplicationDetail, Release } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { DataTable, type Column } from "../../components/DataTable";
import { Empty } from "../../components/Notice";
import { Status } from "../../components/Status";
import { Ago } from "../../components/Time";
import { useSession } from "../../hooks/contexts";
import { useSearchState } from "../../hooks/useSearchState";
import { applicationCan } from "../../util/can";
import { bytes, count, short } from "../../util/format";

interface Props {
  application: ApplicationDetail;
  releases: readonly Release[];
  sort: string | undefined;
  setSort: (value: string) => void;
}

export function Releases({ application, releases, sort, setSort }: Props): JSX.Element {
  const session = useSession();
  const [, set] = useSearchState();
  const can = applicationCan.deploy(session, application.environments.find((place) => place.active_rollout === null) ?? application.environments[0], releases);
  const columns: Column<Release>[] = [
    { id: "version", header: "Version", value: (r) => r.version, render: (r) => <span className="mono" style={{ fontWeight: 600 }}>{r.version}</span> },
    {
      id: "runs",
      header: "Runs in",
      render: (r) => (r.target_of.length === 0 ? <span className="softer">–</span> : <Status status={{ look: "ok", word: r.target_of.join(", ") }} />),
    },
    { id: "created", header: "Made", value: (r) => r.created_at, render: (r) => <Ago at={r.created_at} />, align: "right", largestFirst: true },
    { id: "by", header: "By", value: (r) => r.created_by, render: (r) => r.created_by, priority: 3 },
    {
      id: "git",
      header: "From",
      priority: 3,
      render: (r) =>
        r.git === null ? (
          <span className="softer">no git</span>
        ) : (
          <span title={`${r.git.commit}${r.git.dirty ? ", with uncommitted changes" : ""}`}>
            <span className="mono">{r.git.commit.slice(0, 8)}</span>
            {r.git.branch ? <span className="softer"> {r.git.branch}</span> : null}
            {r.git.dirty ? <span style={{ color: "var(--warning)" }}> + changes</span> : null}
          </span>
        ),
    },
    { id: "digest", header: "Digest", render: (r) => <span className="mono" title={r.artifact_digest}>{short(r.artifact_digest)}</span>, priority: 4 },
    { id: "files", header: "Files", value: (r) => r.file_count, render: (r) => count(r.file_count), align: "right", priority: 4, largestFirst: true },
    { id: "size", header: "Size", value: (r) => r.total_bytes, render: (r) => bytes(r.total_bytes), align: "right", priority: 2, largestFirst: true },
    {
      id: "deploy",
      header: "",
      align: "right",
      render: (r) => (
        <ActionButton size="compact-xs" can={can} onClick={() => set({ deploy: r.version })}>
          Deploy
        </ActionButton>
      ),
    },
  ];
  return (
    <DataTable
      label="Releases"
      columns={columns}
      rows={releases}
      rowKey={(release) => release.id}
      sort={{ value: sort, fallback: "-created", set: setSort }}
      empty={
        <Empty icon="application" title="No releases yet" commands={[`muster release create ${application.name} --dir . --version 1.0.0`]}>
          A release is the folder of the application, packed as it is, under a version that never changes.
        </Empty>
      }
    />
  );
}

import { Select } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useMemo, type JSX } from "react";
import { fleetVersionQuery, fleetVersionsQuery } from "../../api/queries";
import type { FleetFile } from "../../api/types";
import { DiffView } from "../../components/Code";
import { Loaded, SkeletonBlock } from "../../components/Loaded";
import { Empty } from "../../components/Notice";
import { Panel } from "../../components/Panel";
import { useSearchState } from "../../hooks/useSearchState";
import { diffFiles } from "../../util/diff";
import { plural } from "../../util/format";
import classes from "./ConfigurationPage.module.css";

/** What a version changed, against the one before or another. */
export function VersionPanel({ version, inForce }: { version: number; inForce: number }): JSX.Element {
  const [{ compare }, set] = useSearchState();
  const versions = useQuery(fleetVersionsQuery).data?.items ?? [];
  const base = compare === undefined ? version - 1 : Number(compare);
  const after = useQuery(fleetVersionQuery(version));
  const before = useQuery({ ...fleetVersionQuery(base), enabled: base > 0 });
  const choices = [{ value: "0", label: "nothing" }, ...versions.filter((each) => each.version !== version).map((each) => ({ value: String(each.version), label: `version ${each.version}` }))];
  return (
    <Panel
      title={`Version ${version}`}
      note={version === inForce ? "in force" : undefined}
      actions={
        <span className="row small">
          <span className="soft">against</span>
          <Select size="xs" w={130} aria-label="Compare with" data={choices} value={String(base)} onChange={(value) => set({ compare: value === String(version - 1) ? undefined : (value ?? undefined) })} />
        </span>
      }
    >
      <Loaded query={after} skeleton={<SkeletonBlock height={320} />}>
        {(fresh) => {
          if (base <= 0) return <Changes before={[]} after={fresh.files} />;
          return (
            <Loaded query={before} skeleton={<SkeletonBlock height={320} />}>
              {(old) => <Changes before={old.files} after={fresh.files} />}
            </Loaded>
          );
        }}
      </Loaded>
    </Panel>
  );
}

function Changes({ before, after }: { before: readonly FleetFile[]; after: readonly FleetFile[] }): JSX.Element {
  const files = useMemo(() => diffFiles(before, after), [before, after]);
  if (files.length === 0) return <Empty icon="configuration" title="Both versions have the same files" />;
  return (
    <>
      {files.map((file) => (
        <div key={file.path} className={classes.file}>
          <div className={classes.fileHead}>
            <span className="mono grow">{file.path}</span>
            <span className={`num ${classes.plus}`} title={`${plural(file.added, "line")} added`}>
              +{file.added}
            </span>
            <span className={`num ${classes.minus}`} title={`${plural(file.removed, "line")} removed`}>
              −{file.removed}
            </span>
          </div>
          <DiffView path={file.path} lines={file.lines} />
        </div>
      ))}
    </>
  );
}

// The fleet configuration: what is in force, and how it came to be. Read-only: it is changed where its files are kept.
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { JSX } from "react";
import { fleetConfigurationQuery, fleetVersionsQuery } from "../../api/queries";
import type { FleetConfigurationDetail, FleetConfigurationVersion } from "../../api/types";
import { Command } from "../../components/Command";
import { Loaded, SkeletonBlock, SkeletonRows } from "../../components/Loaded";
import { Empty } from "../../components/Notice";
import { PageHeader } from "../../components/PageHeader";
import { Panel } from "../../components/Panel";
import { Ago } from "../../components/Time";
import { useSearchState } from "../../hooks/useSearchState";
import classes from "./ConfigurationPage.module.css";
import { FilesPanel } from "./FilesPanel";
import { VersionPanel } from "./VersionPanel";

export function ConfigurationPage(): JSX.Element {
  const current = useQuery(fleetConfigurationQuery);
  return (
    <>
      <PageHeader
        title="Fleet configuration"
        meta={
          current.data && (
            <>
              <span>
                version <b className="num">{current.data.version}</b> in force
              </span>
              <span>
                applied <Ago at={current.data.created_at} /> by {current.data.author}
              </span>
            </>
          )
        }
      />
      <Loaded query={current} skeleton={<SkeletonBlock height={420} />}>
        {(data) => (data === null ? <None /> : <InForce current={data} />)}
      </Loaded>
    </>
  );
}

function None(): JSX.Element {
  return (
    <Panel>
      <Empty icon="configuration" title="No fleet configuration yet" commands={["muster apply -f fleet/ --dry-run", "muster apply -f fleet/"]}>
        A folder of YAML files says which environments, nodes and applications there are. The first command shows what would change, the second applies it.
      </Empty>
    </Panel>
  );
}

function InForce({ current }: { current: FleetConfigurationDetail }): JSX.Element {
  const [{ version }] = useSearchState();
  const versions = useQuery(fleetVersionsQuery);
  const chosen = Number(version);
  return (
    <div className={classes.columns}>
      {Number.isInteger(chosen) && chosen > 0 ? <VersionPanel version={chosen} inForce={current.version} /> : <FilesPanel files={current.files} />}
      <div className="stack">
        <Panel title="Versions">
          <Loaded query={versions} skeleton={<SkeletonRows rows={6} height={44} />}>
            {(data) => <Versions versions={data.items} inForce={current.version} chosen={Number.isInteger(chosen) && chosen > 0 ? chosen : null} />}
          </Loaded>
        </Panel>
        <Panel title="To change it" padded>
          <p className="soft" style={{ marginBottom: 8 }}>
            Edit the files where you keep them, then look and apply:
          </p>
          <div className="stack" style={{ gap: 6 }}>
            <Command text="muster apply -f fleet/ --dry-run" />
            <Command text="muster apply -f fleet/" />
          </div>
        </Panel>
      </div>
    </div>
  );
}

function Versions({ versions, inForce, chosen }: { versions: readonly FleetConfigurationVersion[]; inForce: number; chosen: number | null }): JSX.Element {
  return (
    <ul className={classes.versions}>
      <li>
        <Link to="/fleet-configuration" search={{}} data-chosen={chosen === null || undefined} activeOptions={{ exact: true, includeSearch: true }}>
          <b>In force</b>
          <span className="softer small">the files of version {inForce}</span>
        </Link>
      </li>
      {versions.map((version) => (
        <li key={version.version}>
          <Link to="/fleet-configuration" search={{ version: String(version.version) }} data-chosen={chosen === version.version || undefined} activeOptions={{ exact: true, includeSearch: true }}>
            <span>
              Version <b className="num">{version.version}</b>
            </span>
            <span className="softer small">
              <Ago at={version.created_at} /> by {version.author}
            </span>
          </Link>
        </li>
      ))}
    </ul>
  );
}

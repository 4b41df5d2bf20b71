import type { JSX } from "react";
import type { ApplicationDetail } from "../../api/types";
import { CodeView } from "../../components/Code";
import { Empty } from "../../components/Notice";
import { toYaml } from "../../util/yaml";

/** What the fleet configuration in force says of it. */
export function Declaration({ application }: { application: ApplicationDetail }): JSX.Element {
  if (application.declaration === null) {
    return (
      <Empty icon="configuration" title="Not declared" commands={["muster apply -f fleet/"]}>
        The fleet configuration in force does not name it.
      </Empty>
    );
  }
  return <CodeView path="declaration.yaml" content={toYaml({ applications: { [application.name]: application.declaration } })} />;
}

import { Button } from "@mantine/core";
import type { JSX } from "react";
import type { FirstRunStep } from "../../util/firstRun";
import { EXAMPLE_FLEET } from "../../util/firstRun";
import { CodeView } from "../../components/Code";
import { Command, CopyButton } from "../../components/Command";
import { Icon } from "../../components/Icon";
import { Panel } from "../../components/Panel";
import { StatusMark } from "../../components/Status";
import classes from "./FleetPage.module.css";

/** From "no nodes" to "release running", read from the real state: each step is ticked when the fleet shows it. */
export function FirstRun({ steps, missing, invite }: { steps: FirstRunStep[]; missing: readonly string[]; invite: () => void }): JSX.Element {
  const now = steps.findIndex((step) => !step.done);
  return (
    <Panel title="First steps" note={`${steps.filter((step) => step.done).length} of ${steps.length} done`}>
      <ol className={classes.steps}>
        {steps.map((step, index) => (
          <li key={step.id} className={step.done ? "" : index === now ? classes.now : classes.later}>
            {step.done ? <StatusMark look="ok" size={24} label="done" /> : <span className={classes.stepNumber}>{index + 1}</span>}
            <div>
              <p className={classes.stepTitle}>{step.title}</p>
              {index === now && (
                <div className={classes.stepBody}>
                  <p className="soft">{step.why}</p>
                  {step.id === "fleet" && <Example />}
                  {step.id === "node" && missing.length > 0 && (
                    <p className="soft">
                      Declared and waiting for a host: <span className="mono">{missing.join(", ")}</span>
                    </p>
                  )}
                  {step.commands.map((command) => (
                    <Command key={command} text={command} />
                  ))}
                  {step.id === "node" && (
                    <Button style={{ alignSelf: "flex-start" }} leftSection={<Icon name="plus" size={14} />} onClick={invite}>
                      Invite a node from here
                    </Button>
                  )}
                </div>
              )}
            </div>
          </li>
        ))}
      </ol>
    </Panel>
  );
}

function Example(): JSX.Element {
  return (
    <Panel title={<span className="mono">fleet/fleet.yaml</span>} note="to start from" actions={<CopyButton text={EXAMPLE_FLEET} label="Copy the file" />}>
      <CodeView path="fleet/fleet.yaml" content={EXAMPLE_FLEET} />
    </Panel>
  );
}

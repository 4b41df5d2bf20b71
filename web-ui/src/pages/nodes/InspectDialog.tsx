import { Button, Modal } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState, type JSX } from "react";
import { api } from "../../api/client";
import { ApiError } from "../../api/problem";
import type { Inspection, NodeDetail } from "../../api/types";
import { CodeView } from "../../components/Code";
import { Command, CopyButton } from "../../components/Command";
import { Loaded, SkeletonBlock } from "../../components/Loaded";
import { Empty } from "../../components/Notice";
import { Status } from "../../components/Status";
import { Elapsed } from "../../components/Time";
import { plural } from "../../util/format";
import classes from "./InspectDialog.module.css";

/** Reads what is on a host and shows how it would be declared. Nothing is changed on it. */
export function InspectDialog({ node, close }: { node: NodeDetail; close: () => void }): JSX.Element {
  const [since] = useState(() => new Date().toISOString());
  const inspection = useQuery({
    queryKey: ["inspection", node.name, since],
    queryFn: ({ signal }) => api.nodeInspect(node.name, signal),
    staleTime: Infinity,
    gcTime: 0,
    // Asking a host twice does not make it answer; what failed for another reason is tried once more.
    retry: (count, error) => !(error instanceof ApiError && error.status >= 400) && count < 1,
  });
  return (
    <Modal opened onClose={close} title={<strong>What is on {node.name}</strong>} size={880} closeButtonProps={{ "aria-label": "Close" }}>
      <Loaded
        query={inspection}
        skeleton={
          <div className="stack" style={{ gap: 12 }}>
            <div className="row wrap" role="status">
              <Status status={{ look: "busy", word: `${node.name} looks at its packages, services, users and files` }} />
              <span className="small softer">
                <Elapsed from={since} />, at most 25 s
              </span>
            </div>
            <SkeletonBlock height={280} />
          </div>
        }
      >
        {(data) => <Found inspection={data} close={close} />}
      </Loaded>
    </Modal>
  );
}

function Found({ inspection, close }: { inspection: Inspection; close: () => void }): JSX.Element {
  const { fragment, notes, node } = inspection;
  return (
    <div className="stack" style={{ gap: 14 }}>
      {fragment === "" ? (
        <Empty icon="configuration" title="There is nothing to declare">
          What is on the host is what a fresh one has, or is declared already.
        </Empty>
      ) : (
        <>
          <p className="soft">Put this into a fleet file. Applied to this host it changes nothing: it declares what is there.</p>
          <div className={classes.fragment}>
            <div className={classes.head}>
              <span className="mono grow">{node}.yaml</span>
              <span className="small softer num">{plural(fragment.replace(/\n$/, "").split("\n").length, "line")}</span>
              <CopyButton text={fragment} label="Copy the fragment" />
            </div>
            <div className={classes.code}>
              <CodeView path={`${node}.yaml`} content={fragment} />
            </div>
          </div>
        </>
      )}
      {notes.length > 0 && (
        <section aria-label="Left out, and why">
          <h3 className={classes.title}>Left out, and why</h3>
          <ul className={classes.notes}>
            {notes.map((note, index) => (
              <li key={index}>{note}</li>
            ))}
          </ul>
        </section>
      )}
      {fragment !== "" && <Command text={`muster plan -f fleet/ --node ${node}`} />}
      <div className="row" style={{ justifyContent: "flex-end" }}>
        <Button variant="default" size="sm" onClick={close}>
          Close
        </Button>
      </div>
    </div>
  );
}

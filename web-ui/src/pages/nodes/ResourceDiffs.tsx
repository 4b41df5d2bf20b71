import { useQuery } from "@tanstack/react-query";
import type { JSX } from "react";
import { resourceQuery } from "../../api/queries";
import type { ResourceDetail } from "../../api/types";
import { ChangeText } from "../../components/Code";
import { CauseLabel } from "../../components/Labels";
import { Loaded, SkeletonRows } from "../../components/Loaded";
import { Prose } from "../../components/Prose";
import { Ago } from "../../components/Time";
import classes from "./Resources.module.css";

/** What differs now, and what the last change was, under a row. */
export function ResourceDiffs({ node, resource }: { node: string; resource: string }): JSX.Element {
  const detail = useQuery(resourceQuery(node, resource));
  return (
    <Loaded query={detail} skeleton={<SkeletonRows rows={2} height={28} />}>
      {(data) => <Diffs detail={data} />}
    </Loaded>
  );
}

export function Diffs({ detail }: { detail: ResourceDetail }): JSX.Element {
  const changed = (detail.change_diff ?? detail.change_detail) !== null && detail.changed_at !== null;
  return (
    <div className={classes.diffs}>
      {detail.diff !== null && (
        <div>
          <div className={classes.caption}>What differs now</div>
          <ChangeText text={detail.diff} label={`What differs now of ${detail.key}`} />
        </div>
      )}
      {changed && (
        <div>
          <div className={classes.caption}>
            The last change <Ago at={detail.changed_at} />
            {detail.change !== null && <CauseLabel cause={detail.change} />}
          </div>
          {detail.change_diff !== null ? (
            <ChangeText text={detail.change_diff} label={`The last change of ${detail.key}`} />
          ) : (
            <p className="small soft" style={{ overflowWrap: "anywhere" }}>
              because: <Prose text={detail.change_detail ?? ""} />
            </p>
          )}
        </div>
      )}
      {detail.diff === null && !changed && <p className="small soft">Nothing differs, and no change of it is known.</p>}
    </div>
  );
}

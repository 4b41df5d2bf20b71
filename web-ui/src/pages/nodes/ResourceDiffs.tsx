import { useQuery } from "@tanstack/react-query";
import type { JSX } from "react";
import { resourceQuery } from "../../api/queries";
import type { ResourceDetail } from "../../api/types";
import { ChangeText } from "../../components/Code";
import { CauseLabel } from "../../components/Labels";
import { Loaded, SkeletonRows } from "../../components/Loaded";
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
  const last = detail.change_diff ?? detail.change_detail;
  return (
    <div className={classes.diffs}>
      {detail.diff !== null && (
        <div>
          <div className={classes.caption}>What differs now</div>
          <ChangeText text={detail.diff} label={`What differs now of ${detail.key}`} />
        </div>
      )}
      {last !== null && detail.changed_at !== null && (
        <div>
          <div className={classes.caption}>
            The last change <Ago at={detail.changed_at} />
            {detail.change !== null && <CauseLabel cause={detail.change} />}
          </div>
          <ChangeText text={last} label={`The last change of ${detail.key}`} />
        </div>
      )}
      {detail.diff === null && last === null && <p className="small soft">Nothing differs, and no change of it is known.</p>}
    </div>
  );
}

import { Skeleton } from "@mantine/core";
import type { JSX, ReactNode } from "react";
import { ErrorNotice, StaleStrip } from "./Notice";

/** What is used of a query of any kind. */
export interface Asked<T> {
  data: T | undefined;
  error: unknown;
  isError: boolean;
  isFetching: boolean;
  refetch: () => Promise<unknown>;
}

interface Props<T> {
  query: Asked<T>;
  skeleton?: ReactNode;
  children: (data: T) => ReactNode;
}

/** Skeleton, then data, or the reason and a way to try again. Nothing spins for ever. */
export function Loaded<T>({ query, skeleton, children }: Props<T>): JSX.Element {
  const retry = (): void => void query.refetch();
  if (query.data !== undefined) {
    return (
      <>
        {query.isError && !query.isFetching && <StaleStrip error={query.error} retry={retry} />}
        {children(query.data)}
      </>
    );
  }
  if (query.isError) {
    return (
      <div style={{ padding: 14 }}>
        <ErrorNotice error={query.error} retry={retry} />
      </div>
    );
  }
  return <>{skeleton ?? <SkeletonRows />}</>;
}

const WIDTHS = ["62%", "48%", "71%", "55%", "66%", "43%", "58%", "69%"];

export function SkeletonRows({ rows = 5, height = 36 }: { rows?: number; height?: number }): JSX.Element {
  return (
    <div aria-busy="true" aria-label="Loading" role="status" style={{ padding: "0 14px" }}>
      {Array.from({ length: rows }, (_, row) => (
        <div key={row} style={{ display: "flex", alignItems: "center", gap: 16, height }}>
          <Skeleton height={10} width={16} circle />
          <Skeleton height={10} width={WIDTHS[row % WIDTHS.length]} />
          <Skeleton height={10} width={64} />
        </div>
      ))}
    </div>
  );
}

export function SkeletonBlock({ height }: { height: number }): JSX.Element {
  return (
    <div aria-busy="true" aria-label="Loading" role="status">
      <Skeleton height={height} radius="8px" />
    </div>
  );
}

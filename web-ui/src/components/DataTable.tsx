import { useState, type JSX, type ReactNode } from "react";
import { nextSort, parseSort, sortRows, type SortValue } from "../util/table";
import classes from "./DataTable.module.css";
import { Icon } from "./Icon";

export interface Column<R> {
  id: string;
  header: string;
  render: (row: R) => ReactNode;
  /** Makes the column sortable. */
  value?: (row: R) => SortValue;
  align?: "left" | "right";
  /** Columns of a higher priority number go first when there is little room. */
  priority?: 1 | 2 | 3 | 4;
  width?: number | string;
  /** The first click sorts the largest first. */
  largestFirst?: boolean;
}

interface Props<R> {
  label: string;
  columns: Column<R>[];
  rows: readonly R[];
  rowKey: (row: R) => string;
  /** The state of sorting, as it stands in the URL; absent: the rows keep their order. */
  sort?: { value: string | undefined; fallback: string; set: (value: string) => void };
  /** Shown instead of rows. */
  empty?: ReactNode;
  /** A second, full-width line under a row. */
  renderDetail?: (row: R) => ReactNode;
  /** Shows so many rows until somebody wants all. */
  cap?: number;
}

const PRIORITY = ["", "", classes.p2, classes.p3, classes.p4];

export function DataTable<R>({ label, columns, rows, rowKey, sort, empty, renderDetail, cap }: Props<R>): JSX.Element {
  const [all, setAll] = useState(false);
  const current = sort === undefined ? null : parseSort(sort.value, sort.fallback);
  const by = columns.find((column) => column.id === current?.column)?.value;
  const tie = columns.find((column) => column.value !== undefined)?.value;
  const sorted = by === undefined || current === null ? rows : sortRows(rows, by, current.descending, tie ?? rowKey);
  // A few more than the cap are shown rather than hidden behind a button.
  const shown = cap === undefined || all || sorted.length <= cap + 3 ? sorted : sorted.slice(0, cap);
  if (rows.length === 0 && empty !== undefined) return <>{empty}</>;

  const cell = (column: Column<R>): string => `${column.align === "right" ? `${classes.right} num` : ""} ${PRIORITY[column.priority ?? 1] ?? ""}`;
  return (
    // A region that scrolls sideways has to be reachable with the keyboard.
    <div className={classes.scroll} tabIndex={0} role="region" aria-label={label}>
      <table className={classes.table}>
        <thead>
          <tr>
            {columns.map((column) => {
              const active = current?.column === column.id;
              return (
                <th key={column.id} scope="col" className={cell(column)} style={{ width: column.width }} aria-sort={active ? (current.descending ? "descending" : "ascending") : undefined}>
                  {sort !== undefined && current !== null && column.value !== undefined ? (
                    <button type="button" className={`${classes.sort} ${active ? classes.sorted : ""}`} onClick={() => sort.set(nextSort(current, column.id, column.largestFirst ?? false))}>
                      {column.header}
                      <Icon name={active ? (current.descending ? "down" : "up") : "sort"} size={11} />
                    </button>
                  ) : (
                    column.header
                  )}
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody>
          {shown.map((row) => (
            <Row key={rowKey(row)} row={row} columns={columns} cell={cell} detail={renderDetail?.(row)} />
          ))}
        </tbody>
      </table>
      {shown.length < sorted.length && (
        <button type="button" className={classes.more} onClick={() => setAll(true)}>
          Show all {sorted.length}
        </button>
      )}
    </div>
  );
}

function Row<R>({ row, columns, cell, detail }: { row: R; columns: Column<R>[]; cell: (column: Column<R>) => string; detail: ReactNode }): JSX.Element {
  return (
    <>
      <tr>
        {columns.map((column) => (
          <td key={column.id} className={cell(column)}>
            {column.render(row)}
          </td>
        ))}
      </tr>
      {detail ? (
        <tr>
          <td colSpan={columns.length} style={{ paddingTop: 0 }}>
            {detail}
          </td>
        </tr>
      ) : null}
    </>
  );
}

import { Button, SegmentedControl } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState, type JSX } from "react";
import { eventsQuery, metricsQuery } from "../../api/queries";
import type { MetricsPoint, MetricsSeries, NodeDetail } from "../../api/types";
import { Chart, type ChartSeries } from "../../components/Chart";
import { Loaded, SkeletonBlock } from "../../components/Loaded";
import { Panel } from "../../components/Panel";
import { useSearchState } from "../../hooks/useSearchState";
import { columns, markers, type Marker } from "../../util/chart";
import { bytes, bytesPerSecond, decimal, exact, percent } from "../../util/format";
import { RANGES, defaultRange, parseRange, type Range } from "../../util/range";
import classes from "./NodeGraphs.module.css";

interface Graph {
  title: string;
  series: ChartSeries[];
  pick: ((point: MetricsPoint) => number)[];
  format: (value: number | null | undefined) => string;
  binary?: boolean;
  top?: (node: NodeDetail, points: readonly MetricsPoint[]) => number;
}

const wholePercent = (value: number | null | undefined): string => percent(value);
const load = (value: number | null | undefined): string => decimal(value);

const GRAPHS: Graph[] = [
  { title: "CPU", series: [{ label: "used", colour: 1, fill: true }], pick: [(p) => p.cpu_percent], format: wholePercent, top: () => 100 },
  {
    title: "Memory",
    series: [{ label: "used", colour: 1, fill: true }, { label: "swap", colour: 3 }],
    pick: [(p) => p.memory_used_bytes, (p) => p.swap_used_bytes],
    format: bytes,
    binary: true,
    top: (node, points) => points.at(-1)?.memory_total_bytes ?? node.facts.memory_bytes,
  },
  {
    title: "Disk",
    series: [{ label: "used", colour: 1, fill: true }],
    pick: [(p) => p.disk_used_bytes],
    format: bytes,
    binary: true,
    top: (_, points) => points.at(-1)?.disk_total_bytes ?? 0,
  },
  {
    title: "Load",
    series: [{ label: "1 min", colour: 1 }, { label: "5 min", colour: 2 }, { label: "15 min", colour: 3 }],
    pick: [(p) => p.load_1, (p) => p.load_5, (p) => p.load_15],
    format: load,
    top: (node) => node.facts.cpus,
  },
  {
    title: "Network",
    series: [{ label: "received", colour: 1, fill: true }, { label: "sent", colour: 2 }],
    pick: [(p) => p.network_rx_bytes_per_s, (p) => p.network_tx_bytes_per_s],
    format: bytesPerSecond,
    binary: true,
    top: () => 1024,
  },
];

export function NodeGraphs({ node }: { node: NodeDetail }): JSX.Element {
  const [search, set] = useSearchState();
  const [fallback] = useState(() => defaultRange(node.enrolled_at, Date.now()));
  const range = useMemo(() => parseRange({ range: search.range, from: search.from, to: search.to }, fallback), [search.range, search.from, search.to, fallback]);
  const metrics = useQuery(metricsQuery(node.name, range.window));
  const events = useQuery(eventsQuery({ environment: node.environment }, 200));
  const fleet = useQuery(eventsQuery({ kind: "fleet_configuration.applied" }, 50));
  const marks = useMemo(
    () => markers([...(events.data?.items ?? []), ...(fleet.data?.items ?? [])], node.name, node.environment),
    [events.data, fleet.data, node.name, node.environment],
  );
  const fixed = range.live ? null : range.window.ends();
  return (
    <Panel
      title="Figures"
      note={fixed === null ? "live" : `${exact(fixed.from)} to ${exact(fixed.to)}`}
      actions={
        <>
          {!range.live && (
            <Button variant="default" size="compact-sm" onClick={() => set({ from: undefined, to: undefined })}>
              Back to live
            </Button>
          )}
          <SegmentedControl
            size="xs"
            aria-label="Time range"
            data={RANGES.map(({ value, label }) => ({ value, label }))}
            value={range.value}
            onChange={(value) => set({ range: value, from: undefined, to: undefined })}
          />
        </>
      }
    >
      <Loaded query={metrics} skeleton={<SkeletonBlock height={424} />}>
        {(data) => <Grid node={node} data={data} readAt={metrics.dataUpdatedAt} range={range} marks={marks} zoom={(from, to) => set({ from: new Date(from * 1000).toISOString(), to: new Date(to * 1000).toISOString() })} />}
      </Loaded>
    </Panel>
  );
}

interface GridProps {
  node: NodeDetail;
  data: MetricsSeries;
  readAt: number;
  range: Range;
  marks: readonly Marker[];
  zoom: (from: number, to: number) => void;
}

function Grid({ node, data, readAt, range, marks, zoom }: GridProps): JSX.Element {
  const window = useMemo(() => range.at(readAt), [range, readAt]);
  const drawn = useMemo(() => GRAPHS.map((graph) => columns(data.points, data.step_s, graph.pick)), [data]);
  const shown = marks.filter((mark) => mark.at >= window.from && mark.at <= window.to);
  return (
    <div className={classes.clip}>
      <div className={classes.grid}>
        {GRAPHS.map((graph, index) => (
          <Chart
            key={graph.title}
            title={graph.title}
            group={`node-${node.name}`}
            series={graph.series}
            data={drawn[index]!}
            window={window}
            markers={shown}
            format={graph.format}
            binary={graph.binary}
            top={graph.top?.(node, data.points)}
            zoom={zoom}
          />
        ))}
        <div className={classes.legend}>
          <p className={classes.legendTitle}>On the time axis</p>
          <p>▸ release reached this node</p>
          <p>✕ rollout failed</p>
          <p>▪ fleet configuration applied</p>
          <p className={classes.legendHint}>Drag over a graph to look closer. All graphs share one cursor.</p>
        </div>
      </div>
    </div>
  );
}

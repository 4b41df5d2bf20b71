// A graph over time. Graphs with the same `group` share their cursor; dragging over one asks for that time.
import { useComputedColorScheme } from "@mantine/core";
import { useEffect, useLayoutEffect, useRef, type JSX } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Marker } from "../util/chart";
import classes from "./Chart.module.css";

export interface ChartSeries {
  label: string;
  /** Which of the three colours of graphs. */
  colour: 1 | 2 | 3;
  fill?: boolean;
}

interface Props {
  title: string;
  group: string;
  series: ChartSeries[];
  /** Times in Unix seconds, then one column per series. */
  data: (number | null)[][];
  window: { from: number; to: number };
  markers: readonly Marker[];
  format: (value: number | null | undefined) => string;
  /** The axis counts in powers of two. */
  binary?: boolean;
  /** The axis goes at least to here. */
  top?: number;
  zoom: (from: number, to: number) => void;
}

const css = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function drawMarkers(plot: uPlot, markers: readonly Marker[]): void {
  const { ctx, bbox } = plot;
  ctx.save();
  for (const marker of markers) {
    const x = Math.round(plot.valToPos(marker.at, "x", true)) + 0.5;
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    const colour = marker.kind === "failure" ? css("--error") : marker.kind === "release" ? css("--accent") : css("--text-3");
    const size = 4 * devicePixelRatio;
    ctx.strokeStyle = colour;
    ctx.fillStyle = colour;
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.setLineDash([]);
    // A flag, a cross and a square: the kinds differ in shape too.
    ctx.beginPath();
    if (marker.kind === "release") {
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x + size * 1.8, bbox.top + size * 0.9);
      ctx.lineTo(x, bbox.top + size * 1.8);
      ctx.fill();
    } else if (marker.kind === "failure") {
      ctx.lineWidth = 2 * devicePixelRatio;
      ctx.moveTo(x - size, bbox.top);
      ctx.lineTo(x + size, bbox.top + size * 2);
      ctx.moveTo(x + size, bbox.top);
      ctx.lineTo(x - size, bbox.top + size * 2);
      ctx.stroke();
    } else ctx.fillRect(x - size * 0.7, bbox.top, size * 1.4, size * 1.4);
  }
  ctx.restore();
}

export function Chart({ title, group, series, data, window, markers, format, binary = false, top, zoom }: Props): JSX.Element {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const readings = useRef<(HTMLSpanElement | null)[]>([]);
  const latest = useRef({ data, markers, zoom, format, window });
  useLayoutEffect(() => {
    latest.current = { data, markers, zoom, format, window };
  });
  const colorScheme = useComputedColorScheme();
  const shape = JSON.stringify(series);

  // The plot is made anew only when its shape or the colours change; data flows into it.
  useEffect(() => {
    const element = host.current;
    if (element === null) return;
    const drawn = JSON.parse(shape) as ChartSeries[];
    const font = `11px ${css("--font-text")}`;
    const axis = { stroke: css("--text-3"), font, grid: { stroke: css("--line"), width: 1 }, ticks: { show: false } };
    const show = (index: number | null): void => {
      drawn.forEach((_, at) => {
        const column = latest.current.data[at + 1] ?? [];
        const value = index === null ? column.at(-1) : column[index];
        const target = readings.current[at];
        if (target) target.textContent = latest.current.format(value);
      });
    };
    const made = new uPlot(
      {
        width: element.clientWidth,
        height: 162,
        padding: [10, 20, 0, 0],
        legend: { show: false },
        cursor: { sync: { key: group }, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
        scales: {
          x: { time: true, range: () => [latest.current.window.from, latest.current.window.to] },
          y: { range: (_, __, max) => [0, Math.max(top ?? 0, (max ?? 0) * 1.08, Number.MIN_VALUE) || 1] },
        },
        axes: [
          { ...axis, size: 28, values: timeLabels },
          { ...axis, size: 66, values: (_, ticks) => ticks.map((tick) => round(latest.current.format(tick))), space: 30, ...(binary ? { incrs: BINARY_STEPS } : {}) },
        ],
        series: [
          {},
          ...drawn.map((one) => ({
            label: one.label,
            stroke: css(`--chart-${one.colour}`),
            width: 1.5,
            fill: one.fill ? `${css(`--chart-${one.colour}`)}22` : undefined,
            points: { show: false },
          })),
        ],
        hooks: {
          draw: [(self) => drawMarkers(self, latest.current.markers)],
          setCursor: [(self) => show(self.cursor.idx ?? null)],
          setSelect: [
            (self) => {
              if (self.select.width > 6) latest.current.zoom(self.posToVal(self.select.left, "x"), self.posToVal(self.select.left + self.select.width, "x"));
              self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            },
          ],
        },
      },
      latest.current.data as uPlot.AlignedData,
      element,
    );
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: 162 }));
    observer.observe(element);
    show(null);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape, group, top, binary, colorScheme]);

  useEffect(() => {
    plot.current?.setData(data as uPlot.AlignedData);
    if (typeof plot.current?.cursor.idx !== "number") {
      series.forEach((_, at) => {
        const target = readings.current[at];
        if (target) target.textContent = format(data[at + 1]?.at(-1));
      });
    }
  }, [data, markers, window.from, window.to, format, series]);

  const said = series.map((one, at) => `${one.label} ${format(data[at + 1]?.at(-1))}`).join(", ");
  return (
    <figure className={classes.chart}>
      <figcaption className={classes.head}>
        <span className={classes.title}>{title}</span>
        <span className={classes.readings}>
          {series.map((one, at) => (
            <span key={one.label} className={classes.reading}>
              <i style={{ background: `var(--chart-${one.colour})` }} />
              {one.label}
              <span
                className={`num ${classes.value}`}
                ref={(element) => {
                  readings.current[at] = element;
                }}
              />
            </span>
          ))}
        </span>
      </figcaption>
      <div className={classes.plot} ref={host} role="img" aria-label={`${title}, latest: ${said}`} />
      {data[0]?.length === 0 && <div className={classes.none}>No figures in this time</div>}
    </figure>
  );
}

/** Steps of an axis of bytes: 1, 2, 5, 10 .. 500 of each binary unit. */
const BINARY_STEPS = [0, 1, 2, 3, 4].flatMap((power) => [1, 2, 5, 10, 20, 50, 100, 200, 500].map((step) => step * 1024 ** power));

/** `20.0 GiB` as `20 GiB`: an axis has whole steps. */
const round = (text: string): string => text.replace(/(\.\d*?)0+(?=\D|$)/, "$1").replace(/\.(?=\D|$)/, "");

const two = (value: number): string => String(value).padStart(2, "0");

/** `14:05`, and the day where it changes or where steps are days. */
function timeLabels(_: uPlot, ticks: number[], __: number, ___: number, step: number): string[] {
  let lastDay = "";
  return ticks.map((tick) => {
    const at = new Date(tick * 1000);
    const day = `${at.getDate()} ${at.toLocaleDateString("en-GB", { month: "short" })}`;
    if (step >= 86_400) return day;
    const time = `${two(at.getHours())}:${two(at.getMinutes())}${step < 60 ? `:${two(at.getSeconds())}` : ""}`;
    const isNew = lastDay !== "" && day !== lastDay;
    lastDay = day;
    return isNew ? day : time;
  });
}

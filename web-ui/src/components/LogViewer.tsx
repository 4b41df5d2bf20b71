import { Button, Select, TextInput } from "@mantine/core";
import { memo, useEffect, useLayoutEffect, useMemo, useRef, useState, type JSX } from "react";
import type { Process } from "../api/types";
import { useLogStream, type LogState } from "../hooks/useLogStream";
import { clock, count, exact, plural } from "../util/format";
import { parsePattern, passes, withoutColours, type LogEntry } from "../util/logs";
import type { StatusWord } from "../util/status";
import { Icon } from "./Icon";
import classes from "./LogViewer.module.css";
import { Empty, ErrorNotice } from "./Notice";
import { Status } from "./Status";

const STATE: Record<LogState, StatusWord> = {
  opening: { look: "busy", word: "asking the nodes" },
  past: { look: "busy", word: "reading past lines" },
  following: { look: "ok", word: "live" },
  ended: { look: "off", word: "ended" },
  failed: { look: "error", word: "broken" },
};

interface Props {
  application: string;
  environment: string;
  processes: readonly Process[];
  filter: string | undefined;
  setFilter: (value: string | undefined) => void;
  instance: string | undefined;
  setInstance: (value: string | undefined) => void;
}

export function LogViewer({ application, environment, processes, filter, setFilter, instance, setInstance }: Props): JSX.Element {
  const { entries, state, error, reopen } = useLogStream(application, environment);
  const [paused, setPaused] = useState<readonly LogEntry[] | null>(null);
  const { pattern, mistake } = useMemo(() => parsePattern(filter ?? ""), [filter]);
  const [node, number] = instance?.split("#") ?? [];
  const shown = useMemo(
    () => (paused ?? entries).filter((entry) => passes(entry, { node, instance: number === undefined ? undefined : Number(number), pattern })),
    [entries, paused, node, number, pattern],
  );
  const waiting = paused === null ? 0 : Math.max(0, (entries.at(-1)?.key ?? 0) - (paused.at(-1)?.key ?? 0));
  const instances = [
    { value: "", label: "All instances" },
    ...processes.filter((p) => p.environment === environment).map((p) => ({ value: `${p.node}#${p.instance}`, label: `${p.node} #${p.instance}` })),
  ];

  return (
    <div>
      <div className={classes.bar}>
        <Select size="xs" w={170} aria-label="Instance" data={instances} value={instance ?? ""} onChange={(value) => setInstance(value || undefined)} />
        <TextInput size="xs" w={230} maw="100%" aria-label="Filter by regular expression" placeholder="Filter (regular expression)" value={filter ?? ""} error={mistake} onChange={(event) => setFilter(event.currentTarget.value || undefined)} leftSection={<Icon name="search" size={13} />} />
        <Button variant="default" aria-pressed={paused !== null} leftSection={<Icon name={paused === null ? "pause" : "play"} size={13} />} onClick={() => setPaused(paused === null ? entries : null)}>
          {paused === null ? "Pause" : waiting > 0 ? `Resume (${count(waiting)} new)` : "Resume"}
        </Button>
        <span className={`${classes.state} row`}>
          <span className="num">{plural(shown.filter((entry) => entry.type === "line").length, "line")}</span>
          <Status status={paused === null ? STATE[state] : { look: "waiting", word: "paused" }} />
        </span>
      </div>
      {state === "failed" && (
        <div style={{ padding: 14 }}>
          <ErrorNotice error={error} retry={reopen} />
        </div>
      )}
      {state === "ended" && (
        <div className={classes.bar}>
          <span className="soft">The controller ended the stream.</span>
          <Button variant="default" onClick={reopen} leftSection={<Icon name="refresh" size={13} />}>
            Follow again
          </Button>
        </div>
      )}
      <Lines entries={shown} pattern={pattern} following={paused === null} settled={state === "following" || state === "ended"} />
    </div>
  );
}

/** Stays at the end while the reader is there; scrolling up holds the place. */
function Lines({ entries, pattern, following, settled }: { entries: readonly LogEntry[]; pattern: RegExp | undefined; following: boolean; settled: boolean }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const [atEnd, setAtEnd] = useState(true);
  const stick = atEnd && following;

  useLayoutEffect(() => {
    if (stick && box.current !== null) box.current.scrollTop = box.current.scrollHeight;
  }, [entries, stick]);

  // A resized window moves the end away without a scroll of the reader.
  useEffect(() => {
    const element = box.current;
    if (element === null || !stick) return;
    const observer = new ResizeObserver(() => {
      element.scrollTop = element.scrollHeight;
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [stick]);

  return (
    <div className={classes.view}>
      <div
        ref={box}
        className={classes.lines}
        tabIndex={0}
        role="log"
        aria-label="Log lines"
        aria-live="off"
        onScroll={(event) => {
          const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
          setAtEnd(scrollHeight - scrollTop - clientHeight < 24);
        }}
      >
        {entries.map((entry) => (
          <Line key={entry.key} entry={entry} pattern={pattern} />
        ))}
        {settled && !entries.some((entry) => entry.type === "line") && (
          <Empty icon="logs" title="No lines">
            Nothing was written yet, or nothing passes the filter. New lines appear by themselves.
          </Empty>
        )}
      </div>
      {!atEnd && (
        <Button className={classes.jump} size="compact-sm" onClick={() => box.current?.scrollTo({ top: box.current.scrollHeight })} leftSection={<Icon name="down" size={12} />}>
          To the end
        </Button>
      )}
    </div>
  );
}

const Line = memo(function Line({ entry, pattern }: { entry: LogEntry; pattern: RegExp | undefined }): JSX.Element {
  if (entry.type === "caught_up") return <div className={classes.divider}>caught up – live from here</div>;
  if (entry.type === "dropped") return <div className={`${classes.divider} ${classes.problem}`}>{`${plural(entry.count, "line")} of ${entry.node} left out: they came faster than they could be read`}</div>;
  if (entry.type === "problem") return <div className={`${classes.divider} ${classes.problem}`}>{`${entry.node}: ${entry.message}`}</div>;
  const at = new Date(entry.at);
  return (
    <div className={`${classes.line} ${entry.stream === "err" ? classes.err : ""}`} title={entry.stream === "err" ? "standard error" : undefined}>
      <time className={classes.when} dateTime={entry.at} title={exact(at)}>
        {clock(at)}
      </time>
      <span className={classes.from}>
        {entry.node}#{entry.instance}
      </span>
      <span className={classes.text}>
        <Marked text={withoutColours(entry.line)} pattern={pattern} />
      </span>
    </div>
  );
});

function Marked({ text, pattern }: { text: string; pattern: RegExp | undefined }): JSX.Element {
  const match = pattern === undefined ? null : pattern.exec(text);
  if (match === null || match[0] === "") return <>{text}</>;
  const end = match.index + match[0].length;
  return (
    <>
      {text.slice(0, match.index)}
      <mark>{match[0]}</mark>
      {text.slice(end)}
    </>
  );
}

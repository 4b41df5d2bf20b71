// Files and their differences, to read.
import { useMemo, useState, type JSX } from "react";
import { reportedLines, withContext, type DiffLine } from "../util/diff";
import { plural } from "../util/format";
import { highlightYaml, type TokenKind } from "../util/highlight";
import classes from "./Code.module.css";

const TOKEN: Record<TokenKind, string | undefined> = {
  plain: undefined,
  key: classes.key,
  text: classes.textual,
  figure: classes.figure,
  comment: classes.comment,
  mark: classes.punctuation,
};

function Tokens({ text, yaml }: { text: string; yaml: boolean }): JSX.Element {
  if (!yaml) return <>{text}</>;
  return (
    <>
      {highlightYaml(text).map((token, index) => (
        <span key={index} className={TOKEN[token.kind]}>
          {token.text}
        </span>
      ))}
    </>
  );
}

const isYaml = (path: string): boolean => /\.ya?ml$/.test(path);

export function CodeView({ path, content }: { path: string; content: string }): JSX.Element {
  const lines = content.replace(/\n$/, "").split("\n");
  return (
    <div className={classes.code} tabIndex={0} role="region" aria-label={path}>
      <div className={classes.lines}>
        {lines.map((line, index) => (
          <div key={index} className={classes.line}>
            <span className={classes.number} aria-hidden="true">
              {index + 1}
            </span>
            <span className={classes.text}>
              <Tokens text={line} yaml={isYaml(path)} />
            </span>
          </div>
        ))}
      </div>
    </div>
  );
}

const SIGN: Record<DiffLine["kind"], string> = { same: " ", added: "+", removed: "−" };

export function DiffView({ path, lines }: { path: string; lines: DiffLine[] }): JSX.Element {
  return (
    <div className={classes.code} tabIndex={0} role="region" aria-label={`Changes of ${path}`} style={{ padding: 0 }}>
      {withContext(lines).map((part, index) =>
        part.kind === "skipped" ? (
          <div key={index} className={classes.skipped}>
            {plural(part.count, "line")} unchanged
          </div>
        ) : (
          <div key={index} className={classes.lines}>
            {part.lines.map((line) => (
              <div key={`${line.before ?? ""}:${line.after ?? ""}`} className={`${classes.line} ${classes[line.kind] ?? ""}`}>
                <span className={classes.number} aria-hidden="true">
                  {line.before ?? ""}
                </span>
                <span className={classes.number} aria-hidden="true">
                  {line.after ?? ""}
                </span>
                <span className={classes.sign}>{SIGN[line.kind]}</span>
                <span className={classes.text}>
                  <Tokens text={line.text} yaml={isYaml(path)} />
                </span>
              </div>
            ))}
          </div>
        ),
      )}
    </div>
  );
}

const LINES_SHOWN = 40;

/** What differs, as an agent tells it: lines of facts, or a unified diff. A long one is shown in full when asked for. */
export function ChangeText({ text, label = "What was changed" }: { text: string; label?: string }): JSX.Element {
  const [all, setAll] = useState(false);
  const lines = useMemo(() => reportedLines(text), [text]);
  const shown = all || lines.length <= LINES_SHOWN + 3 ? lines : lines.slice(0, LINES_SHOWN);
  return (
    <div className={classes.change}>
      <div className={classes.code} tabIndex={0} role="region" aria-label={label}>
        <div className={classes.lines}>
          {shown.map((line, index) => (
            <div key={index} className={`${classes.line} ${classes[line.kind] ?? ""}`}>
              <span className={classes.sign}>{line.kind === "head" ? "" : SIGN[line.kind]}</span>
              <span className={classes.text}>{line.text}</span>
            </div>
          ))}
        </div>
      </div>
      {shown.length < lines.length && (
        <button type="button" className={classes.more} onClick={() => setAll(true)}>
          Show all {lines.length} lines
        </button>
      )}
    </div>
  );
}

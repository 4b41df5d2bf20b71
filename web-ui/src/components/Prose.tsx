import type { JSX } from "react";
import { useNow } from "../hooks/useNow";
import { clock, exact } from "../util/format";
import { proseParts } from "../util/prose";

/** A sentence of the controller or of an agent: commands look like commands, and times are those of the reader. */
export function Prose({ text }: { text: string }): JSX.Element {
  const now = useNow();
  return (
    <>
      {proseParts(text).map((part, index) => {
        if (part.kind === "text") return part.text;
        if (part.kind === "code") {
          return (
            <code key={index} className="mono">
              {part.text}
            </code>
          );
        }
        return (
          <time key={index} className="num" dateTime={part.text} title={exact(part.at)}>
            {part.at.toDateString() === now.toDateString() ? clock(part.at) : exact(part.at)}
          </time>
        );
      })}
    </>
  );
}

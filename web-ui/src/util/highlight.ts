// Colours for fleet files: enough YAML to tell keys, texts, figures and comments apart. Never wrong about the text itself.

export type TokenKind = "plain" | "key" | "text" | "figure" | "comment" | "mark";
export interface Token {
  kind: TokenKind;
  text: string;
}

const KEY = /^(\s*(?:- +)*)((?:"[^"]*"|'[^']*'|[A-Za-z0-9_./@-]+))(\s*:)(?=\s|$)/;
const PARTS = /(#.*$)|("(?:[^"\\]|\\.)*"|'(?:[^']|'')*')|([{}[\],]|^\s*- |&\w+|\*\w+|[|>][+-]?$)|((?:^|(?<=[\s[{,:]))(?:true|false|null|~|-?\d+(?:\.\d+)?)(?=$|[\s,\]}]))|([A-Za-z_][\w./-]*(?=:\s))/g;

export function highlightYaml(line: string): Token[] {
  const tokens: Token[] = [];
  const push = (kind: TokenKind, text: string): void => {
    if (text !== "") tokens.push({ kind, text });
  };
  let rest = line;
  const key = KEY.exec(line);
  if (key !== null) {
    push("mark", key[1] ?? "");
    push("key", key[2] ?? "");
    push("mark", key[3] ?? "");
    rest = line.slice(key[0].length);
  }
  let from = 0;
  for (const match of rest.matchAll(PARTS)) {
    const at = match.index;
    // A hash inside a word is no comment.
    if (match[1] !== undefined && at > 0 && !/\s/.test(rest[at - 1] ?? "")) continue;
    push("plain", rest.slice(from, at));
    const kind: TokenKind = match[1] !== undefined ? "comment" : match[2] !== undefined ? "text" : match[3] !== undefined ? "mark" : match[4] !== undefined ? "figure" : "key";
    push(kind, match[0]);
    from = at + match[0].length;
  }
  push("plain", rest.slice(from));
  return tokens;
}

// How the mock refuses, as the controller does: with a problem document.
export class Refused extends Error {
  constructor(status, code, title, detail, hint) {
    super(detail);
    this.problem = { type: `/problems/${code}`, title, status, code, detail, ...(hint ? { hint } : {}) };
  }
}

export const notFound = (what) => new Refused(404, "not_found", "Not found", `there is no ${what}`);
export const page = (items) => ({ items, next_cursor: null });

export function find(list, test, what) {
  const found = list.find(test);
  if (found === undefined) throw notFound(what);
  return found;
}

export const nodeOf = (state, name) => find(state.nodes, (node) => node.name === name, `node "${name}"`);

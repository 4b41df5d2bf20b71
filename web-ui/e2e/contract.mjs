// Whether an answer has the shape that docs/api/openapi.json promises, and that `src/api/schema.d.ts` is made from. Stricter than
// the document: an answer has every field, `null` for what is absent (see `Present` in `src/api/types.ts`), and no other.
import { readFileSync } from "node:fs";

const { paths, components } = JSON.parse(readFileSync(new URL("../../docs/api/openapi.json", import.meta.url), "utf8"));
const { schemas } = components;

const ROUTES = Object.entries(paths).map(([path, operations]) => ({ operations, pattern: new RegExp(`^${path.replaceAll(/\{\w+\}/g, "[^/]+")}$`), fixed: !path.includes("{") }));
const resolve = (schema) => (schema?.$ref === undefined ? schema : resolve(schemas[schema.$ref.split("/").at(-1)]));

const FORMATS = {
  "date-time": (value) => !Number.isNaN(Date.parse(value)) && /^\d{4}-\d\d-\d\dT/.test(value),
  uuid: (value) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(value),
};

const TYPES = {
  string: (value) => typeof value === "string",
  boolean: (value) => typeof value === "boolean",
  number: (value) => typeof value === "number",
  integer: (value) => Number.isInteger(value),
  array: (value) => Array.isArray(value),
  object: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  null: (value) => value === null,
};

/** All the parts of an object that is put together as one. */
function properties(schema) {
  const found = resolve(schema);
  if (found.allOf === undefined) return found.properties ?? {};
  return Object.assign({}, ...found.allOf.map(properties));
}

function* mismatches(schema, value, at) {
  const found = resolve(schema);
  // Any JSON.
  if (found === undefined || Object.keys(found).every((key) => key === "description")) return;
  if (found.oneOf !== undefined) {
    const tried = found.oneOf.map((each) => [...mismatches(each, value, at)]);
    if (!tried.some((each) => each.length === 0)) yield* tried.filter((each, index) => resolve(found.oneOf[index]).type !== "null").toSorted((a, b) => a.length - b.length)[0] ?? [];
    return;
  }
  const types = found.allOf === undefined ? [found.type ?? []].flat() : ["object"];
  if (types.length > 0 && !types.some((type) => TYPES[type](value))) {
    yield `${at} is ${JSON.stringify(value)?.slice(0, 60)}, not ${types.join(" or ")}`;
    return;
  }
  if (value === null) return;
  if (found.enum !== undefined && !found.enum.includes(value)) yield `${at} is ${JSON.stringify(value)}, not one of ${found.enum.join(", ")}`;
  if (found.minimum !== undefined && value < found.minimum) yield `${at} is ${value}, less than ${found.minimum}`;
  if (typeof value === "string" && FORMATS[found.format]?.(value) === false) yield `${at} is ${JSON.stringify(value)}, no ${found.format}`;
  if (Array.isArray(value)) {
    for (const [index, each] of value.entries()) yield* mismatches(found.items, each, `${at}[${index}]`);
  } else if (typeof value === "object") {
    const known = properties(found);
    if (Object.keys(known).length === 0) {
      if (typeof found.additionalProperties === "object") for (const [key, each] of Object.entries(value)) yield* mismatches(found.additionalProperties, each, `${at}.${key}`);
      return;
    }
    for (const [key, each] of Object.entries(known)) {
      if (value[key] === undefined) yield `${at}.${key} is missing`;
      else yield* mismatches(each, value[key], `${at}.${key}`);
    }
    for (const key of Object.keys(value)) if (!Object.hasOwn(known, key)) yield `${at}.${key} is not in the document`;
  }
}

/** What is wrong with an answer to `METHOD /api/v1/...`; nothing when it is as promised. */
export function answerMismatches(method, path, status, body) {
  const routes = ROUTES.filter((route) => route.pattern.test(path)).toSorted((a, b) => Number(b.fixed) - Number(a.fixed));
  const operation = routes[0]?.operations[method.toLowerCase()];
  if (operation === undefined) return [`${method} ${path} is not in the document`];
  const promised = operation.responses[String(status)];
  if (promised === undefined) return status >= 400 ? [] : [`${method} ${path} answers ${status}, which is not in the document`];
  const schema = promised.content?.["application/json"]?.schema;
  if (schema === undefined) return [];
  return [...mismatches(schema, body, "")].map((each) => `${method} ${path}: ${each}`);
}

/** The same of a message of `GET /api/v1/live`. */
export const liveMismatches = (message) => [...mismatches({ $ref: "#/components/schemas/LiveMessage" }, message, "")].map((each) => `live message ${JSON.stringify(message).slice(0, 60)}: ${each}`);

/** Status requests (MSC4300) as they stand in an event's clear content: found, checked, never thrown about. */
import { dialects, requestBlocks, responseBlocks, type Dialect } from "./dialects.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "./json.ts";

export interface StatusRequest {
  readonly fromDevice: string;
  /** The only device that should answer; null where every device may. */
  readonly toDevice: string | null;
  /** In milliseconds, as the sender asks, not bounded yet; null where the sender leaves it open. */
  readonly lifetimeMs: number | null;
}

export type RequestReading =
  | { readonly kind: "none" }
  | { readonly kind: "request"; readonly dialect: Dialect; readonly request: StatusRequest }
  | {
      readonly kind: "malformed";
      readonly dialect: Dialect;
      /** Each names a property and what is expected there, never what was found. At least one. */
      readonly problems: readonly string[];
      /** What could be read all the same; null where it is absent or wrong. */
      readonly fromDevice: string | null;
      readonly toDevice: string | null;
      readonly lifetimeMs: number | null;
    };

/**
 * Finds the request that counts: the block of the first dialect of the operator's list that stands in the content. Blocks of
 * other dialects beside it are not judged, and those of dialects that are switched off are not seen.
 * @param content clear content; the outer content of an encrypted event must never be passed
 * @param enabledDialects in the operator's order
 */
export function readRequest(content: JsonObject, enabledDialects: readonly Dialect[]): RequestReading {
  for (const dialect of enabledDialects) {
    const name = dialects[dialect].requestBlock;
    // hasOwn: a name that every object inherits must not be taken for one that the sender wrote.
    if (Object.hasOwn(content, name)) return readBlock(dialect, name, content[name]);
  }
  return { kind: "none" };
}

function readBlock(dialect: Dialect, name: string, block: JsonValue | undefined): RequestReading {
  const nothing = { fromDevice: null, toDevice: null, lifetimeMs: null };
  if (!isJsonObject(block)) return { kind: "malformed", dialect, problems: [`${name} must be an object`], ...nothing };

  const problems: string[] = [];
  const property = (key: string): JsonValue | undefined => (Object.hasOwn(block, key) ? block[key] : undefined);

  const fromDevice = property("from_device");
  if (fromDevice === undefined) problems.push(`${name}.from_device is missing: it must be a string`);
  else if (typeof fromDevice !== "string") problems.push(`${name}.from_device must be a string`);

  const toDevice = property("to_device");
  if (toDevice !== undefined && typeof toDevice !== "string") problems.push(`${name}.to_device must be a string`);

  const lifetime = property("lifetime");
  // A huge integer is well-formed (the operator's maximum bounds it); one so huge that it reads as infinity is not.
  const lifetimeIsValid = typeof lifetime === "number" && Number.isInteger(lifetime) && lifetime >= 0;
  if (lifetime !== undefined && !lifetimeIsValid)
    problems.push(`${name}.lifetime must be an integer of milliseconds, 0 or more`);

  const read = {
    toDevice: typeof toDevice === "string" ? toDevice : null,
    // `+ 0` turns -0 into 0.
    lifetimeMs: lifetimeIsValid ? lifetime + 0 : null,
  };
  if (problems.length > 0 || typeof fromDevice !== "string")
    return {
      kind: "malformed",
      dialect,
      problems,
      fromDevice: typeof fromDevice === "string" ? fromDevice : null,
      ...read,
    };
  return { kind: "request", dialect, request: { fromDevice, ...read } };
}

/** Whether a top-level property of a content belongs to the status protocol (any dialect) or to relations, not to the event's own type. */
export function isProtocolProperty(name: string): boolean {
  return requestBlocks.has(name) || responseBlocks.has(name) || name === "m.relates_to";
}

/**
 * The request as it stands in an event's content.
 * @throws TypeError for a lifetime that is no integer of milliseconds, 0 or more
 */
export function buildRequest(dialect: Dialect, { fromDevice, toDevice, lifetimeMs }: StatusRequest): JsonObject {
  if (lifetimeMs !== null && !(Number.isSafeInteger(lifetimeMs) && lifetimeMs >= 0))
    throw new TypeError("a lifetime is an integer of milliseconds, 0 or more");
  return {
    [dialects[dialect].requestBlock]: {
      from_device: fromDevice,
      ...(lifetimeMs === null ? {} : { lifetime: lifetimeMs }),
      ...(toDevice === null ? {} : { to_device: toDevice }),
    },
  };
}

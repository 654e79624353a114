/**
 * Event capabilities: the question which events a client understands (MSC4301), its answer, and the profile field that says it
 * ahead of time (MSC4401). Pure.
 */
import { isJsonObject, type JsonObject, type JsonValue } from "./json.ts";

/** What an event's content must have at one place (MSC4301, `content`). */
export interface ContentRequirement {
  /** Path into the content: names with dots between them, `\.` for a dot in a name (specification, "Dot-separated property paths"). */
  readonly key: string;
  /** The text that must stand there, exactly. */
  readonly value: string;
}

/** A kind of events: its type, and what the content has; all of it. */
export interface Capability {
  readonly type: string;
  readonly content: readonly ContentRequirement[];
}

/**
 * @returns the names of a path: `\.` is a dot in a name, `\\` a backslash, any other backslash is one
 */
export function contentPath(key: string): readonly string[] {
  const names = [""];
  for (const [part] of key.matchAll(/\\[.\\]|[^]/g)) {
    if (part === ".") names.push("");
    else names[names.length - 1] += part.length === 2 ? part.charAt(1) : part;
  }
  return names;
}

/** Whether an event's content has what is required. */
export function meets(content: JsonObject, { key, value }: ContentRequirement): boolean {
  let found: JsonValue | undefined = content;
  for (const name of contentPath(key)) {
    // hasOwn: what every object inherits is not in the content.
    found = isJsonObject(found) && Object.hasOwn(found, name) ? found[name] : undefined;
  }
  return found === value;
}

interface CapabilityTerms {
  /** Event type of the question, and the content block that carries it. */
  readonly request: string;
  /** Content block of the answer. */
  readonly response: string;
}

/** MSC4301 and its unstable prefix. */
const capabilityTerms: readonly [stable: CapabilityTerms, unstable: CapabilityTerms] = [
  { request: "m.request.event_capability", response: "m.response.event_capability" },
  { request: "de.gematik.msc4301.request.event_capability", response: "de.gematik.msc4301.response.event_capability" },
];

/**
 * The question which of these types somebody understands.
 * @param spelling `stable`, or `unstable`: the proposal's prefix
 */
export function buildCapabilityRequest(
  types: readonly string[],
  spelling: "stable" | "unstable",
): { readonly type: string; readonly content: JsonObject } {
  const { request } = capabilityTerms[spelling === "stable" ? 0 : 1];
  return { type: request, content: { [request]: { events: types.map((type) => ({ type })) } } };
}

/**
 * Reads which types an answer says are understood, under either name of its block. Entries that ask for a certain content are
 * passed over: they say nothing about the type as such.
 * @param content of a status response
 * @returns null where the answer does not say
 */
export function readUnderstoodTypes(content: JsonObject): ReadonlySet<string> | null {
  const block = capabilityTerms.map(({ response }) => content[response]).find(isJsonObject);
  if (block === undefined || !Array.isArray(block["events"])) return null;
  const events = block["events"] as readonly JsonValue[];
  const understood = events.map(readCapability).filter((capability) => capability?.content.length === 0);
  return new Set(understood.flatMap((capability) => (capability === null ? [] : [capability.type])));
}

/** Whether an event type is that of the question, under either of its names. */
export function isCapabilityRequest(type: string): boolean {
  return capabilityTerms.some((terms) => terms.request === type);
}

export type CapabilityReading =
  | {
      readonly kind: "request";
      /** In the order of the request: each with what it asks, null where that can't be understood, and as it stands there. */
      readonly asked: readonly { readonly capability: Capability | null; readonly raw: JsonValue }[];
      /** The content block that the answer belongs into. */
      readonly responseBlock: string;
    }
  /** `problem` names a property and what is expected there, never what was found. */
  | { readonly kind: "malformed"; readonly problem: string };

/**
 * Reads the question (MSC4301). Liberal about single entries: one that can't be understood is not understood, and no more.
 * @param type of the event; the block of the same name goes before one of the other
 */
export function readCapabilityRequest(type: string, content: JsonObject): CapabilityReading {
  const own = capabilityTerms.filter((terms) => terms.request === type);
  const terms = [...own, ...capabilityTerms].find(({ request }) => Object.hasOwn(content, request));
  if (terms === undefined) return { kind: "malformed", problem: `${type} is missing: it must be an object` };
  const block = content[terms.request];
  if (!isJsonObject(block)) return { kind: "malformed", problem: `${terms.request} must be an object` };
  const events = Object.hasOwn(block, "events") ? block["events"] : undefined;
  if (!Array.isArray(events)) return { kind: "malformed", problem: `${terms.request}.events must be a list` };
  const asked = (events as readonly JsonValue[]).map((raw) => ({ capability: readCapability(raw), raw }));
  return { kind: "request", asked, responseBlock: terms.response };
}

function readCapability(value: JsonValue): Capability | null {
  if (!isJsonObject(value)) return null;
  const { type, content = [] } = value;
  if (typeof type !== "string" || !Array.isArray(content)) return null;
  const requirements: ContentRequirement[] = [];
  for (const entry of content as readonly JsonValue[]) {
    if (!isJsonObject(entry)) return null;
    const { key, value: wanted } = entry;
    if (typeof key !== "string" || typeof wanted !== "string") return null;
    requirements.push({ key, value: wanted });
  }
  return { type, content: requirements };
}

/**
 * Whether every event that is asked about has what is required. What is asked on top changes nothing.
 * @param required by a handler
 * @param asked of the events that are asked about
 */
export function implies(asked: readonly ContentRequirement[], required: readonly ContentRequirement[]): boolean {
  const same = (a: ContentRequirement, b: ContentRequirement): boolean =>
    a.value === b.value && JSON.stringify(contentPath(a.key)) === JSON.stringify(contentPath(b.key));
  return required.every((requirement) => asked.some((candidate) => same(candidate, requirement)));
}

/** MSC4133: what a profile's keys look like; Synapse refuses others. */
const PROFILE_KEY = /^[a-z][a-z0-9_.-]{0,254}$/;

/**
 * The profile field that says what a device understands (MSC4401, under its unstable name: it is not part of the specification).
 * @returns null where the device ID does not fit into a profile key
 */
export function capabilityField(deviceId: string): string | null {
  const key = `de.gematik.msc4401.client_capability.${deviceId}`;
  return PROFILE_KEY.test(key) ? key : null;
}

/** The value of that field. */
export function capabilityFieldValue(capabilities: readonly Capability[]): JsonObject {
  return {
    events: capabilities.map(({ type, content }) => ({
      type,
      ...(content.length === 0 ? {} : { content: content.map(({ key, value }) => ({ key, value })) }),
    })),
  };
}

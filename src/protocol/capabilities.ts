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
const capabilityTerms: readonly CapabilityTerms[] = [
  { request: "m.request.event_capability", response: "m.response.event_capability" },
  { request: "de.gematik.msc4301.request.event_capability", response: "de.gematik.msc4301.response.event_capability" },
];

/** Whether an event type is that of the question, under either of its names. */
export function isCapabilityRequest(type: string): boolean {
  return capabilityTerms.some((terms) => terms.request === type);
}

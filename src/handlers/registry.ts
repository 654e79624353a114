/**
 * Which handler an event gets: of its exact type first, then of the longest prefix; among those of one pattern the first whose
 * requirements the content meets, and last the one without any. And what follows from that for those who ask what is understood.
 */
import { implies, isCapabilityRequest, meets, type Capability } from "../protocol/capabilities.ts";
import type { JsonObject } from "../protocol/json.ts";
import { answerCapabilities } from "./answerCapabilities.ts";
import type { Handler } from "./handler.ts";

export interface Registry {
  /**
   * Null where no handler takes the event.
   * @param type and content in the clear
   */
  find(type: string, content: JsonObject): Handler | null;
  /** Whether some handler takes every event of this kind. */
  understands(asked: Capability): boolean;
  /** What the handlers take, each kind once; without those of whole families of types (`*`), which have no single name. */
  capabilities(): readonly Capability[];
}

/**
 * @param handlers as the configuration lists them; their order counts only among handlers with requirements for one pattern
 * @throws Error where a pattern is empty, has a `*` anywhere but at its end, or stands twice with the same requirements: one of the
 *   two would never run
 */
export function createRegistry(handlers: readonly Handler[]): Registry {
  const exact = new Map<string, Handler[]>();
  const byPrefix = new Map<string, Handler[]>();
  for (const handler of handlers) {
    for (const pattern of handler.types) {
      const star = pattern.indexOf("*");
      if (pattern === "") throw new Error("an event type is empty");
      if (star !== -1 && star !== pattern.length - 1)
        throw new Error(`the event type "${pattern}" has a "*" that is not at its end`);
      const [table, key] = star === -1 ? [exact, pattern] : [byPrefix, pattern.slice(0, -1)];
      const others = table.get(key) ?? [];
      if (others.some((other) => sameRequirements(other, handler)))
        throw new Error(`the event type "${pattern}" has two handlers`);
      table.set(key, [...others, handler].toSorted(pickyFirst));
    }
  }
  const longestFirst = [...byPrefix].sort(([a], [b]) => b.length - a.length);
  const candidates = (type: string): readonly Handler[] => [
    ...(exact.get(type) ?? []),
    ...longestFirst.flatMap(([prefix, those]) => (type.startsWith(prefix) ? those : [])),
  ];
  const understands = ({ type, content }: Capability): boolean =>
    candidates(type).some((handler) => implies(content, handler.match ?? []));
  const ownAnswer: Handler = {
    types: [],
    steps: [{ name: "capabilities", step: answerCapabilities(understands) }],
  };
  return {
    find: (type, content) => {
      if (isCapabilityRequest(type)) return ownAnswer;
      const fits = (handler: Handler): boolean => (handler.match ?? []).every((required) => meets(content, required));
      return candidates(type).find(fits) ?? null;
    },
    understands,
    capabilities: () =>
      [...exact].flatMap(([type, those]) => those.map((handler) => ({ type, content: handler.match ?? [] }))),
  };
}

/** Those without requirements last; the sort is stable, so the others keep the order of the configuration. */
function pickyFirst(a: Handler, b: Handler): number {
  return Number((a.match ?? []).length === 0) - Number((b.match ?? []).length === 0);
}

function sameRequirements(a: Handler, b: Handler): boolean {
  const [ours, theirs] = [a.match ?? [], b.match ?? []];
  return implies(ours, theirs) && implies(theirs, ours);
}

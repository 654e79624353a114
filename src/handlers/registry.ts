/** Which handler an event type gets: the exact type first, then the longest prefix. */
import type { Handler } from "./handler.ts";

export interface Registry {
  /** Null where no handler is registered for the type. */
  find(type: string): Handler | null;
}

/**
 * @param handlers as the configuration lists them; their order does not matter
 * @throws Error where a pattern is empty, has a `*` anywhere but at its end, or stands twice: one of the two would never run
 */
export function createRegistry(handlers: readonly Handler[]): Registry {
  const exact = new Map<string, Handler>();
  const byPrefix = new Map<string, Handler>();
  for (const handler of handlers) {
    for (const pattern of handler.types) {
      const star = pattern.indexOf("*");
      if (pattern === "") throw new Error("an event type is empty");
      if (star !== -1 && star !== pattern.length - 1)
        throw new Error(`the event type "${pattern}" has a "*" that is not at its end`);
      const [table, key] = star === -1 ? [exact, pattern] : [byPrefix, pattern.slice(0, -1)];
      if (table.has(key)) throw new Error(`the event type "${pattern}" has two handlers`);
      table.set(key, handler);
    }
  }
  const longestFirst = [...byPrefix].sort(([a], [b]) => b.length - a.length);
  return {
    find: (type) => exact.get(type) ?? longestFirst.find(([prefix]) => type.startsWith(prefix))?.[1] ?? null,
  };
}

/** What a sync asks for, as a query. Pure. */
import type { SyncRequest } from "./homeserver.ts";

export function syncQuery({ since, filter, timeoutMs, stateAfter }: SyncRequest): Record<string, string> {
  const query: Record<string, string> = { filter: JSON.stringify(filter), timeout: String(timeoutMs) };
  if (since !== null) query["since"] = since;
  // The name before and after MSC4222 became part of the specification (v1.16).
  if (stateAfter) Object.assign(query, { use_state_after: "true", "org.matrix.msc4222.use_state_after": "true" });
  return query;
}

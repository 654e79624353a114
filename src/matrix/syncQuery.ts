/** What a sync asks for, as a query. Pure. */
import type { ServerVersions, SyncRequest } from "./homeserver.ts";

export function syncQuery({ since, filter, timeoutMs, stateAfter }: SyncRequest): Record<string, string> {
  const query: Record<string, string> = { filter: JSON.stringify(filter), timeout: String(timeoutMs) };
  if (since !== null) query["since"] = since;
  // The name before and after MSC4222 became part of the specification (v1.16).
  if (stateAfter) Object.assign(query, { use_state_after: "true", "org.matrix.msc4222.use_state_after": "true" });
  return query;
}

/** Whether the server can tell a room's state after the timeline (MSC4222): in the specification since v1.16; servers show the proposal's flag. */
export function offersStateAfter({ unstableFeatures }: ServerVersions): boolean {
  return unstableFeatures["org.matrix.msc4222"] === true;
}

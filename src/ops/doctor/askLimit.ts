/** Asks the admin API of Synapse whether the bot is exempt from the limit on messages, with the token of an administrator. */
import type { Clock } from "../../clock.ts";
import type { Config } from "../../config/config.ts";
import type { Secret } from "../../config/secret.ts";
import { silentLogger } from "../../logging.ts";
import { DocketClient } from "../../matrix/client.ts";
import { endpointPath } from "../../matrix/endpoint.ts";
import { ask, notAsked } from "./asked.ts";
import { QUESTION_MS } from "./askServer.ts";
import type { Asked, LimitOverride } from "./facts.ts";

/**
 * Changes nothing there. Never rejects.
 * @param token null: nobody is asked
 */
export async function askLimit(
  { homeserver, account, network }: Pick<Config, "homeserver" | "account" | "network">,
  token: Secret | null,
  clock: Clock,
): Promise<Asked<LimitOverride>> {
  if (token === null) return notAsked("No administrator's token was given.");
  const client = new DocketClient({
    homeserverUrl: homeserver,
    network,
    tokenProvider: () => token.reveal(),
    clock,
    log: silentLogger,
  });
  try {
    return await ask(async () => {
      const endpoint = endpointPath("/_synapse/admin/v1/users", account.user, "override_ratelimit");
      const { signal } = new AbortController();
      const answer = await client.request("GET", endpoint, { signal, timeoutMs: QUESTION_MS, retry: "none" });
      const rate = answer["messages_per_second"];
      return { messagesPerSecond: typeof rate === "number" ? rate : null };
    });
  } finally {
    await client.close();
  }
}

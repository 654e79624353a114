import assert from "node:assert/strict";
import { describeContract } from "../contract/contract.ts";
import {
  DEFAULT_MESSAGE_LIMIT,
  LARGEST_UPLOAD_BYTES,
  SHORT_TOKEN_LIFETIME_MS,
  type MessageLimit,
} from "../contract/homeserver.ts";
import { startSynapse } from "./synapse.ts";
import type { Synapse } from "./synapseServer.ts";

describeContract("Synapse", async () => {
  const synapse = await startSynapse({
    serverName: "synapse.example",
    overrides: {
      rc_message: { per_second: DEFAULT_MESSAGE_LIMIT.perSecond, burst_count: DEFAULT_MESSAGE_LIMIT.burst },
      refreshable_access_token_lifetime: SHORT_TOKEN_LIFETIME_MS,
      max_upload_size: LARGEST_UPLOAD_BYTES,
      experimental_features: { msc4133_enabled: true, msc4222_enabled: true },
    },
  });
  return {
    url: synapse.baseUrl,
    serverName: synapse.serverName,
    createAccount: (localpart, password) => synapse.registerUser(localpart, password),
    limitMessages: (userId, limit) => overrideLimit(synapse, userId, limit),
    stop: () => synapse.stop(),
  };
});

/** The administrator's call that docs/operations.md names; two zeros exempt the user. */
async function overrideLimit(synapse: Synapse, userId: string, limit: MessageLimit | null): Promise<void> {
  const path = `/_synapse/admin/v1/users/${encodeURIComponent(userId)}/override_ratelimit`;
  const response = await fetch(synapse.baseUrl + path, {
    method: "POST",
    headers: { authorization: `Bearer ${synapse.adminToken}` },
    body: JSON.stringify({ messages_per_second: limit?.perSecond ?? 0, burst_count: limit?.burst ?? 0 }),
  });
  assert.equal(response.status, 200, await response.text());
}

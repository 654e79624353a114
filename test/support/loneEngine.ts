/** An engine in memory without a homeserver: for what needs none. */
import type { TestContext } from "node:test";
import { systemClock } from "../../src/clock.ts";
import type { CryptoChanges, CryptoEngine } from "../../src/crypto/cryptoEngine.ts";
import { createCryptoEngine } from "../../src/crypto/engine.ts";
import type { CryptoEngineOptions } from "../../src/crypto/cryptoEngineOptions.ts";
import { ServerUnreachable } from "../../src/errors.ts";
import { silentLogger } from "../../src/logging.ts";
import type { Homeserver } from "../../src/matrix/homeserver.ts";
import type { DeviceId, UserId } from "../../src/protocol/ids.ts";
import type { JsonObject } from "../../src/protocol/json.ts";

export type Answer = (
  method: string,
  endpoint: string,
  body: JsonObject,
  signal: AbortSignal,
) => JsonObject | Promise<JsonObject>;

/** A homeserver of which only the key endpoints exist. */
export function keyServer(answer: Answer): Homeserver {
  const request: Homeserver["request"] = async (method, endpoint, options) =>
    await answer(method, endpoint, (options.body ?? {}) as JsonObject, options.signal);
  return new Proxy({} as Homeserver, {
    get: (_, name) => {
      if (name === "request") return request;
      throw new Error(`the engine must not use ${String(name)}`);
    },
  });
}

export async function loneEngine(
  t: TestContext,
  options: Partial<CryptoEngineOptions> = {},
): Promise<{ engine: CryptoEngine; fatal: Error[] }> {
  const fatal: Error[] = [];
  const engine = await createCryptoEngine({
    userId: "@bot:example.org" as UserId,
    deviceId: "BOT" as DeviceId,
    homeserver: keyServer(() => {
      throw new ServerUnreachable("There is no server.", { doubtful: false });
    }),
    keyStore: null,
    clock: systemClock,
    log: silentLogger,
    onFatal: (error) => void fatal.push(error),
    ...options,
  });
  t.after(() => engine.stop());
  return { engine, fatal };
}

export const noChanges: CryptoChanges = {
  toDevice: [],
  changedUsers: [],
  leftUsers: [],
  oneTimeKeyCounts: { signed_curve25519: 50 },
  unusedFallbackKeyTypes: ["signed_curve25519"],
};

/** The crypto library's machine in memory, for a test of what works on it alone; with its account's identity, where one is asked for. */
import type { TestContext } from "node:test";
import { Machine } from "../../src/crypto/machine.ts";

export const LONE_USER = "@bot:example.org";

export async function loneMachine(
  t: TestContext,
  { deviceId = "BOT", identity = true }: { deviceId?: string; identity?: boolean } = {},
): Promise<Machine> {
  const machine = await Machine.open({
    userId: LONE_USER,
    deviceId,
    storeName: null,
    watchdogMs: 60_000,
    onFatal: (error) => {
      throw error;
    },
  });
  t.after(() => machine.close());
  if (identity) await machine.use("bootstrapCrossSigning", (olm) => olm.bootstrapCrossSigning(true));
  return machine;
}

/** The demo with accounts that are somebody's, on a Synapse that the demo does not know; and what a good run of it looks like. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { type DemoEnd, DemoProcess } from "../support/demoProcess.ts";
import { startSynapse } from "./synapse.ts";
import type { SynapseOptions } from "./synapseServer.ts";

const PASSWORDS = { DOCKET_DEMO_BOT_PASSWORD: "bot/Zc7+q", DOCKET_DEMO_SENDER_PASSWORD: "alice/Kx2+w" };
/** What no released homeserver has. */
export const RECEIPTS = "delivery receipts (MSC4089)";

function rowsOf({ stdout }: DemoEnd): Record<string, unknown>[] {
  const lines = stdout.trim().split("\n");
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** @param notHere all that this homeserver can not show */
export function assertGreen(end: DemoEnd, notHere: readonly string[]): void {
  const rows = rowsOf(end);
  assert.deepEqual(
    rows.filter(({ ok }) => ok === false),
    [],
  );
  assert.deepEqual(
    rows.filter(({ ok }) => ok === null).map(({ asked }) => asked),
    notHere,
  );
  assert.equal(end.exitCode, 0, end.stdout);
}

export interface Somebody {
  readonly demo: (...args: readonly string[]) => DemoProcess;
  /** Both accounts are in no room, and have the one device that they had. */
  assertAsFound(): Promise<void>;
}

/** Registers both accounts; it is stopped after the test. */
export async function somebodysSynapse(t: TestContext, options: SynapseOptions): Promise<Somebody> {
  const server = await startSynapse(options);
  t.after(() => server.stop());
  const accounts = [
    await server.registerUser("docket", PASSWORDS.DOCKET_DEMO_BOT_PASSWORD),
    await server.registerUser("alice", PASSWORDS.DOCKET_DEMO_SENDER_PASSWORD),
  ];
  return {
    demo: (...args) =>
      new DemoProcess(
        t,
        ["--homeserver", server.baseUrl, "--bot", "@docket:localhost", "--sender", "alice", ...args],
        PASSWORDS,
      ),
    async assertAsFound() {
      for (const { userId, deviceId, accessToken } of accounts) {
        const ask = async (path: string): Promise<Record<string, unknown>> => {
          const headers = { authorization: `Bearer ${accessToken}` };
          const answer = await fetch(`${server.baseUrl}/_matrix/client/v3/${path}`, { headers });
          return (await answer.json()) as Record<string, unknown>;
        };
        assert.deepEqual(await ask("joined_rooms"), { joined_rooms: [] });
        const { devices } = (await ask("devices")) as { devices: { device_id: string }[] };
        assert.deepEqual(
          devices.map((device) => device.device_id),
          [deviceId],
        );
        const { rooms } = await ask("sync?timeout=0");
        assert.equal(rooms, undefined, `${userId} is invited nowhere`);
        assert.deepEqual(Object.keys(await ask(`profile/${userId}`)), ["displayname"]);
      }
    },
  };
}

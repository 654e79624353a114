/**
 * A first contact brings a pre-key message and a room key, which the crypto library stores in several steps. The bot is killed
 * before and after every one of them; after the restart the event can be read.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { startDevServer } from "../../devserver/server.ts";
import type { RawEvent } from "../../src/protocol/events.ts";
import { CryptoPeer, encryptedRoom, targetOf } from "../support/cryptoPeer.ts";
import { journalOf, receiveIntoJournal } from "../support/firstContact.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

const CHILD = join(import.meta.dirname, "firstContactChild.ts");
/** Far more than there are; a run without a kill ends the loop. */
const MOST_POINTS = 200;

test(
  "killed at any step of a first contact, the bot reads its event after the restart",
  { timeout: 600_000 },
  async (t) => {
    const server = await startDevServer();
    t.after(() => server.stop());
    const alice = await CryptoPeer.start(t, { server, account: server.createAccount("alice") });
    let kills = 0;
    for (let killAt = 1; ; killAt += 1) {
      assert.ok(killAt < MOST_POINTS, "the loop must end with a run that has no such point");
      const account = server.createAccount(`bot${killAt}`);
      const options = { server: { url: server.url }, account, directory: temporaryDirectory(t) };
      const before = await CryptoPeer.open(options);
      await before.engine.start();
      const { identity } = before.engine;
      await before.close();

      const room = encryptedRoom(server, [alice.userId, account.userId]);
      const target = targetOf(room, [alice.userId, account.userId]);
      await alice.sync();
      const eventId = await alice.send(target, "m.room.message", { body: `contact ${killAt}` }, `contact${killAt}`);

      const child = spawn(process.execPath, [CHILD, JSON.stringify({ ...options, killAt })], {
        stdio: ["ignore", "ignore", "inherit"],
      });
      const [code, signal] = (await once(child, "exit")) as [number | null, string | null];

      const after = await CryptoPeer.open(options);
      try {
        assert.deepEqual(after.engine.identity, identity);
        await receiveIntoJournal(after);
        const row = after.database?.prepare<{ raw: string }>("SELECT raw FROM inbox WHERE event_id = ?").get(eventId);
        assert.ok(row, `kill ${killAt}: the event is in the journal`);
        const clear = await after.engine.decrypt(JSON.parse(row.raw) as RawEvent);
        assert.equal(clear.kind, "decrypted", `kill ${killAt}: ${JSON.stringify(clear)}`);
        assert.deepEqual(clear.kind === "decrypted" ? clear.content : null, { body: `contact ${killAt}` });
        assert.notEqual(journalOf(after).position(), null);
        assert.deepEqual(after.fatal, []);
      } finally {
        await after.close();
      }
      if (signal !== "SIGKILL") {
        assert.equal(code, 0, "a run without a kill ends well");
        break;
      }
      kills += 1;
    }
    t.diagnostic(`${kills} kills`);
    assert.ok(kills >= 12, `only ${kills} points to be killed at: the key store's commits are not counted any more`);
  },
);

/** The crypto library itself on the durable store. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { StoreFailed } from "../../../src/errors.ts";
import { dump, type Connection, type Factory } from "../../support/indexedDbScript.ts";
import { copyAsKilled, openKeyStore, type OpenKeyStore } from "../../support/keyStoreFixture.ts";
import {
  decrypt,
  encrypt,
  meet,
  openBot,
  openPeer,
  receive,
  share,
  upload,
  type Party,
} from "../../support/olmConversation.ts";
import { temporaryDirectory } from "../../support/temporaryDirectory.ts";

const everything = (store: OpenKeyStore): Promise<unknown> => dump(store.store.indexedDB as Factory);

/** The bot's side of a first answer in a room. @returns the phases reached, and the ciphertext if there was one */
function answer(peer: Party): { phases: string[]; ciphertexts: string[]; over: Promise<void> } {
  const phases: string[] = [];
  const ciphertexts: string[] = [];
  const work = async (): Promise<void> => {
    phases.push("open");
    const bot = await openBot();
    phases.push("upload");
    await upload(bot);
    phases.push("meet");
    await meet(bot, peer);
    phases.push("share");
    await share(bot, peer);
    for (const body of ["first", "second"]) {
      phases.push(`encrypt ${body}`);
      ciphertexts.push(await encrypt(bot, body));
    }
    phases.push("done");
  };
  return { phases, ciphertexts, over: work() };
}

/** Everything that was going to happen has happened. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 200; turn += 1) await nextTurn();
}

test("after a refused write, whichever it is, no ciphertext comes out", async (t) => {
  const root = temporaryDirectory(t);
  const peer = await openPeer();
  await upload(peer);

  let commits = 0;
  const whole = await openKeyStore(join(root, "whole"), {
    hooks: { afterCommit: (commit) => void (commits = commit) },
  });
  whole.store.install();
  const undisturbed = answer(peer);
  await undisturbed.over;
  await whole.close();
  assert.equal(undisturbed.ciphertexts.length, 2);

  const reached = new Set<string>();
  for (let refused = 1; refused <= commits; refused += 1) {
    const directory = join(root, `refused-${refused}`);
    const hooks = {
      beforeCommit(commit: number) {
        if (commit === refused) throw new Error("refused by the test");
      },
    };
    const opened = await openKeyStore(directory, { hooks });
    opened.store.install();
    const attempt = answer(peer);
    while (opened.fatal.length === 0 && !attempt.phases.includes("done")) await nextTurn();
    const before = attempt.ciphertexts.length;
    await settle();

    const phase = attempt.phases.at(-1) ?? "";
    reached.add(phase);
    assert.equal(opened.fatal.length, 1, `commit ${refused} was refused and nobody was told`);
    assert.ok(opened.fatal[0] instanceof StoreFailed);
    assert.notEqual(phase, "done");
    // Only what was encrypted before the refusal, and is on disk, ever came out.
    assert.equal(attempt.ciphertexts.length, before);
    assert.equal(
      before,
      phase === "encrypt second" ? 1 : 0,
      `ciphertext although commit ${refused} (${phase}) was refused`,
    );
    await opened.close();
  }
  assert.ok(
    reached.has("encrypt first") && reached.has("encrypt second"),
    `the refusals reached only: ${[...reached].join(", ")}`,
  );
});

test("once the disk was full, no ciphertext comes out any more", async (t) => {
  const peer = await openPeer();
  await upload(peer);
  const opened = await openKeyStore(temporaryDirectory(t));
  t.after(() => opened.close());
  opened.store.install();
  const bot = await openBot();
  await upload(bot);
  await meet(bot, peer);
  await share(bot, peer);
  await encrypt(bot, "first");
  // SQLite's own way to run out of room; a big record is the first to find none.
  const pages = opened.database.prepare<{ page_count: number }>("PRAGMA page_count").get()?.page_count ?? 1;
  opened.database.prepare(`PRAGMA max_page_count = ${pages}`).get();
  const factory = opened.store.indexedDB as Factory;
  const request = factory.open("big", 1);
  request.onupgradeneeded = () =>
    (request.result as Connection).createObjectStore("store", {}).put(new Uint8Array(1_000_000), "key");
  while (opened.fatal.length === 0) await nextTurn();
  assert.match(opened.fatal[0]?.message ?? "", /disk is full/);

  let ciphertext: string | null = null;
  void encrypt(bot, "second").then((event) => (ciphertext = event));
  await settle();
  assert.equal(ciphertext, null);
});

test("identity and room keys survive a restart", async (t) => {
  const directory = temporaryDirectory(t);
  const peer = await openPeer();
  await upload(peer);
  let opened = await openKeyStore(directory);
  opened.store.install();
  let bot = await openBot();
  await upload(bot);
  await meet(peer, bot);
  await receive(bot, await share(peer, bot));
  const event = await encrypt(peer, "keep me");
  const identity = bot.olm.identityKeys.ed25519.toBase64();
  assert.equal(await decrypt(bot, event), "keep me");
  bot.olm.close();
  const contents = await everything(opened);
  await opened.close();

  opened = await openKeyStore(directory);
  t.after(() => opened.close());
  assert.deepStrictEqual(await everything(opened), contents);
  assert.equal(opened.store.stats().inboundSessions, 1);
  opened.store.install();
  bot = await openBot();
  assert.equal(bot.olm.identityKeys.ed25519.toBase64(), identity);
  assert.equal(await decrypt(bot, event), "keep me");
  bot.olm.close();
});

test("the keys of a sync are there after its transaction, and none of them before it", async (t) => {
  const root = temporaryDirectory(t);
  const [data, killed] = [join(root, "data"), join(root, "killed")];
  mkdirSync(killed);
  const peer = await openPeer();
  await upload(peer);
  let opened = await openKeyStore(data);
  opened.store.install();
  let bot = await openBot();
  await upload(bot);
  await meet(peer, bot);
  const toDevice = await share(peer, bot);
  const event = await encrypt(peer, "late key");
  const before = await everything(opened);

  const hold = opened.store.hold();
  await receive(bot, toDevice);
  copyAsKilled(data, killed);
  const { database, store } = opened;
  database.transaction(() => {
    database.prepare("INSERT INTO meta (key, value) VALUES ('sync', 'taken over')").run();
    hold.apply();
  });
  hold.release();
  assert.deepEqual(opened.fatal, []);
  const after = await everything(opened);
  assert.notDeepStrictEqual(after, before);
  bot.olm.close();
  await store.close();
  database.close();

  const asKilled = await openKeyStore(killed);
  assert.deepStrictEqual(await everything(asKilled), before, "a part of the sync reached the disk early");
  assert.equal(asKilled.database.prepare("SELECT 1 FROM meta WHERE key = 'sync'").get(), undefined);
  // The server sends the sync again, and now it is complete.
  asKilled.store.install();
  bot = await openBot();
  await receive(bot, toDevice);
  assert.equal(await decrypt(bot, event), "late key");
  bot.olm.close();
  await asKilled.close();

  opened = await openKeyStore(data);
  t.after(() => opened.close());
  assert.deepStrictEqual(await everything(opened), after);
  opened.store.install();
  bot = await openBot();
  assert.equal(await decrypt(bot, event), "late key");
  bot.olm.close();
});

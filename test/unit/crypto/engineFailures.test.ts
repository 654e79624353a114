/** How often the engine asks a homeserver that fails, or that has to wait for a server which does not answer. Time is simulated. */
import assert from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";
import { test, type TestContext } from "node:test";
import { OlmMachine } from "@matrix-org/matrix-sdk-crypto-wasm";
import type { CryptoEngine } from "../../../src/crypto/cryptoEngine.ts";
import { ServerRefused, ServerUnreachable } from "../../../src/errors.ts";
import { silentLogger, type LogFields } from "../../../src/logging.ts";
import { isJsonObject, type JsonObject } from "../../../src/protocol/json.ts";
import type { RoomId, UserId } from "../../../src/protocol/ids.ts";
import { Vitals } from "../../../src/vitals.ts";
import { targetOf } from "../../support/cryptoPeer.ts";
import { keyServer, loneEngine, noChanges, type Answer } from "../../support/loneEngine.ts";

const STEP_MS = 10;
const room = "!room:example.org" as RoomId;
const alice = "@alice:example.org";
const dead = "@dead:dead.example";

interface World {
  readonly engine: CryptoEngine;
  readonly fatal: readonly Error[];
  readonly lines: readonly (LogFields & { readonly message: string })[];
  /** The users named by each `/keys/query`. */
  readonly queries: readonly (readonly string[])[];
  readonly uploads: () => number;
  /** Calls that list what the library wants to send: one for each pass. */
  readonly passes: () => number;
  readonly advance: (ms: number) => Promise<void>;
  /** Encrypts while time passes. @returns the result or the error */
  readonly encrypt: (users: readonly string[]) => Promise<unknown>;
}

async function world(
  t: TestContext,
  answers: {
    query: (users: readonly string[], signal: AbortSignal) => JsonObject | Promise<JsonObject>;
    upload?: () => JsonObject;
  },
): Promise<World> {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_700_000_000_000 });
  const outgoing = t.mock.method(OlmMachine.prototype, "outgoingRequests");
  const queries: string[][] = [];
  let uploads = 0;
  const answer: Answer = (_, endpoint, body, signal) => {
    if (endpoint.endsWith("/keys/upload")) {
      uploads += 1;
      return answers.upload?.() ?? { one_time_key_counts: { signed_curve25519: 50 } };
    }
    if (endpoint.endsWith("/room_keys/version"))
      throw new ServerRefused("There is no key backup.", { status: 404, errcode: "M_NOT_FOUND" });
    if (!endpoint.endsWith("/keys/query")) return {};
    const users = isJsonObject(body["device_keys"]) ? Object.keys(body["device_keys"]) : [];
    // The engine asks for its own devices too, once.
    if (users.join() === "@bot:example.org") return { device_keys: { "@bot:example.org": {} } };
    queries.push(users);
    return answers.query(users, signal);
  };
  const lines: (LogFields & { message: string })[] = [];
  const warn = (fields: LogFields, message: string): void => void lines.push({ ...fields, message });
  const log = { ...silentLogger, warn };
  const { engine, fatal } = await loneEngine(t, { homeserver: keyServer(answer), log });
  await engine.start();
  const advance = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += STEP_MS) {
      for (let turn = 0; turn < 3; turn += 1) await nextTurn();
      t.mock.timers.tick(STEP_MS);
    }
  };
  const encrypt = async (users: readonly string[]): Promise<unknown> => {
    let settled = false;
    const target = targetOf(room, ["@bot:example.org", ...users]);
    const result = engine
      .encrypt(target, "x.a", { n: 1 }, new AbortController().signal)
      .catch((error: unknown) => error)
      .finally(() => (settled = true));
    for (let steps = 0; !settled && steps < 6_000; steps += 1) await advance(STEP_MS);
    assert.ok(settled, "the encryption ends within a minute");
    return await result;
  };
  return {
    engine,
    fatal,
    lines,
    queries,
    uploads: () => uploads,
    passes: () => outgoing.mock.callCount(),
    advance,
    encrypt,
  };
}

const sync = (engine: CryptoEngine): Promise<void> => engine.receive(noChanges, () => Promise.resolve());

const failures: Readonly<Record<string, (users: readonly string[]) => JsonObject>> = {
  "a /keys/query that fails with an error is repeated with growing pauses, whatever syncs come": () => {
    throw new ServerRefused("The homeserver failed.", { status: 500, errcode: null });
  },
  "a /keys/query that fails with no connection is repeated with growing pauses, whatever syncs come": () => {
    throw new ServerUnreachable("There is no server.", { doubtful: false });
  },
  "a /keys/query that fails with an answer that can't be read is repeated with growing pauses, whatever syncs come": (
    users,
  ) => ({ device_keys: Object.fromEntries(users.map((user) => [user, "none"])) }),
};

for (const [promise, query] of Object.entries(failures)) {
  test(promise, async (t) => {
    const { engine, fatal, queries, encrypt, advance, passes } = await world(t, { query });
    const failed = await encrypt([alice]);
    assert.ok(failed instanceof ServerRefused || failed instanceof ServerUnreachable, String(failed));
    const before = { queries: queries.length, passes: passes() };
    for (let seconds = 0; seconds < 120; seconds += 1) {
      await sync(engine);
      await advance(1_000);
    }
    // After 1, 2, 4, 8, 16, 32 and 60 seconds.
    const repeated = queries.length - before.queries;
    assert.ok(repeated >= 5 && repeated <= 9, `${repeated} queries in two minutes`);
    assert.ok(passes() - before.passes <= 12, `${passes() - before.passes} passes`);
    assert.deepEqual(fatal, []);
  });
}

test("a rate limit of /keys/query is obeyed by the background and by encryptions, and they are told what is left of it", async (t) => {
  let limited = true;
  const query = (users: readonly string[]): JsonObject => {
    const errcode = "M_LIMIT_EXCEEDED";
    if (limited) throw new ServerRefused("Too many requests.", { status: 429, errcode, retryAfterMs: 60_000 });
    return { device_keys: Object.fromEntries(users.map((user) => [user, {}])) };
  };
  const { engine, queries, encrypt, advance } = await world(t, { query });
  assert.equal(((await encrypt([alice])) as ServerRefused).status, 429);
  const before = queries.length;
  await advance(40_000);
  await sync(engine);
  const refused = (await encrypt([alice])) as ServerRefused;
  assert.equal(refused.status, 429);
  assert.ok(refused.retryAfterMs !== null && refused.retryAfterMs > 10_000 && refused.retryAfterMs <= 20_000);
  await advance(18_000);
  assert.equal(queries.length, before, "nobody asks before the time");
  limited = false;
  await advance(5_000);
  assert.equal(queries.length, before + 1, "it is asked when the time has come, without anybody's nudge");
  assert.deepEqual(((await encrypt([alice])) as { withheldFrom: unknown }).withheldFrom, []);
});

test("a rate limit without an end is not obeyed for ever", async (t) => {
  const query = (): JsonObject => {
    throw new ServerRefused("Too many requests.", { status: 429, errcode: null, retryAfterMs: 10 ** 12 });
  };
  const { queries, encrypt, advance } = await world(t, { query });
  await encrypt([alice]);
  const before = queries.length;
  await advance(16 * 60_000);
  assert.equal(queries.length, before + 1);
});

test("while a dead server's query is open nobody is asked, and when it has ended the next one follows by itself", async (t) => {
  const query = (users: readonly string[], signal: AbortSignal): JsonObject | Promise<JsonObject> => {
    if (!users.includes(dead)) return { device_keys: Object.fromEntries(users.map((user) => [user, {}])) };
    const error = new ServerUnreachable("No answer in time.", { doubtful: true });
    return new Promise((_, reject) => {
      setTimeout(() => reject(error), 30_000);
      signal.addEventListener("abort", () => reject(error));
    });
  };
  const { engine, queries, encrypt, advance, passes } = await world(t, { query });
  const { withheldFrom } = (await encrypt([alice, dead])) as { withheldFrom: unknown };
  assert.deepEqual(withheldFrom, [{ userId: dead as UserId, deviceId: null, reason: "unanswered" }]);
  const asked = (): number => queries.filter((users) => users.includes(dead)).length;
  assert.equal(asked(), 1);
  // The pause is 15 seconds, the query is open for 30.
  await advance(16_000);
  await sync(engine);
  await advance(100);
  const before = passes();
  await advance(9_000);
  assert.ok(passes() - before <= 1, `${passes() - before} passes in nine seconds`);
  assert.equal(asked(), 1);
  await advance(5_000);
  assert.equal(asked(), 2);
  assert.ok(passes() - before <= 4);
});

test("servers whose answers can't be read are left alone for a while, and keep nobody else from being asked or answered", async (t) => {
  const bad = ["@a:bad.example", "@b:worse.example"];
  const query = (users: readonly string[]): JsonObject => ({
    device_keys: Object.fromEntries(users.map((user) => [user, bad.includes(user) ? "none" : {}])),
  });
  const { queries, encrypt, advance, lines, fatal } = await world(t, { query });
  const others = [alice, "@carol:good.example"];
  const { withheldFrom } = (await encrypt([...others, ...bad])) as { withheldFrom: { userId: string }[] };
  assert.deepEqual(withheldFrom.map(({ userId }) => userId).sort(), bad);
  await advance(14_000);
  assert.equal(queries.length, 4, "one query for each server");
  await advance(3_000);
  assert.deepEqual(queries.slice(4).flat().sort(), bad);
  assert.ok(lines.every(({ reason }) => reason === "unusable_answer"));
  assert.deepEqual(fatal, []);
});

test("an answer to an upload that can't be read is a failure of the server, and the upload is repeated with pauses", async (t) => {
  const { uploads, lines, fatal, advance } = await world(t, { query: () => ({}), upload: () => ({ counts: "none" }) });
  await advance(120_000);
  assert.ok(uploads() >= 5 && uploads() <= 10, `${uploads()} uploads in two minutes`);
  assert.ok(lines.length > 0 && lines.every(({ code }) => code === "SERVER_UNREACHABLE"));
  assert.deepEqual(fatal, []);
});

test("a room whose ID the library can't read is a failure to encrypt, not one of the bot", async (t) => {
  const { engine } = await world(t, { query: () => ({}) });
  const target = targetOf("norm" as RoomId, ["@bot:example.org"]);
  const refused = { code: "SERVER_UNREACHABLE", doubtful: false, message: /^(?!.*norm)/ };
  await assert.rejects(engine.encrypt(target, "x.a", {}, new AbortController().signal), refused);
});

test("uploads of the bot's keys that fail are told, and that they work again", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_700_000_000_000 });
  let works = false;
  const answer: Answer = (_method, endpoint) => {
    if (!endpoint.endsWith("/keys/upload")) return { device_keys: {}, failures: {} };
    if (works) return { one_time_key_counts: { signed_curve25519: 50 } };
    throw new ServerUnreachable("There is no server.", { doubtful: false });
  };
  const vitals = new Vitals();
  const { engine } = await loneEngine(t, { homeserver: keyServer(answer), vitals });
  const waitUntil = async (reached: () => boolean): Promise<void> => {
    for (let turn = 0; turn < 20_000 && !reached(); turn += 1) {
      t.mock.timers.tick(STEP_MS);
      await nextTurn();
    }
    assert(reached());
  };
  await engine.start();
  await waitUntil(() => vitals.facts().keyUploads.failures >= 3);
  assert.equal(vitals.facts().keyUploads.trouble?.code, "SERVER_UNREACHABLE");
  works = true;
  await waitUntil(() => vitals.facts().keyUploads.failures === 0);
});

/** How often the bot tries to have its device signed, and what it says of that. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { Clock } from "../../../src/clock.ts";
import { ServerRefused, ServerUnreachable, StoreFailed } from "../../../src/errors.ts";
import { Database } from "../../../src/journal/database.ts";
import { IdentityDrafts } from "../../../src/journal/identityDrafts.ts";
import { silentLogger } from "../../../src/logging.ts";
import type { Standing } from "../../../src/session/identityStanding.ts";
import { IdentityUpkeep } from "../../../src/session/identityUpkeep.ts";
import { Vitals } from "../../../src/vitals.ts";

const { signal } = new AbortController();
const approval: Standing = {
  kind: "waiting",
  for: { kind: "approval", url: "https://auth.example.org/reset" },
  isReset: false,
};

interface Scene {
  readonly upkeep: IdentityUpkeep;
  readonly drafts: IdentityDrafts;
  readonly vitals: Vitals;
  readonly warnings: string[];
  readonly failures: unknown[];
  readonly shown: string[];
  /** Pauses between attempts that were asked for, in milliseconds. */
  readonly pauses: number[];
  /** Resolves when there have been so many attempts. */
  attempts(count: number): Promise<void>;
  /** The device has heard something of its identity. */
  heard(): void;
}

/** @param outcome of each attempt, counted from 1; null: it takes until the bot stops. Pauses pass at once */
function scene(t: TestContext, outcome: (attempt: number) => Standing | Error | null): Scene {
  const database = Database.inMemory();
  const drafts = new IdentityDrafts(database);
  const vitals = new Vitals();
  const [warnings, failures, shown, pauses]: [string[], unknown[], string[], number[]] = [[], [], [], []];
  let made = 0;
  let changed = Promise.withResolvers<void>();
  let listener = (): void => undefined;
  const clock: Clock = {
    now: () => 0,
    // The bot's patience with the first attempt never ends; a pause is over at once.
    sleep: (ms, signal) =>
      ms === 20_000
        ? new Promise((resolve) => signal?.addEventListener("abort", () => resolve()))
        : new Promise((resolve) => setImmediate(resolve)),
  };
  const upkeep = new IdentityUpkeep({
    accountIdentity: {
      settle: async (_, stopped) => {
        made += 1;
        changed.resolve();
        changed = Promise.withResolvers();
        const result = outcome(made);
        if (result instanceof Error) throw result;
        if (result !== null) return result;
        return await new Promise((_resolve, reject) =>
          stopped.addEventListener("abort", () => reject(stopped.reason as Error)),
        );
      },
    },
    crossSigning: {
      onChange: (told) => {
        listener = told;
        return () => undefined;
      },
    },
    drafts,
    means: { recoveryKey: null, recoveryFile: null, password: null, mayCreate: true },
    showRecoveryKey: (key) => shown.push(key),
    clock,
    log: { ...silentLogger, warn: (_fields, text) => void warnings.push(text) },
    vitals,
    onFailure: (error) => failures.push(error),
    wait: (signal, ms, nudges) => {
      pauses.push(ms);
      return ms < 60 * 60_000 ? Promise.resolve() : nudges.wait(signal, ms);
    },
  });
  t.after(async () => {
    await upkeep.stop();
    database.close();
  });
  return {
    upkeep,
    drafts,
    vitals,
    warnings,
    failures,
    shown,
    pauses,
    async attempts(count) {
      while (made < count) await changed.promise;
    },
    heard: () => listener(),
  };
}

test("an approval that is waited for is asked after ever more rarely, at least every five minutes, and said once", async (t) => {
  const { upkeep, vitals, warnings, pauses, attempts } = scene(t, (attempt) =>
    attempt < 8 ? approval : { kind: "signed" },
  );
  await upkeep.start(signal);
  assert.match(vitals.notes().join(""), /open https:\/\/auth\.example\.org\/reset, sign in as the bot/);
  await attempts(8);
  assert.deepEqual(pauses.slice(0, 7), [20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000]);
  assert.equal(warnings.length, 1);
  await upkeep.stop();
  assert.deepEqual(vitals.notes(), [], "it is over");
});

test("a homeserver that fails keeps nobody from starting, is left alone as long as it asks, and is said once", async (t) => {
  const limited = new ServerRefused("Slow down.", { status: 429, errcode: "M_LIMIT_EXCEEDED", retryAfterMs: 90_000 });
  const away = new ServerUnreachable("It is away.", { doubtful: false });
  const { upkeep, warnings, pauses, failures, attempts } = scene(t, (attempt) =>
    attempt === 1 ? limited : attempt < 4 ? away : { kind: "signed" },
  );
  await upkeep.start(signal);
  await attempts(4);
  assert.deepEqual(pauses.slice(0, 3), [90_000, 10_000, 20_000]);
  assert.equal(warnings.length, 2);
  assert.deepEqual(failures, []);
});

test("of a device that was signed it is not said that others may not trust it, where a look fails", async (t) => {
  const away = new ServerUnreachable("It is away.", { doubtful: false });
  const { upkeep, warnings, attempts, heard } = scene(t, (attempt) => (attempt === 2 ? away : { kind: "signed" }));
  await upkeep.start(signal);
  heard();
  await attempts(3);
  assert.equal(warnings.length, 1);
  assert.match(warnings.join(""), /could not be looked after: It is away\. It is tried again/);
});

test("a homeserver that does not know such requests is not asked again until something is heard", async (t) => {
  const unknown = new ServerRefused("No such thing.", { status: 404, errcode: "M_UNRECOGNIZED" });
  const { upkeep, pauses, attempts, heard } = scene(t, () => unknown);
  await upkeep.start(signal);
  heard();
  await attempts(2);
  assert.equal(pauses[0], 3_600_000);
});

test("a signed device whose account gets another identity is said to have lost it, until it is signed again", async (t) => {
  const lost: Standing = { kind: "unsigned", why: "no_recovery_key" };
  const { upkeep, vitals, attempts, heard } = scene(t, (attempt) => (attempt === 1 ? { kind: "signed" } : lost));
  await upkeep.start(signal);
  assert.deepEqual(vitals.notes(), []);
  for (const attempt of [2, 3]) {
    heard();
    await attempts(attempt);
    await new Promise((resolve) => setImmediate(resolve));
    assert.match(vitals.notes().join(""), /has changed while the bot was running.*docket identity verify/);
  }
});

test("a signed device whose keys the homeserver does not show is not said to have lost its identity", async (t) => {
  const hidden: Standing = { kind: "unsigned", why: "device_unknown" };
  const { upkeep, vitals, attempts, heard } = scene(t, (attempt) => (attempt === 1 ? { kind: "signed" } : hidden));
  await upkeep.start(signal);
  heard();
  await attempts(3);
  assert.match(vitals.notes().join(""), /does not have the device's keys yet/);
  assert.doesNotMatch(vitals.notes().join(""), /somebody has reset it/);
});

test("a homeserver that does not show a signature that it took is asked again soon", async (t) => {
  const hidden: Standing = { kind: "unsigned", why: "signature_not_shown" };
  const { upkeep, vitals, pauses, attempts } = scene(t, (attempt) => (attempt < 3 ? hidden : { kind: "signed" }));
  await upkeep.start(signal);
  assert.match(vitals.notes().join(""), /does not show the device's signature yet/);
  await attempts(3);
  assert.deepEqual(pauses.slice(0, 2), [5_000, 10_000]);
});

test("a recovery key that is kept is shown once on the terminal, and gone from the database then", async (t) => {
  const { upkeep, drafts, shown, attempts, heard } = scene(t, () => ({ kind: "signed" }));
  const secrets = { master: "m", selfSigning: "s", userSigning: "u" };
  drafts.begin({ replaces: null, master: "M", secrets, keyId: "id", recoveryKey: "EsTc" });
  drafts.finish({ isHandedOver: false });
  assert.equal(drafts.current(), null);
  await upkeep.start(signal);
  heard();
  await attempts(2);
  assert.deepEqual([shown, drafts.kept()], [["EsTc"], null]);
});

test("what the bot can't go on with ends it", async (t) => {
  const broken = new StoreFailed("The disk is full.");
  const { upkeep, failures } = scene(t, () => broken);
  await upkeep.start(signal);
  assert.deepEqual(failures, [broken]);
});

test(
  "a bot that is stopped while its homeserver lets the first attempt hang does not wait for it",
  { timeout: 60_000 },
  async (t) => {
    const { upkeep, failures } = scene(t, () => null);
    const stopping = new AbortController();
    const started = upkeep.start(stopping.signal);
    stopping.abort();
    await started;
    await upkeep.stop();
    assert.deepEqual(failures, []);
  },
);

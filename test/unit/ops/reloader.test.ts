/** Rereading the configuration: all of it or nothing, one at a time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError, StoreFailed } from "../../../src/errors.ts";
import { silentLogger, type LogFields } from "../../../src/logging.ts";
import { Reloader } from "../../../src/ops/reloader.ts";
import { Vitals } from "../../../src/vitals.ts";
import { loadText, smallest } from "../config/loadText.ts";

async function reloader() {
  const texts: (() => Promise<string>)[] = [];
  const applied: string[] = [];
  const logged: { message: string; fields: LogFields }[] = [];
  const keep = (fields: LogFields, message: string): void => void logged.push({ message, fields });
  const vitals = new Vitals();
  const failures: unknown[] = [];
  const made = new Reloader({
    started: { config: await loadText(smallest) },
    read: async () => ({ config: await loadText(await (texts.shift()?.() ?? "")) }),
    apply: ({ config }) => {
      if (config.log === "silent") throw new StoreFailed("the disk is gone");
      applied.push(config.log);
    },
    onFailure: (error) => failures.push(error),
    vitals,
    log: { ...silentLogger, info: keep, warn: keep, error: keep },
  });
  /** The file has this content when it is read next. */
  const next = (text: string | (() => Promise<string>)): void =>
    void texts.push(typeof text === "string" ? async () => text : text);
  return { made, next, applied, logged, vitals, failures };
}

test("a file without mistakes counts from now on, and what changed is told", async () => {
  const { made, next, applied, logged } = await reloader();
  next(`${smallest}log: debug\n`);
  const outcome = await made.reload();
  assert.deepEqual(outcome, { kind: "reloaded", changes: { live: ["log"], restart: [] }, warnings: [] });
  assert.deepEqual(applied, ["debug"]);
  assert.deepEqual(logged.at(-1), { message: "the configuration was reloaded", fields: { changed: ["log"] } });
});

test("a file with mistakes changes nothing, and each of them is told and logged with its line", async () => {
  const { made, next, applied, logged, vitals } = await reloader();
  next(`${smallest}log: loud\nlimits: { inbox: none }\n`);
  const outcome = await made.reload();
  assert(outcome.kind === "refused");
  assert.deepEqual(
    outcome.problems.map(({ path }) => path),
    ["log", "limits.inbox"],
  );
  assert.deepEqual(applied, []);
  assert(logged.every(({ message }) => message === "the configuration was not reloaded"));
  assert.match(String(logged[0]?.fields["problem"]), /config\.yaml:5:6: log: /);
  assert.equal(logged.length, 2);
  assert.match(vitals.notes().join(), /was not reloaded/);
  next(smallest);
  await made.reload();
  assert.deepEqual(vitals.notes(), [], "the note goes when the file is mended");
});

test("what needs a restart is named in the log, in the answer and in the health report, until it is taken back", async () => {
  const { made, next, logged, vitals } = await reloader();
  for (const again of [false, true]) {
    next(`${smallest}limits: { inbox: 5 }\n`);
    const outcome = await made.reload();
    assert.deepEqual(outcome.kind === "reloaded" && outcome.changes.restart, ["limits.inbox"], String(again));
  }
  assert(
    logged.some(({ message, fields }) => /next start/.test(message) && String(fields["changed"]) === "limits.inbox"),
  );
  assert.match(vitals.notes().join(), /limits\.inbox/);
  next(smallest);
  await made.reload();
  assert.deepEqual(vitals.notes(), []);
});

test("two reloads at once run one after the other, and the second reads what is there then", async () => {
  const { made, next, applied } = await reloader();
  const slow = Promise.withResolvers<string>();
  next(() => slow.promise);
  next(`${smallest}log: error\n`);
  const both = Promise.all([made.reload(), made.reload()]);
  slow.resolve(`${smallest}log: debug\n`);
  const [first, second] = await both;
  assert.deepEqual(applied, ["debug", "error"]);
  assert(first.kind === "reloaded" && second.kind === "reloaded");
  assert.deepEqual(second.changes.live, ["log"]);
});

test("an unexpected failure ends nothing, and its text is not repeated", async () => {
  const { made, next, logged } = await reloader();
  next(() => Promise.reject(new Error("quotes a secret")));
  next(() => Promise.reject(new ConfigError([])));
  const outcome = await made.reload();
  assert(outcome.kind === "refused" && outcome.problems.length === 1);
  assert.doesNotMatch(JSON.stringify([outcome, logged]), /quotes/);
  assert.equal((await made.reload()).kind, "refused");
});

test("rules that can't be acted upon end the bot, are told as refused, and spoil no later reload", async () => {
  const { made, next, applied, failures } = await reloader();
  next(`${smallest}log: silent\n`);
  const outcome = await made.reload();
  assert.ok(outcome.kind === "refused");
  assert.match(outcome.problems[0]?.message ?? "", /the disk is gone/);
  assert.ok(failures[0] instanceof StoreFailed);
  next(`${smallest}log: warn\n`);
  assert.equal((await made.reload()).kind, "reloaded");
  assert.deepEqual(applied, ["warn"]);
});

/** What counts as not well: each check turns for its own reasons, and says what and what to do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ServerRefused, ServerUnreachable } from "../../../src/errors.ts";
import { checkNames, keyNote, problemsOf, type CheckName } from "../../../src/ops/healthChecks.ts";
import { Vitals } from "../../../src/vitals.ts";

const NOW = 1_700_000_000_000;
const away = new ServerUnreachable("GET /sync: nobody answers.", { doubtful: false });
const limited = (retryAfterMs: number): ServerRefused =>
  new ServerRefused("PUT /send: too much.", { status: 429, errcode: "M_LIMIT_EXCEEDED", retryAfterMs });

/** A bot for which all is well. */
function well(): Vitals {
  const vitals = new Vitals();
  vitals.enter("running");
  vitals.synced(NOW);
  vitals.engineStarted();
  vitals.wrote(NOW, 1e9);
  return vitals;
}

function wrong(vitals: Vitals, { now = NOW, waits = false } = {}): CheckName[] {
  const problems = problemsOf(vitals.facts(), now, () => waits);
  for (const name of checkNames) assert.doesNotMatch(problems[name] ?? "", /undefined|null|NaN/);
  return checkNames.filter((name) => problems[name] !== null);
}

test("a bot that has not begun is not well, but for sending, and one that works is", () => {
  assert.deepEqual(wrong(new Vitals()), ["syncing", "decrypting", "writing"]);
  assert.deepEqual(wrong(well()), []);
});

test("syncing: a failed attempt counts until the next success, and so does a sync that does not come", () => {
  const vitals = well();
  vitals.syncFailed(NOW, away);
  assert.deepEqual(wrong(vitals), ["syncing"]);
  assert.match(problemsOf(vitals.facts(), NOW, () => false).syncing ?? "", /SERVER_UNREACHABLE: .*nobody answers/);
  vitals.synced(NOW);
  vitals.wrote(NOW + 151_000, 1e9);
  assert.deepEqual(wrong(vitals, { now: NOW + 150_000 }), []);
  assert.deepEqual(wrong(vitals, { now: NOW + 150_001 }), ["syncing"]);
});

test("decrypting: ten events of others in a row, each counted once, and none of them readable", () => {
  const vitals = well();
  for (let event = 1; event <= 9; event += 1) vitals.notDecrypted(`$${event}`, "no_session");
  vitals.notDecrypted("$9", "no_session");
  assert.deepEqual(wrong(vitals), []);
  vitals.notDecrypted("$10", "withheld");
  assert.match(problemsOf(vitals.facts(), NOW, () => false).decrypting ?? "", /last 10 .*withheld/);
  vitals.decrypted();
  assert.deepEqual(wrong(vitals), []);
});

test("decrypting: one-time keys that can't be uploaded three times in a row", () => {
  const vitals = well();
  for (let time = 1; time <= 2; time += 1) vitals.keyUploadFailed(NOW, away);
  assert.deepEqual(wrong(vitals), []);
  vitals.keyUploadFailed(NOW, away);
  assert.deepEqual(wrong(vitals), ["decrypting"]);
  vitals.keysUploaded();
  assert.deepEqual(wrong(vitals), []);
});

test("writing: a probe that has not come for half a minute is noticed", () => {
  const vitals = well();
  vitals.synced(NOW + 30_000);
  assert.deepEqual(wrong(vitals, { now: NOW + 30_000 }), []);
  assert.deepEqual(wrong(vitals, { now: NOW + 30_001 }), ["writing"]);
});

test("sending: three failures in a row count for a minute, longer while something waits, and end with a success", () => {
  const vitals = well();
  vitals.sendFailed(NOW, away);
  vitals.sendFailed(NOW, new TypeError("quotes what it read"));
  assert.deepEqual(wrong(vitals), []);
  vitals.sendFailed(NOW, new TypeError("quotes what it read"));
  assert.deepEqual(wrong(vitals), ["sending"]);
  assert.doesNotMatch(problemsOf(vitals.facts(), NOW, () => false).sending ?? "", /quotes/);
  vitals.synced(NOW + 60_001);
  vitals.wrote(NOW + 60_001, 1e9);
  assert.deepEqual(wrong(vitals, { now: NOW + 60_001, waits: false }), []);
  assert.deepEqual(wrong(vitals, { now: NOW + 60_001, waits: true }), ["sending"]);
  vitals.sent();
  assert.deepEqual(wrong(vitals, { waits: true }), []);
});

test("sending: a homeserver that wants to be left alone for long is named at once, one that limits now and then is not", () => {
  const vitals = well();
  vitals.sendFailed(NOW, limited(4_000));
  assert.deepEqual(wrong(vitals), []);
  vitals.sendFailed(NOW, limited(20_000));
  assert.match(problemsOf(vitals.facts(), NOW, () => false).sending ?? "", /for another 20 s .*M_LIMIT|another 20 s/);
  assert.deepEqual(wrong(vitals, { now: NOW + 20_000 }), []);
});

test("decrypting: keys that the homeserver does not show, or others in their place, count until it shows ours again", () => {
  const vitals = well();
  for (const [shown, words] of [
    ["none", /does not show the keys .* deleted there.*docket login/],
    ["others", /other keys .* signed in as the same device.*docket login/],
  ] as const) {
    vitals.ownKeysAre(shown);
    assert.deepEqual(wrong(vitals), ["decrypting"]);
    assert.match(problemsOf(vitals.facts(), NOW, () => false).decrypting ?? "", words);
  }
  vitals.ownKeysAre("ours");
  assert.deepEqual(wrong(vitals), []);
});

test("few one-time keys are noted when they stay few for two minutes; none and no fallback key is not well", () => {
  const vitals = well();
  const later = NOW + 120_000;
  vitals.keysCounted(NOW, 4, true);
  assert.equal(keyNote(vitals.facts(), NOW), null, "new ones are on their way");
  vitals.keysCounted(later, 0, true);
  assert.match(keyNote(vitals.facts(), later) ?? "", /only 0 one-time keys.*120 s.*one fallback key/);
  vitals.synced(later);
  vitals.wrote(later, 1e9);
  assert.deepEqual(wrong(vitals, { now: later }), []);
  vitals.keysCounted(later, 0, false);
  assert.deepEqual(wrong(vitals, { now: later }), ["decrypting"]);
  vitals.keysCounted(later, 50, true);
  assert.equal(keyNote(vitals.facts(), later), null);
  vitals.keysCounted(later, 0, false);
  assert.deepEqual(wrong(vitals, { now: later }), [], "counted anew");
});

test("one-time keys that are refused because of an older copy lead to the note that says so", () => {
  const vitals = well();
  const refused = new ServerRefused("POST /keys/upload: refused", { status: 400, errcode: "M_UNKNOWN" });
  for (let time = 0; time < 3; time += 1) vitals.keyUploadFailed(NOW, refused);
  assert.match(problemsOf(vitals.facts(), NOW, () => false).decrypting ?? "", /look at the homeserver/);
  vitals.copyDoubted("one_time_keys");
  assert.match(
    problemsOf(vitals.facts(), NOW, () => false).decrypting ?? "",
    /because it has others.*notes say what to do/,
  );
});

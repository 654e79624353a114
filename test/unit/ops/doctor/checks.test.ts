/** What each check makes of the facts: its state, and what it says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ServerRefused, ServerUnreachable, StoreFailed } from "../../../../src/errors.ts";
import type { Greeting } from "../../../../src/matrix/homeserver.ts";
import { failureOf } from "../../../../src/ops/doctor/asked.ts";
import { doctorChecks, examine } from "../../../../src/ops/doctor/checks.ts";
import type { Asked, Facts, FileFact } from "../../../../src/ops/doctor/facts.ts";
import { worstOf, type Finding } from "../../../../src/ops/doctor/finding.ts";
import type { DeviceId, UserId } from "../../../../src/protocol/ids.ts";
import { census, known, NOW, ROOM, running, wellFacts } from "./wellFacts.ts";

const failed = (error: unknown): Asked<never> => ({ kind: "failed", failure: failureOf(error) });
const away = failed(new ServerUnreachable("GET /x: nobody answers", { doubtful: false }));
const refused = (status: number, errcode: string, tokenRefused = false): Asked<never> =>
  failed(new ServerRefused("GET /x: no", { status, errcode, tokenRefused }));

/** The finding of one check; every text of every check is held to being one. */
function finding(facts: Facts, check: string): Finding {
  const findings = examine(facts);
  for (const { found, advice, details } of findings) {
    for (const text of [found, ...(advice === null ? [] : [advice]), ...details.map((detail) => detail.found)]) {
      assert.doesNotMatch(text, /undefined|NaN|null|\[object|Infinity/);
      assert.match(text, /[.:?]$/);
    }
  }
  const found = findings.find((candidate) => candidate.check === check);
  assert(found, check);
  return found;
}

async function judged(check: string, change: Partial<Facts>, yaml = ""): Promise<Finding> {
  return finding({ ...(await wellFacts(yaml)), ...change }, check);
}

async function asked(check: string, change: Partial<Facts["server"]>, yaml = ""): Promise<Finding> {
  const facts = await wellFacts(yaml);
  return finding({ ...facts, server: { ...facts.server, ...change } }, check);
}

test("the names of the checks are words for programs, each once", () => {
  const names = doctorChecks.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  for (const name of names) assert.match(name, /^[a-z]+(_[a-z]+)*$/);
});

test("where all is well nothing is wrong, to be warned of or unknown", async () => {
  const findings = examine(await wellFacts());
  assert.deepEqual(
    findings.filter(({ state }) => state !== "ok").map(({ check, state }) => `${check} ${state}`),
    [],
  );
});

test("one finding that is wrong makes the whole wrong; a warning does not, and what is unknown or off does nothing", () => {
  const of = (...states: Finding["state"][]) => worstOf(states.map((state) => ({ state })));
  assert.equal(of("ok", "unknown", "off"), "ok");
  assert.equal(of("ok", "warning", "unknown"), "warning");
  assert.equal(of("warning", "wrong", "ok"), "wrong");
});

test("a skew of the clocks counts only as far as the whole seconds of a date and the way of the request do not explain it", async () => {
  const clock = (greeting: Partial<Greeting>) =>
    asked("clock", {
      greeting: known({
        versions: { versions: [], unstableFeatures: {} },
        date: NOW,
        sentAt: NOW,
        receivedAt: NOW,
        ...greeting,
      }),
    });
  assert.equal((await clock({ sentAt: NOW + 2_999, receivedAt: NOW + 2_999 })).state, "ok", "1 s is the date's");
  assert.equal((await clock({ sentAt: NOW + 3_000, receivedAt: NOW + 3_000 })).state, "warning");
  assert.equal((await clock({ sentAt: NOW - 40_000, receivedAt: NOW })).state, "ok", "the reply took long");
  assert.equal((await clock({ sentAt: NOW - 1_999, receivedAt: NOW - 1_999 })).state, "ok");
  const behind = await clock({ sentAt: NOW - 2_500, receivedAt: NOW - 2_000 });
  assert.deepEqual([behind.state, /2 s or more behind/.test(behind.found)], ["warning", true]);
  const ahead = await clock({ sentAt: NOW + 11_000, receivedAt: NOW + 11_500 });
  assert.deepEqual([ahead.state, /10 s or more ahead/.test(ahead.found)], ["wrong", true]);
  assert.equal((await clock({ date: null })).state, "unknown");
});

test("a token of another account, of no device, or refused is wrong; a homeserver that is away leaves it unknown", async () => {
  const state = async (whoami: Facts["server"]["whoami"]) => (await asked("token", { whoami })).state;
  assert.equal(await state(known({ userId: "@eve:example.org" as UserId, deviceId: "E" as DeviceId })), "wrong");
  assert.equal(await state(known({ userId: "@docket:example.org" as UserId, deviceId: null })), "wrong");
  assert.equal(await state(refused(401, "M_UNKNOWN_TOKEN", true)), "wrong");
  const facts = await wellFacts();
  const over = {
    ...facts,
    renewable: true,
    server: { ...facts.server, whoami: refused(401, "M_UNKNOWN_TOKEN", true) },
  };
  assert.equal(finding(over, "token").state, "unknown", "the bot has another one in a moment");
  assert.equal(await state(away), "unknown");
  assert.equal(await state(refused(502, "M_UNKNOWN")), "unknown");
});

test("a refused token is renewed by signing the same device in again, which account.token would keep from counting", async () => {
  const whoami = refused(401, "M_UNKNOWN_TOKEN", true);
  const stored = { ...(await wellFacts()) };
  const { config } = stored;
  const without = { ...config, account: { ...config.account, token: null } };
  const signedIn = {
    ...stored,
    configuration: { kind: "good", config: without } as const,
    server: { ...stored.server, whoami },
  };
  assert.match(finding(signedIn, "token").advice ?? "", /^Sign in again: as the same device/);
  const configured = finding({ ...stored, server: { ...stored.server, whoami } }, "token");
  assert.match(configured.advice ?? "", /remove account\.token.*sign in again: as the same device/);
});

test("a data directory whose device was signed out is wrong: nobody can sign in with it again", async () => {
  const facts = await wellFacts();
  assert(facts.directory.kind === "good" && facts.directory.owner !== null);
  const owner = { ...facts.directory.owner, isSignedOut: true };
  const { state, found, advice } = finding({ ...facts, directory: { kind: "good", owner } }, "data_directory");
  assert.equal(state, "wrong");
  assert.match(found, /device docket1, which was signed out/);
  assert.match(advice ?? "", /new, empty data\.directory/);
});

test("keys of the device that the homeserver has not, or has others of, are wrong for a bot that runs", async () => {
  const keys = (ed25519: string | null, curve25519: string | null = "CURVE") => ({
    keys: known({ ed25519, curve25519, signature: "signed" as const }),
  });
  assert.equal((await asked("device_keys", keys("ED"))).state, "ok");
  assert.equal((await asked("device_keys", keys("OTHER"))).state, "wrong");
  assert.equal((await asked("device_keys", keys("ED", "OTHER"))).state, "wrong");
  assert.equal((await asked("device_keys", keys(null, null))).state, "wrong");
  const facts = await wellFacts();
  const stopped: Facts = { ...facts, bot: { kind: "stopped" }, server: { ...facts.server, ...keys(null, null) } };
  assert.equal(finding(stopped, "device_keys").state, "warning");
  const starting: Facts = { ...stopped, bot: running(undefined, { ready: false, phase: "starting" }) };
  assert.equal(finding(starting, "device_keys").state, "warning", "it is about to");
  assert.equal((await asked("device", { device: known(null) })).state, "wrong");
});

test("a device that its account has not signed is a warning, and a signature that is none is wrong", async () => {
  const state = async (signature: "no_keys" | "unsigned" | "broken" | "signed") =>
    (await asked("cross_signing", { keys: known({ ed25519: "ED", curve25519: "CURVE", signature }) })).state;
  assert.deepEqual(
    [await state("signed"), await state("unsigned"), await state("no_keys"), await state("broken")],
    ["ok", "warning", "warning", "wrong"],
  );
  const keys = known({ ed25519: "ED", curve25519: "CURVE", signature: "no_keys" as const });
  const facts = await wellFacts();
  const config = { ...facts.config, account: { ...facts.config.account, createIdentity: false } };
  const server = { ...facts.server, keys };
  const byChoice: Facts = { ...facts, configuration: { kind: "good", config }, server };
  assert.equal(finding(byChoice, "cross_signing").state, "off", "by choice");
});

test("a running bot's own words about its identity are the doctor's advice", async () => {
  const bot = running((vitals) => vitals.note("identity", "Open https://auth.example.org/reset."));
  const facts = await wellFacts();
  const keys = known({ ed25519: "ED", curve25519: "CURVE", signature: "no_keys" as const });
  const found = finding({ ...facts, bot, server: { ...facts.server, keys } }, "cross_signing");
  assert.equal(found.advice, "Open https://auth.example.org/reset.");
});

test("a recovery key that nobody has, and a file of it that is gone, are warnings; none that is configured is off", async () => {
  const state = async (recovery: Facts["recovery"]) => (await judged("recovery_key", { recovery })).state;
  assert.equal(await state({ isKept: true, configured: "absent" }), "warning");
  assert.equal(await state({ isKept: false, configured: "absent" }), "warning");
  assert.equal(await state({ isKept: false, configured: "not_configured" }), "off");
  assert.equal(await state({ isKept: null, configured: "there" }), "ok");
  const kept = await judged("recovery_key", { recovery: { isKept: true, configured: "not_configured" } });
  assert.match(kept.command ?? "", /^docket identity show --recovery-key --config /);
  const facts = await wellFacts();
  const keys = known({ ed25519: "ED", curve25519: "CURVE", signature: "no_keys" as const });
  const server = { ...facts.server, keys };
  const none = finding({ ...facts, server, recovery: { isKept: false, configured: "absent" } }, "recovery_key");
  assert.equal(none.state, "off", "there is nothing to recover yet");
});

test("a homeserver without any key to give to new devices is wrong, one with few is a warning", async () => {
  const state = async (oneTimeKeys: number, hasFallback: boolean | null) =>
    (await asked("one_time_keys", { oneTimeKeys: known({ oneTimeKeys, hasFallback }) })).state;
  assert.deepEqual(
    [await state(0, false), await state(0, true), await state(0, null), await state(4, null), await state(5, false)],
    ["wrong", "warning", "warning", "warning", "ok"],
  );
});

test("power levels are held to what is sent: answers and the notice, or in encrypted rooms what carries them", async () => {
  const room = (encrypted: boolean, needed: Record<string, number>, own = 0, neededByDefault = 0) =>
    asked("power_levels", { rooms: [{ roomId: ROOM, encrypted, levels: known({ own, needed, neededByDefault }) }] });
  assert.equal((await room(false, { "m.response.status": 1 })).state, "wrong");
  assert.equal((await room(false, { "de.gematik.response.status": 1 })).state, "wrong");
  assert.equal((await room(false, { "m.room.message": 1 })).state, "wrong");
  assert.equal((await room(false, { "m.room.encrypted": 1, "m.room.name": 100 })).state, "ok");
  assert.equal((await room(true, { "m.room.encrypted": 50 })).state, "wrong");
  assert.equal((await room(true, { "m.response.status": 50 })).state, "ok");
  assert.equal((await room(true, {}, 0, 10)).state, "wrong", "events_default counts for what is not named");
  assert.equal((await room(true, { "m.room.encrypted": 0 }, 0, 10)).state, "ok");
  assert.equal((await room(true, {}, -1)).state, "wrong");
  assert.equal((await room(true, {}, Number.POSITIVE_INFINITY, 100)).state, "ok");
  const { details } = await room(false, { "m.response.status": 7 });
  assert.deepEqual(details, [{ about: ROOM, found: "The bot's power level is 0; m.response.status needs 7." }]);
  assert.equal(
    (await asked("power_levels", { rooms: [{ roomId: ROOM, encrypted: true, levels: away }] })).state,
    "unknown",
  );
  const quiet = "responses: { dialects: [] }\ninvites: { notice: false }\n";
  assert.equal((await asked("power_levels", {}, quiet)).state, "off");
  const gematik = "responses: { dialects: [gematik] }\ninvites: { notice: false }\n";
  const other = [
    {
      roomId: ROOM,
      encrypted: false,
      levels: known({ own: 0, needed: { "m.response.status": 50 }, neededByDefault: 0 }),
    },
  ];
  assert.equal((await asked("power_levels", { rooms: other }, gematik)).state, "ok", "nobody sends that type");
});

test("what waits is well while it moves, a warning when it has waited long, and wrong when the inbox is full", async () => {
  const inbox = (count: number, ageMs: number) =>
    judged(
      "inbox",
      { journal: known({ ...census, inbox: { new: count, ready: 0, oldestReceivedAt: NOW - ageMs } }) },
      "limits: { inbox: 100 }\n",
    );
  assert.deepEqual(
    [await inbox(5, 1_000), await inbox(5, 61_000), await inbox(80, 0), await inbox(100, 0)].map(({ state }) => state),
    ["ok", "warning", "warning", "wrong"],
  );
  const outbox = (ageMs: number, bot = running()) =>
    judged("outbox", {
      bot,
      journal: known({
        ...census,
        outbox: { response: 2, receipt: 0, notice: 1 },
        answers: { oldestQueuedAt: NOW - ageMs, doubtful: 1 },
      }),
    });
  assert.match((await outbox(0)).found, /^Waiting to be sent: 2 answers, 1 notice; 1 may have arrived already\.$/);
  assert.deepEqual([(await outbox(0)).state, (await outbox(61_000)).state], ["ok", "warning"]);
  assert.equal((await outbox(61_000, { kind: "stopped" })).state, "ok", "without a bot it has to wait");
});

test("events from before the bot joined are no reason for a warning, and those given up are", async () => {
  const parked = (change: Partial<typeof census>) =>
    judged("undecryptable", { journal: known({ ...census, ...change }) });
  const before = await parked({ parked: { ...census.parked, beforeJoin: 3 } });
  assert.equal(before.state, "ok");
  assert.match(before.found, /3 events from before the bot joined/);
  const given = await parked({ givenUp: [{ about: "waited_too_long", count: 2 }] });
  assert.equal(given.state, "warning");
  assert.match(given.found, /^2 events were given up since yesterday \(waited_too_long 2\)/);
});

test("a bot that is not ready is wrong with its reasons, one that is just starting a warning, one that hangs wrong", async () => {
  const not = { ok: false, since: NOW, problem: "It does not." };
  const health = (phase: "starting" | "running") => ({
    ready: false,
    phase,
    checks: { syncing: not, decrypting: not, writing: not, sending: { ...not, ok: true, problem: null } },
  });
  const ill = await judged("bot", { bot: running(undefined, health("running")) });
  assert.deepEqual([ill.state, ill.details.map(({ about }) => about)], ["wrong", ["syncing", "decrypting", "writing"]]);
  assert.equal((await judged("bot", { bot: running(undefined, health("starting")) })).state, "warning");
  const waits = running(
    (vitals) => vitals.syncFailed(NOW, new ServerUnreachable("away", { doubtful: false })),
    health("starting"),
  );
  assert.equal((await judged("bot", { bot: waits })).state, "wrong");
  assert.equal((await judged("bot", { bot: { kind: "hanging", problem: "It hangs." } })).state, "wrong");
  assert.equal((await judged("bot", { bot: { kind: "denied", problem: "Not yours." } })).state, "wrong");
  assert.equal((await judged("bot", { bot: { kind: "stopped" } })).state, "warning");
});

test("what the bot has noted is told once: by the check that it belongs to, or by itself", async () => {
  const noting = (key: string) => running((vitals) => void vitals.note(key, "a thing is off"));
  const restart = await judged("notes", { bot: noting("restart") });
  assert.deepEqual([restart.state, restart.details], ["warning", [{ about: "restart", found: "a thing is off." }]]);
  assert.equal((await judged("notes", { bot: noting("capabilities") })).state, "ok");
  const capabilities = await judged("capabilities", { bot: noting("capabilities") });
  assert.deepEqual([capabilities.state, /a thing is off/.test(capabilities.found)], ["warning", true]);
});

test("limits on sending: exempt, limited, met, or not known, with what the administrator has to do", async () => {
  const none: Facts["limit"] = { kind: "not_asked", why: "No token." };
  const limit = (override: Facts["limit"], bot = running()) => judged("send_limit", { limit: override, bot });
  const met = running((vitals) =>
    vitals.sendFailed(NOW - 90_000, new ServerRefused("no", { status: 429, errcode: "M_LIMIT_EXCEEDED" })),
  );
  assert.equal((await limit(known({ messagesPerSecond: 0 }))).state, "ok");
  assert.equal((await limit(known({ messagesPerSecond: null }))).state, "warning");
  assert.equal((await limit(known({ messagesPerSecond: 2 }))).state, "warning");
  assert.equal((await limit(none)).state, "unknown");
  const seen = await limit(none, met);
  assert.equal(seen.state, "warning");
  assert.match(seen.found, /refused 1 message .* 90 s ago/);
  assert.match(seen.command ?? "", /users\/@docket:example\.org\/override_ratelimit/);
  const other = running((vitals) =>
    vitals.sendFailed(NOW, new ServerRefused("no", { status: 403, errcode: "M_FORBIDDEN" })),
  );
  assert.equal((await limit(none, other)).state, "unknown", "another refusal is no limit");
});

test("files: what others can change or get at is wrong, what is shielded by the directory a warning", async () => {
  const files = (...facts: Partial<FileFact>[]) =>
    judged("files", {
      files: facts.map((fact) => ({ path: "/x", kind: "data", mode: 0o600, sameOwner: true, ...fact })),
    });
  const open = { kind: "data directory", mode: 0o755 } as const;
  assert.equal((await files({ mode: 0o644 }, { kind: "data directory", mode: 0o700 })).state, "warning");
  assert.equal((await files({}, open)).state, "warning");
  assert.equal((await files({ mode: 0o640 }, open)).state, "wrong");
  assert.equal((await files({ sameOwner: false })).state, "wrong");
  assert.equal((await files({ kind: "configuration", mode: 0o644 })).state, "ok");
  assert.equal((await files({ kind: "configuration", mode: 0o664 })).state, "wrong");
});

test("the disk is wrong below the limit, a warning near it, and off where nobody watches it", async () => {
  const disk = async (bytes: number | null, yaml = "limits: { free_disk: 1000MiB }\n") =>
    (await judged("disk", { freeDiskBytes: bytes }, yaml)).state;
  const mib = 1024 ** 2;
  assert.deepEqual(
    [await disk(999 * mib), await disk(1_999 * mib), await disk(2_000 * mib), await disk(null)],
    ["wrong", "warning", "ok", "unknown"],
  );
  assert.equal(await disk(1, "limits: { free_disk: 0 }\n"), "off");
});

test("the data directory: another's, a requester's, one that may not be read, or that is damaged is wrong", async () => {
  const ids = { userId: "@docket:example.org" as UserId, deviceId: "docket1" as DeviceId };
  const owner = { ...ids, role: "bot" as const, isSignedOut: false };
  const directory = (value: Facts["directory"]) => judged("data_directory", { directory: value });
  assert.equal((await directory({ kind: "good", owner: { ...owner, deviceId: "OTHER" as DeviceId } })).state, "wrong");
  assert.equal((await directory({ kind: "good", owner: { ...owner, userId: "@e:x" as UserId } })).state, "wrong");
  assert.equal((await directory({ kind: "good", owner: { ...owner, role: "requester" } })).state, "wrong");
  assert.equal((await directory({ kind: "good", owner: { ...owner, role: null } })).state, "ok");
  assert.equal((await directory({ kind: "denied" })).state, "wrong");
  assert.match((await directory({ kind: "denied" })).found, /another user's/);
  assert.equal(
    (await directory({ kind: "failed", failure: failureOf(new StoreFailed("It is damaged.")) })).state,
    "wrong",
  );
  assert.equal((await directory({ kind: "absent" })).state, "warning");
  assert.equal((await directory({ kind: "older" })).state, "warning");
});

test("a broken configuration leaves unknown what needs it, and the rest is judged", async () => {
  const problem = { file: "config.yaml", line: 3, column: 5, path: "account.user", message: "found nothing" };
  const facts: Facts = { ...(await wellFacts()), configuration: { kind: "broken", problems: [problem] } };
  const broken = finding(facts, "files");
  assert.equal(broken.state, "ok");
  const [first] = examine(facts);
  assert.deepEqual(
    [first?.check, first?.state, first?.details],
    ["configuration", "wrong", [{ about: "config.yaml:3:5: account.user", found: "found nothing." }]],
  );
  assert.equal(examine(facts).find(({ check }) => check === "homeserver")?.state, "unknown");
});

test("withheld keys are told with their cause, how many events of how many senders, and what helps", async () => {
  const trust = (change: Partial<typeof census.trust>) => known({ ...census, trust: { ...census.trust, ...change } });
  const unverified = { about: "m.unverified", count: 3, senders: 2 };
  const one = await judged("withheld_keys", { journal: trust({ withheld: [unverified] }) });
  assert.equal(one.state, "warning");
  assert.equal(
    one.found,
    "Keys were withheld from this device because it is unverified (m.unverified): 3 events of 2 senders.",
  );
  assert.match(one.advice ?? "", /signed by its account/);
  const other = { about: "other", count: 1, senders: 1 };
  const two = await judged("withheld_keys", { journal: trust({ withheld: [unverified, other] }) });
  assert.deepEqual(
    two.details.map(({ about }) => about),
    ["m.unverified", "other"],
  );
  const waiting = await judged("untrusted", { journal: trust({ untrusted: { count: 1, senders: 1 } }) });
  assert.match(waiting.found, /^1 event of 1 sender waits, .*encryption\.decrypt_from/);
  const change = { about: "@bob:example.org", changes: 2, lastAt: NOW, wasVerified: true };
  const changed = await judged("new_identities", { journal: trust({ identityChanges: [change] }) });
  assert.match(changed.found, /^Since yesterday 1 user has another identity than before: @bob:example\.org\.$/);
  assert.match(changed.details[0]?.found ?? "", /^It has changed 2 times; the bot had verified the one before/);
});

test("members who can't read what the bot says are named, the first few of them", async () => {
  const members = Array.from({ length: 7 }, (_, n) => ({ userId: `@user${n}:x`, reason: "unsigned" as const }));
  const bot = running((vitals) => vitals.unreadable(ROOM, members));
  const found = await judged("unread_answers", { bot });
  assert.equal(found.state, "warning");
  assert.match(found.found, /can't be read by them: @user0:x, @user1:x, @user2:x, @user3:x, @user4:x and 2 more\.$/);
  assert.equal(found.details.length, 7);
  assert.equal((await judged("unread_answers", { bot: { kind: "stopped" } })).state, "unknown");
});

test("older_copy: whatever gave it away, it is wrong, and the command that settles it is named", async () => {
  assert.equal((await judged("older_copy", { journal: known(census) })).state, "ok");
  for (const copySign of ["newer_message", "foreign_mark", "one_time_keys"] as const) {
    const { state, found, advice } = await judged("older_copy", { journal: known({ ...census, copySign }) });
    assert.equal(state, "wrong");
    assert.match(`${found} ${advice ?? ""}`, /older copy of itself: .*docket data restored/);
  }
});

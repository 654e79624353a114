/** `docket keys`: room keys out to a file and in from one, beside a bot that runs and without one. */
import { OlmMachine, initAsync } from "@matrix-org/matrix-sdk-crypto-wasm";
import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { decryptKeyFile, encryptKeyFile } from "../../../src/crypto/keyExportFormat.ts";
import type { JsonObject } from "../../../src/protocol/json.ts";
import { BotProcess, writeConfig } from "../../support/botProcess.ts";
import { startConversation, type Conversation } from "../../support/conversation.ts";
import { runProgram } from "../../../src/commands/program.ts";
import { docket, type CommandOutcome } from "../../support/docketCommand.ts";
import { temporaryDirectory } from "../../support/temporaryDirectory.ts";

const PASSPHRASE = "a passphrase for the keys";

/** The command line in this process, which needs no start. @param typed at the terminal, in turn; without it there is none */
async function docketHere(args: readonly string[], typed: readonly string[] | null = null): Promise<CommandOutcome> {
  const [out, err, lines]: [string[], string[], string[]] = [[], [], [...(typed ?? [])]];
  const code = await runProgram(args, {
    stdout: { write: (text) => void out.push(text) },
    stderr: { write: (text) => void err.push(text) },
    stdin: {
      isTerminal: typed !== null,
      text: () => Promise.resolve(""),
      line: () => assert.fail("nothing is asked for in the open"),
      hiddenLine: () => Promise.resolve(lines.shift() ?? assert.fail("asked once more than anybody types")),
    },
    env: process.env,
    stopSignal: () => new AbortController().signal,
    onHangUp: () => undefined,
    endNow: (error) => {
      throw error;
    },
  });
  assert.deepEqual(lines, []);
  return { code, stdout: out.join(""), stderr: err.join("") };
}

interface Place {
  readonly conversation: Conversation;
  readonly file: string;
  readonly passphraseFile: string;
  readonly config: string;
  /** In a process of its own. */
  keys(verb: "export" | "import", file: string, ...more: string[]): Promise<CommandOutcome>;
  /** In this process. */
  keysHere(verb: "export" | "import", file: string, ...more: string[]): Promise<CommandOutcome>;
}

async function place(t: TestContext): Promise<Place> {
  const conversation = await startConversation(t);
  const outside = temporaryDirectory(t);
  const passphraseFile = join(outside, "passphrase");
  writeFileSync(passphraseFile, `${PASSPHRASE}\n`);
  const config = join(conversation.directory, "config.yaml");
  const given = ["--passphrase-file", passphraseFile, "--config", config];
  return {
    conversation,
    file: join(outside, "keys.txt"),
    passphraseFile,
    config,
    keys: (verb, file, ...more) => docket("keys", verb, file, ...given, ...more),
    keysHere: (verb, file, ...more) => docketHere(["keys", verb, file, ...given, ...more]),
  };
}

/** Asks in a new encrypted room, and waits for the answer: the bot has the key then. */
async function ask({ alice, room }: Conversation, words: string): Promise<{ roomId: string; eventId: string }> {
  const roomId = await room({ encrypted: true });
  const request = { "m.request.status": { from_device: alice.deviceId, lifetime: 60_000 }, words };
  const eventId = await alice.send(roomId, "org.example.report", request);
  await alice.waitForResponse(eventId);
  return { roomId, eventId };
}

async function sessionsIn(file: string): Promise<readonly JsonObject[]> {
  const read = await decryptKeyFile(readFileSync(file, "utf8"), PASSPHRASE);
  assert.ok(read.ok);
  return read.sessions as readonly JsonObject[];
}

test("all room keys are exported beside a running bot, for their owner alone, and an export is never overwritten by mistake", async (t) => {
  const it = await place(t);
  const rooms = [await ask(it.conversation, "one"), await ask(it.conversation, "two")].map(({ roomId }) => roomId);
  const written = await it.keys("export", it.file);
  assert.deepEqual([written.code, written.stderr], [0, ""]);
  assert.match(written.stdout, /^Wrote \d+ room keys to \S+keys\.txt\. /);
  assert.equal(statSync(it.file).mode & 0o777, 0o600);
  const text = readFileSync(it.file, "utf8");
  await initAsync();
  const exported = JSON.parse(OlmMachine.decryptExportedRoomKeys(text, PASSPHRASE)) as { room_id: string }[];
  for (const roomId of rooms) assert.ok(exported.some((key) => key.room_id === roomId));

  const again = await it.keysHere("export", it.file);
  assert.deepEqual([again.code, again.stdout, readFileSync(it.file, "utf8")], [1, "", text]);
  assert.match(again.stderr, /is there already; nothing was written\. --force replaces it/);
  assert.equal((await it.keysHere("export", it.file, "--force")).code, 0);
  assert.notEqual(readFileSync(it.file, "utf8"), text);
  const unwritable = await it.keysHere("export", join(it.file, "below", "keys.txt"));
  assert.equal(unwritable.code, 1);
  assert.match(unwritable.stderr, /can't be written \(ENOTDIR\)/);
  assert.deepEqual(readdirSync(join(it.file, "..")).toSorted(), ["keys.txt", "passphrase"]);

  await it.conversation.bot.stop();
  const typed = ["keys", "export", it.file, "--force", "--config", it.config];
  const slip = await docketHere(typed, [PASSPHRASE, `${PASSPHRASE}x`]);
  assert.deepEqual([slip.code, slip.stdout], [64, ""]);
  assert.match(slip.stderr, /not the same/);
  assert.equal((await docketHere(typed, [""])).code, 64);
  assert.equal((await docketHere(typed, [PASSPHRASE, PASSPHRASE])).code, 0, "and without a bot, typed twice");
  assert.ok((await sessionsIn(it.file)).length >= 2);
});

test("imported keys wake what waits for them at once, in a running bot and after the start of one that did not run", async (t) => {
  const it = await place(t);
  const { server, alice } = it.conversation;
  const [first, second] = [await ask(it.conversation, "one"), await ask(it.conversation, "two")];
  assert.equal((await it.keysHere("export", it.file)).code, 0);

  const options = { homeserver: server.url, ...server.createAccount("late"), directory: temporaryDirectory(t) };
  const config = writeConfig(options);
  let bot = new BotProcess(options);
  t.after(() => bot.kill());
  await bot.running();
  for (const { roomId, eventId } of [first, second]) {
    await alice.invite(roomId, options.userId);
    await bot.line((line) => line["eventId"] === eventId && /^parked/.test(line.msg), "the old event was parked");
  }
  const shown = async (eventId: string): Promise<JsonObject> => {
    const { stdout } = await docket("record", "show", eventId, "--config", config);
    return (JSON.parse(stdout) as { clear: JsonObject }).clear;
  };
  assert.equal((await shown(first.eventId))["kind"], "undecryptable");
  const importFile = async (file: string): Promise<string> => {
    const outcome = await docket("keys", "import", file, "--passphrase-file", it.passphraseFile, "--config", config);
    assert.deepEqual([outcome.code, outcome.stderr], [0, ""]);
    return outcome.stdout;
  };
  const only = async ({ roomId }: { roomId: string }): Promise<string> => {
    const file = join(options.directory, "some.txt");
    const sessions = (await sessionsIn(it.file)).filter((session) => session["room_id"] === roomId);
    writeFileSync(file, await encryptKeyFile(JSON.stringify(sessions), PASSPHRASE));
    return file;
  };

  assert.match(
    await importFile(await only(first)),
    /^Imported [1-9]\d* room keys?\. 0 of the file's \d+ were there already\.\n$/,
  );
  await bot.line((line) => line["eventId"] === first.eventId && line.msg === "decided", "the first was decided about");
  const clear = await shown(first.eventId);
  assert.deepEqual([clear["kind"], (clear["content"] as JsonObject)["words"]], ["clear", "one"]);
  assert.match(
    await importFile(await only(first)),
    /^Imported 0 room keys\. (\d+) of the file's \1 were there already\.\n$/,
  );

  assert.equal(await bot.stop(), 0);
  assert.match(await importFile(it.file), /^Imported [1-9]\d* room keys?\. [1-9]/);
  bot = new BotProcess(options);
  t.after(() => bot.kill());
  await bot.line(
    (line) => line["eventId"] === second.eventId && line.msg === "decided",
    "the second was decided about",
  );
  assert.equal((await shown(second.eventId))["kind"], "clear");
});

test("a file that can't be used is refused with the reason, changes nothing, and leaves the bot at work", async (t) => {
  const it = await place(t);
  await ask(it.conversation, "one");
  assert.equal((await it.keysHere("export", it.file)).code, 0);
  const text = readFileSync(it.file, "utf8");
  const other = join(it.file, "..", "other.txt");
  const refused = async (content: string | Uint8Array, why: RegExp): Promise<void> => {
    writeFileSync(other, content);
    const outcome = await it.keysHere("import", other);
    assert.deepEqual([outcome.code, outcome.stdout], [1, ""]);
    assert.match(outcome.stderr, why);
  };
  await refused(text.slice(0, text.length / 2), /cut off: its last line is missing/);
  await refused("hello", /no file of exported room keys/);
  await refused(Buffer.from([0xff, 0xfe, 0]), /no file of exported room keys/);
  await refused(await encryptKeyFile("[]", "another"), /the passphrase is another one/);
  const missing = await it.keysHere("import", `${other}.missing`);
  assert.deepEqual([missing.code, missing.stdout], [1, ""]);
  assert.match(missing.stderr, /can't be read \(ENOENT\)/);
  const nobody = await docketHere(["keys", "import", it.file, "--config", it.config]);
  assert.equal(nobody.code, 64);
  assert.match(nobody.stderr, /no terminal .* --passphrase-file FILE/);

  // Keys that are none cost the others nothing, wherever they stand.
  const good = await sessionsIn(it.file);
  const bad = [5, null, {}, { ...good[0], session_key: "x" }, { room_id: "!x", big: "x".repeat(100_000) }];
  const mixed = [...bad, ...good.map((key) => ({ ...key, room_id: "!copy:localhost" })), ...bad];
  writeFileSync(other, await encryptKeyFile(JSON.stringify(mixed), PASSPHRASE));
  const outcome = await it.keys("import", other);
  assert.equal(outcome.code, 0);
  assert.match(outcome.stderr, /^warning: 10 room keys of the file could not be used and were left out\.\n$/);
  assert.match(outcome.stdout, new RegExp(`^Imported ${good.length} room key`));
  await ask(it.conversation, "the bot still answers");
  const secrets = [PASSPHRASE, ...good.map((key) => String(key["session_key"]))];
  const logged =
    JSON.stringify(it.conversation.bot.lines) + it.conversation.bot.stderr + outcome.stderr + outcome.stdout;
  for (const secret of secrets) assert.ok(!logged.includes(secret));
});

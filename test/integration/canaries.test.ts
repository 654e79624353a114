/**
 * No secret in a log: a whole run of the demo with canaries in bodies, passwords, tokens and keys, at the most talkative log
 * level. Nothing that the bot or the demo writes may contain one of them, as it is, nor in base64, hex or percent-encoded.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import Sqlite from "better-sqlite3-multiple-ciphers";
import { startDevServer } from "../../devserver/server.ts";
import { startAuthServer } from "../support/authServer.ts";
import { DEFAULT_YAML } from "../support/botProcess.ts";
import { DemoProcess } from "../support/demoProcess.ts";
import { docket, docketGiven, type CommandOutcome } from "../support/docketCommand.ts";
import { leaks, type Secret } from "../support/leaks.ts";
import { loginPlace, openTalk, USER, type LoginPlace } from "../support/loginPlace.ts";

/** Bodies, passwords. With characters that encodings change. */
const CANARY = "kanarie-Zc7+q/9ö=vogel";

interface ExportedKey {
  readonly session_id: string;
  readonly session_key: string;
}

function roomKeys(folder: string): readonly ExportedKey[] {
  return JSON.parse(readFileSync(join(folder, "room-keys.json"), "utf8")) as ExportedKey[];
}

/** Whatever looks like a key in the bot's own key store: 32 bytes or more, as base64, hex or a list of numbers. */
function storedKeys(folder: string): Secret[] {
  const database = new Sqlite(join(folder, "data", "docket.db"), { readonly: true });
  const found = new Set<string>();
  const search = (text: string, depth: number): void => {
    for (const [match] of text.matchAll(/[A-Za-z0-9+/]{43,}/g)) {
      found.add(match);
      // Values are base64 of JSON, sometimes several times over.
      if (depth < 3) search(Buffer.from(match, "base64").toString("latin1"), depth + 1);
    }
    for (const [match] of text.matchAll(/\[(?:\d{1,3},){31,}\d{1,3}\]/g)) {
      const bytes = Buffer.from(JSON.parse(match) as number[]);
      found.add(bytes.toString("base64").replace(/=+$/, ""));
      found.add(bytes.toString("hex"));
    }
  };
  try {
    for (const row of database.prepare("SELECT value FROM key_store_records").all() as { value: Buffer }[]) {
      search(row.value.toString("latin1"), 0);
    }
  } finally {
    database.close();
  }
  return [...found].map((value, n) => ({ what: `key ${n} of the bot's key store`, value }));
}

describe("secrets", () => {
  it("are in no line that the bot or the demo writes, over a whole run", { timeout: 120_000 }, async (t) => {
    const demo = new DemoProcess(t, ["--log", "debug", "--canary", CANARY]);
    const { exitCode, stdout, stderr } = await demo.ended;
    assert.equal(exitCode, 0, stdout);
    const { folder } = demo;
    const log = readFileSync(join(folder, "bot.log"), "utf8");
    const written = `${log}\n${stdout}\n${stderr}`;

    const sessionIds = new Set(roomKeys(folder).map((key) => key.session_id));
    const keys = storedKeys(folder);
    const secrets: Secret[] = [
      { what: "the canary in bodies and passwords", value: CANARY },
      { what: "the bot's access token", value: readFileSync(join(folder, "token"), "utf8") },
      // The middle of the ratchet: the same in an export and in an m.room_key.
      ...roomKeys(folder).map(({ session_key }, n) => ({ what: `room key ${n}`, value: session_key.slice(8, 120) })),
      // Session IDs are public: they stand in every ciphertext.
      ...keys.filter(({ value }) => !sessionIds.has(value)),
    ];
    assert.deepEqual(leaks(written, secrets), []);

    // The search is worth something: the log speaks of everything, the bot had every secret, and leaks are found.
    const rows = stdout.split("\n").filter((line) => line.startsWith("ok "));
    const decided = log.split("\n").filter((line) => line.includes('"msg":"decided"'));
    assert.ok(decided.length >= rows.length, `${decided.length} decisions logged for ${rows.length} rows`);
    assert.ok(log.includes('"level":"debug"'), "the log is at its most talkative");
    assert.ok(keys.length >= 10, `only ${keys.length} keys found in the key store`);
    assert.ok(roomKeys(folder).length >= 2);
    const database = new Sqlite(join(folder, "data", "docket.db"), { readonly: true });
    const records = JSON.stringify(database.prepare("SELECT * FROM entries").all());
    database.close();
    assert.ok(records.includes(CANARY), "the canary reached the bot");
    for (const secret of secrets) {
      assert.deepEqual(leaks(`{"msg":"sent ${secret.value}"}`, [secret]), [secret.what]);
    }
    for (const before of ["", "x", "xx"]) {
      const encoded = Buffer.from(`${before}${CANARY}yy`);
      for (const text of [encoded.toString("base64"), encoded.toString("hex"), encodeURIComponent(CANARY)]) {
        assert.equal(leaks(text, [{ what: "it", value: CANARY }]).length, 1);
      }
    }
  });

  it("are in nothing that signing in and new tokens bring about", { timeout: 120_000 }, async (t) => {
    const server = await startDevServer();
    t.after(() => server.stop());
    server.createAccount("docket", CANARY, { deviceId: "ADMINS" });
    server.createAccount("other", CANARY);
    const written: string[] = [];
    const secrets: Secret[] = [{ what: "the password", value: CANARY }];
    const noteTokens = ({ stored }: LoginPlace): void => {
      const { accessToken, refreshToken } = stored() ?? { accessToken: "", refreshToken: null };
      secrets.push({ what: "an access token", value: accessToken });
      secrets.push({ what: "a refresh token", value: refreshToken ?? "" });
    };
    const note = ({ stdout, stderr }: CommandOutcome): void => void written.push(stdout, stderr);
    const work = async (place: LoginPlace, expire: () => void): Promise<void> => {
      noteTokens(place);
      const talk = await openTalk(t, place);
      await talk.ask();
      expire();
      server.cutConnections();
      await talk.ask();
      assert.equal(await talk.end(), 0);
      noteTokens(place);
      written.push(talk.bot.stderr, ...talk.bot.lines.map((line) => JSON.stringify(line)));
      assert.ok(
        talk.bot.lines.some(({ msg }) => msg === "new access token"),
        "the exchange is spoken of",
      );
      note(await docket("check", "--online", "--config", place.file));
      note(await docket("logout", "--config", place.file));
    };

    const yaml = `${DEFAULT_YAML}log: debug\n`;
    const byPassword = await loginPlace(t, { server, yaml });
    note(await docketGiven({ stdin: `${CANARY}x` }, "login", "--password-stdin", "--config", byPassword.file));
    note(await docketGiven({ stdin: CANARY }, "login", "--password-stdin", "--config", byPassword.file));
    await work(byPassword, () => server.revokeToken(byPassword.stored()?.accessToken ?? "", "soft"));

    const auth = await startAuthServer(t, server);
    const byCode = await loginPlace(t, { server, yaml });
    const login = docket("login", "--config", byCode.file);
    auth.grant(await auth.invitation(), USER);
    note(await login);
    await work(byCode, () => auth.expireAccessTokens());
    const deviceCodes = auth.requests.flatMap(({ body }) => body.get("device_code") ?? []);
    assert.ok(deviceCodes.length > 0);
    secrets.push({ what: "the device code", value: deviceCodes[0] ?? "" });

    assert.ok(secrets.every(({ value }) => value.length > 10));
    assert.equal(new Set(secrets.map(({ value }) => value)).size, 1 + 4 + 4 + 1);
    assert.ok(written.join("").length > 10_000);
    assert.deepEqual(leaks(written.join("\n"), secrets), []);
  });
});

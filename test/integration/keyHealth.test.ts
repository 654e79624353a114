/** A running bot says what is wrong with its device's keys on the homeserver, and with a data directory that others went on with. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { segment } from "../../demo/sender/matrixHttp.ts";
import { docket } from "../support/docketCommand.ts";
import { join } from "node:path";
import { startConversation, type Conversation } from "../support/conversation.ts";
import { CryptoPeer } from "../support/cryptoPeer.ts";

interface Report {
  readonly ready: boolean;
  readonly checks: { readonly decrypting: { readonly ok: boolean; readonly problem: string | null } };
  readonly notes: readonly string[];
}

async function report({ bot }: Conversation): Promise<Report> {
  return (await (await fetch(`${await bot.operationsUrl()}/readyz`)).json()) as Report;
}

async function metric({ bot }: Conversation, name: string): Promise<string | undefined> {
  const text = await (await fetch(`${await bot.operationsUrl()}/metrics`)).text();
  return text.split("\n").find((line) => line.startsWith(`${name} `));
}

const looksOld = ({ bot }: Conversation) =>
  bot.line(
    ({ msg }) => msg === "this data directory looks like an older copy of one that was used after it",
    "the sign",
  );

/** The IDs under which the library makes its keys: a counter of eight bytes. */
function keyId(count: number): string {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32BE(count, 4);
  return `signed_curve25519:${bytes.toString("base64").replace(/=+$/, "")}`;
}

test("one-time keys that the homeserver refuses, and a foreign mark, are the signs of an older copy, in log, health, metrics and doctor", async (t) => {
  const conversation = await startConversation(t);
  const { server, account, alice, directory } = conversation;
  const post = async (path: string, body: object): Promise<void> => {
    const headers = { authorization: `Bearer ${account.accessToken}`, "content-type": "application/json" };
    const reply = await fetch(`${server.url}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
    assert.equal(reply.status, 200);
  };
  assert.equal(await metric(conversation, "docket_data_older_copy"), "docket_data_older_copy 0");
  // Another copy has made the next key, and others have claimed some.
  await post("/_matrix/client/v3/keys/upload", { one_time_keys: { [keyId(51)]: { key: "x", signatures: {} } } });
  for (let claim = 0; claim < 10; claim += 1) {
    const body = { one_time_keys: { [account.userId]: { [account.deviceId]: "signed_curve25519" } } };
    await alice.http.call("POST", "/_matrix/client/v3/keys/claim", { body });
  }
  // A sync tells how many are left.
  await conversation.room();
  assert.equal((await looksOld(conversation))["sign"], "one_time_keys");
  assert.match((await report(conversation)).notes.join("\n"), /other one-time keys .*`docket data restored`/);
  assert.equal(await metric(conversation, "docket_data_older_copy"), "docket_data_older_copy 1");
  const doctor = await docket("doctor", "--json", "--config", join(directory, "config.yaml"));
  const { findings } = JSON.parse(doctor.stdout) as { findings: { check: string; state: string }[] };
  assert.equal(findings.find(({ check }) => check === "older_copy")?.state, "wrong");
  const tooEarly = await docket("data", "restored", "--config", join(directory, "config.yaml"));
  assert.equal(tooEarly.code, 73);
  assert.match(tooEarly.stderr, /in use by another Docket process\. Stop that one first/);
  assert.equal(await conversation.bot.stop(), 0);

  // An upload that fails is repeated before the command says how many keys there are.
  server.fault({ path: /keys\/upload$/, userId: account.userId, action: { kind: "answer", status: 503 } });
  const restored = await docket("data", "restored", "--config", join(directory, "config.yaml"));
  assert.equal(restored.code, 0, restored.stderr);
  assert.match(restored.stdout, /uploaded [1-9]\d* new ones/);
  const path = `/_matrix/client/v3/user/${segment(account.userId)}/account_data/io.github.matrix-docket.device.${account.deviceId}`;
  const headers = { authorization: `Bearer ${account.accessToken}` };
  await fetch(`${server.url}${path}`, { method: "PUT", headers, body: JSON.stringify({ mark: "another's" }) });
  await conversation.restart();
  assert.equal((await looksOld(conversation))["sign"], "foreign_mark");
  assert.equal(await conversation.bot.stop(), 0);
});

test("while the bot runs another program takes its device over: it is not ready, and says what to do", async (t) => {
  const conversation = await startConversation(t);
  const { server, account, bot } = conversation;
  assert.deepEqual((await report(conversation)).checks.decrypting.problem, null);
  await CryptoPeer.start(t, { server, account });
  await bot.line(({ msg }) => msg.startsWith("the homeserver does not show the keys of this device"), "it noticed");
  const { ready, checks } = await report(conversation);
  assert.equal(ready, false);
  assert.match(checks.decrypting.problem ?? "", /another program has signed in as the same device.*docket login/);
  assert.equal(await bot.stop(), 0);
});

/**
 * Interactive verification of a running bot with `docket identity verify`, before any homeserver that knows cross-signing. The other side
 * is matrix-js-sdk in a process of its own: another session of the bot's account, an operator, a stranger.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test, type TestContext } from "node:test";
import type { SignedIn } from "../../devserver/server.ts";
import type { IdentityHomeserver } from "../identity/identityHomeserver.ts";
import { BotProcess, writeConfig, type BotOptions } from "../support/botProcess.ts";
import { docket } from "../support/docketCommand.ts";
import { launchJsSdk, PeerProcess } from "../support/peers/peerProcess.ts";
import { VerifyCommand } from "../support/verifyCommand.ts";

const PASSWORD = "not a secret";

export function describeVerification(startHomeserver: () => Promise<IdentityHomeserver>): void {
  let homeserver: IdentityHomeserver;
  let account: SignedIn;
  let options: BotOptions;
  let config: string;
  let bot: BotProcess;
  /** Another session of the bot's account, which has the account's private keys. */
  let session: PeerProcess;
  let operator: PeerProcess;
  /** From then on the running bot has a verifier. */
  let nameOperator: () => Promise<void>;
  let roomId: string;

  const peers: PeerProcess[] = [];
  const directories: string[] = [];
  const directory = (): string => {
    const made = mkdtempSync(join(tmpdir(), "docket-test-"));
    directories.push(made);
    return made;
  };
  const peer = async (signedIn: SignedIn): Promise<PeerProcess> => {
    const place = { homeserver: homeserver.url, ...signedIn, store: directory() };
    const started = await PeerProcess.start(place, launchJsSdk);
    peers.push(started);
    return started;
  };
  const startBot = async (): Promise<void> => {
    bot = new BotProcess(options);
    await bot.running();
  };
  const verify = (t: TestContext, ...args: string[]): VerifyCommand => {
    const command = new VerifyCommand(config, ...args);
    t.after(() => command.kill());
    return command;
  };
  const askDevice = (): Promise<string> =>
    session.order("requestVerification", { userId: account.userId, deviceId: account.deviceId });

  before(async () => {
    homeserver = await startHomeserver();
    account = await homeserver.createAccount("docket", PASSWORD);
    const [second, person] = await Promise.all([
      homeserver.signIn(account.userId, PASSWORD),
      homeserver.createAccount("operator", PASSWORD),
    ]);
    session = await peer(second);
    await session.order("setUpIdentity", { password: PASSWORD });
    operator = await peer(person);
    await operator.order("setUpIdentity", { password: PASSWORD });
    const server = account.userId.slice(account.userId.indexOf(":") + 1);
    const yaml = (verifiers: string): string => `
invites:
  accept: ["@*:${server}"]
  notice: false
encryption:
  verifiers: [${verifiers}]
handlers:
  - types: [org.example.report]
    steps: [archive]
`;
    options = { homeserver: homeserver.url, ...account, directory: directory(), yaml: yaml("") };
    config = writeConfig(options);
    nameOperator = async () => {
      writeConfig({ ...options, yaml: yaml(JSON.stringify(person.userId)) });
      assert.equal((await docket("reload", "--config", config)).code, 0);
    };
    await startBot();
    roomId = await operator.order("createRoom", { invite: [account.userId], encryption: {} });
    await operator.order("waitForMember", { roomId, userId: account.userId });
    await operator.order("waitForDevice", { roomId, userId: account.userId, deviceId: account.deviceId });
  });
  after(async () => {
    await Promise.all([bot.kill(), ...peers.map((each) => each.kill())]);
    await homeserver.stop();
    for (const made of directories) rmSync(made, { recursive: true, force: true });
  });

  test("a bot that is killed while numbers are compared is not trusted by anybody afterwards, and the other side is told", async (t) => {
    const command = verify(t);
    await command.line("waiting");
    const verification = await askDevice();
    const seen = session.order("sas", { verification, start: true });
    await command.line("compare");
    await seen;
    await bot.kill();
    assert.equal(await command.ended(), 69);
    await startBot();
    await session.order("answerSas", { verification, answer: "match" });
    assert.deepEqual(await session.order("verificationResult", { verification }), {
      code: "m.unknown_transaction",
      by: account.userId,
    });
    const { device } = await session.order("trustOf", account);
    assert.deepEqual(device, { signedByOwner: false, verified: false });
  });

  test("Ctrl-C at the terminal cancels it for the other side", async (t) => {
    const command = verify(t);
    await command.line("waiting");
    const verification = await askDevice();
    await command.line("met");
    command.interrupt();
    assert.equal(await command.ended(), 1);
    assert.deepEqual(await session.order("verificationResult", { verification }), {
      code: "m.user",
      by: account.userId,
    });
  });

  test("who types no has the other side told of a mismatch, and nothing is signed", async (t) => {
    const command = verify(t);
    const verification = await askDevice();
    await session.order("sas", { verification, start: true });
    await command.line("compare");
    command.answer("no");
    assert.equal((await command.line("cancelled"))["code"], "m.mismatched_sas");
    assert.equal(await command.ended(), 1);
    assert.deepEqual(await session.order("verificationResult", { verification }), {
      code: "m.mismatched_sas",
      by: account.userId,
    });
    const { device } = await session.order("trustOf", account);
    assert.equal(device?.signedByOwner, false);
  });

  test("what the other side cancels ends the command, which says so", async (t) => {
    const command = verify(t);
    const verification = await askDevice();
    await command.line("met");
    await session.order("answerSas", { verification, answer: "cancel" });
    const { by, code } = await command.line("cancelled");
    assert.deepEqual([by, code], ["them", "m.user"]);
    assert.equal(await command.ended(), 1);
  });

  test("another session of the account verifies the bot, which is signed then, and has the backup's key from it", async (t) => {
    const command = verify(t, "--start");
    await command.line("asked");
    const { verification } = await session.order("incomingVerification", { userId: account.userId });
    await session.order("acceptVerification", { verification });
    const seen = await session.order("sas", { verification, start: false });
    const compare = await command.line("compare");
    assert.deepEqual([compare["who"], compare["deviceId"]], ["own_session", session.account.deviceId]);
    assert.deepEqual(compare["decimals"], seen.decimals);
    assert.deepEqual(
      compare["emoji"],
      seen.emoji.map(([symbol, name]) => ({ symbol, name })),
    );
    command.answer("yes");
    await session.order("answerSas", { verification, answer: "match" });
    await command.line("verified");
    assert.equal(await command.ended(), 0);
    assert.equal(await session.order("verificationResult", { verification }), null);
    await session.order("waitForSigned", account);
    await bot.line(({ msg }) => msg === "key backup", "it had the backup's key");
  });

  test("an operator verifies the bot in an encrypted room, and each has signed the other's identity", async (t) => {
    await nameOperator();
    const command = verify(t);
    await command.line("waiting");
    const verification = await operator.order("requestVerification", { userId: account.userId, roomId });
    const met = await command.line("met");
    assert.deepEqual([met["who"], met["userId"], met["roomId"]], ["operator", operator.account.userId, roomId]);
    const seen = await operator.order("sas", { verification, start: false });
    const compare = await command.line("compare");
    assert.deepEqual(compare["decimals"], seen.decimals);
    await operator.order("answerSas", { verification, answer: "match" });
    command.answer("yes");
    await command.line("verified");
    assert.equal(await command.ended(), 0);
    await operator.order("waitForVerified", { userId: account.userId });
  });

  test("a stranger in the room is declined, and nobody at the terminal is bothered", async (t) => {
    const stranger = await peer(await homeserver.createAccount("stranger", PASSWORD));
    await stranger.order("setUpIdentity", { password: PASSWORD });
    const command = verify(t);
    await command.line("waiting");
    const room = await stranger.order("createRoom", { invite: [account.userId], encryption: {} });
    await stranger.order("waitForMember", { roomId: room, userId: account.userId });
    const verification = await stranger.order("requestVerification", { userId: account.userId, roomId: room });
    assert.deepEqual(await stranger.order("verificationResult", { verification }), {
      code: "m.user",
      by: account.userId,
    });
    assert.deepEqual(
      command.lines.map(({ kind }) => kind),
      ["waiting"],
    );
    command.interrupt();
    assert.equal(await command.ended(), 1);
  });
}

/**
 * A bot in a closed network: its homeserver is behind TLS with a private authority, under a name that only the proxy can find, and
 * the proxy asks for a password. The whole bot, as its operator starts it.
 */
import assert from "node:assert/strict";
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { Sender } from "../../demo/sender/sender.ts";
import { startDevServer, type DevServer, type SignedIn } from "../../devserver/server.ts";
import { BotProcess, DEFAULT_YAML, writeConfig } from "../support/botProcess.ts";
import { docketWith } from "../support/docketCommand.ts";
import { startForwardProxy, type ForwardProxy } from "../support/forwardProxy.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";
import { authorityFile, startTlsFront, type TlsFront } from "../support/tlsServers.ts";

const PASSWORD = "kanarie@p:ss/wörd";
const NAME = "matrix.docket.test";
type Environment = Readonly<Record<string, string>>;

interface ClosedNetwork {
  readonly server: DevServer;
  readonly account: SignedIn;
  readonly proxy: ForwardProxy;
  readonly front: TlsFront;
  readonly directory: string;
  /** With user name and password. */
  readonly proxyUrl: string;
  /** What `section` and `env` say of the network. */
  start(section: string, env: Environment, name?: string): BotProcess;
  check(section: string, env: Environment, name?: string): ReturnType<typeof docketWith>;
}

async function closedNetwork(t: TestContext): Promise<ClosedNetwork> {
  const server = await startDevServer();
  t.after(() => server.stop());
  const account = server.createAccount("docket", "not a secret", { deviceId: "DOCKETBOT" });
  const front = await startTlsFront(t, server.url);
  const proxy = await startForwardProxy(t, { credentials: `docket:${PASSWORD}`, names: { [NAME]: "127.0.0.1" } });
  const directory = temporaryDirectory(t);
  copyFileSync(authorityFile, join(directory, "authorities.pem"));
  const optionsFor = (section: string, name: string) => ({
    homeserver: `https://${name}:${front.port}`,
    userId: account.userId,
    accessToken: account.accessToken,
    directory,
    yaml: `${DEFAULT_YAML}log: debug\nnetwork:\n${section}`,
  });
  return {
    server,
    account,
    proxy,
    front,
    directory,
    proxyUrl: `http://docket:${encodeURIComponent(PASSWORD)}@127.0.0.1:${proxy.port}`,
    start(section, env, name = NAME) {
      const bot = new BotProcess({ ...optionsFor(section, name), env: { NO_PROXY: "", no_proxy: "", ...env } });
      t.after(() => bot.kill());
      return bot;
    },
    check: (section, env, name = NAME) =>
      docketWith(env, "check", "--online", "--config", writeConfig(optionsFor(section, name))),
  };
}

/** @returns when the bot has answered a request in an encrypted room */
async function answers(t: TestContext, { server, account }: ClosedNetwork, bot: BotProcess): Promise<void> {
  await bot.running();
  const alice = await Sender.withToken({ baseUrl: server.url, ...server.createAccount("alice", "not a secret") });
  t.after(() => alice.stop());
  await alice.start();
  const roomId = await alice.createRoom({ encrypted: true, invite: [account.userId] });
  await alice.waitForJoin(roomId, account.userId);
  await alice.waitForDevice(account.userId, account.deviceId);
  const request = { "m.request.status": { from_device: alice.deviceId, lifetime: 90_000 } };
  const response = await alice.waitForResponse(await alice.send(roomId, "org.example.report", request));
  assert.equal(response.status, "success");
  assert.equal(response.event.encrypted, true);
}

function noPasswordIn(text: string): void {
  const encoded = Buffer.from(`docket:${PASSWORD}`).toString("base64");
  for (const secret of [PASSWORD, encodeURIComponent(PASSWORD), encoded, "kanarie"]) assert.ok(!text.includes(secret));
}

const outputOf = (bot: BotProcess): string => `${JSON.stringify(bot.lines)}${bot.stderr}`;
const AUTHORITIES = "  certificate_authorities: ./authorities.pem\n";

test("through a proxy with a password and with a private authority, both from the configuration, it answers an encrypted request", async (t) => {
  const closed = await closedNetwork(t);
  writeFileSync(join(closed.directory, "proxy"), `${closed.proxyUrl}\n`, { mode: 0o600 });
  const bot = closed.start(`  proxy: "\${file:./proxy}"\n${AUTHORITIES}`, { HTTPS_PROXY: "http://127.0.0.1:2" });
  await answers(t, closed, bot);
  assert.deepEqual([...new Set(closed.proxy.asked)], [`CONNECT ${NAME}:${closed.front.port}`]);
  const operations = await bot.operationsUrl();
  assert.equal((await fetch(`${operations}/readyz`)).status, 200);
  assert.equal(await bot.stop(), 0);
  await closed.proxy.until(({ open }) => open === 0);
  noPasswordIn(outputOf(bot));
});

test("through a proxy with a password and with a private authority, both from the environment, it answers an encrypted request", async (t) => {
  const closed = await closedNetwork(t);
  const env = { HTTPS_PROXY: closed.proxyUrl, HTTP_PROXY: "http://127.0.0.1:2", NODE_EXTRA_CA_CERTS: authorityFile };
  const bot = closed.start("  proxy: environment\n", env);
  await answers(t, closed, bot);
  assert.deepEqual([...new Set(closed.proxy.asked)], [`CONNECT ${NAME}:${closed.front.port}`]);
  // What the bot is asked on its own machine goes past every proxy.
  const health = await docketWith(env, "health", "--config", join(closed.directory, "config.yaml"));
  assert.equal(health.code, 0, health.stdout + health.stderr);
  assert.equal(await bot.stop(), 0);
  noPasswordIn(outputOf(bot));
});

test("without the password it says so, names where it belongs, and goes on trying; nothing reaches the homeserver", async (t) => {
  const closed = await closedNetwork(t);
  const bot = closed.start(`  proxy: environment\n${AUTHORITIES}`, { https_proxy: closed.proxy.url });
  const waits = await bot.line((line) => line.msg.includes("trying again"), "it waited");
  assert.match(
    String(waits["problem"]),
    /was not asked: the proxy http:\/\/127\.0\.0\.1:\d+ \(https_proxy\) asks for credentials \(status 407\)\. Put them into https_proxy/,
  );
  await closed.proxy.until(({ asked }) => asked.length >= 2);
  assert.equal(closed.front.connections, 0);
  assert.equal(await bot.stop(), 0);
});

test("where NO_PROXY names the homeserver it goes there directly, and answers", async (t) => {
  const closed = await closedNetwork(t);
  const env = { HTTPS_PROXY: "http://127.0.0.1:2", NO_PROXY: "example.org,localhost" };
  const bot = closed.start(AUTHORITIES, env, "localhost");
  await answers(t, closed, bot);
  assert.deepEqual(closed.proxy.asked, []);
  assert.ok(closed.front.connections > 0);
  assert.equal(await bot.stop(), 0);
});

test("a proxy that is away is told from a homeserver that is away, and the bot is there again with the proxy", async (t) => {
  const closed = await closedNetwork(t);
  const bot = closed.start(AUTHORITIES, { HTTPS_PROXY: closed.proxyUrl });
  await answers(t, closed, bot);
  await bot.line((line) => line.msg === "ready", "it was ready");
  await closed.proxy.stop();
  const ill = await bot.line((line) => line.msg === "not ready any more", "it was not ready");
  const cut = /the proxy http:\/\/127\.0\.0\.1:\d+ \(HTTPS_PROXY\) was not reached \(ECONNREFUSED\)/;
  await bot.line(
    (line) => line.msg.includes("the sync failed") && cut.test(String(line["problem"])),
    "it named the proxy",
  );
  await closed.proxy.resume();
  await bot.line(
    (line) => line.msg === "ready" && bot.lines.indexOf(line) > bot.lines.indexOf(ill),
    "it was ready again",
  );
  assert.equal(await bot.stop(), 0);
  noPasswordIn(outputOf(bot));
});

test("check says which way is taken, takes it with --online, and names what stands in the way", async (t) => {
  const closed = await closedNetwork(t);
  const env = { HTTPS_PROXY: closed.proxyUrl };
  const well = await closed.check(AUTHORITIES, env);
  assert.equal(well.code, 0, well.stderr);
  assert.match(well.stdout, /reach it through the proxy http:\/\/127\.0\.0\.1:\d+ \(HTTPS_PROXY, with credentials\)\n/);
  assert.match(well.stdout, /trust 1 more certificate, from \/.*authorities\.pem\n/);
  assert.match(well.stdout, /The token is for @docket:localhost, device DOCKETBOT\./);
  const untrusted = await closed.check("  proxy: environment\n", env);
  assert.equal(untrusted.code, 69);
  assert.match(
    untrusted.stderr,
    /through the proxy .* \(UNABLE_TO_VERIFY_LEAF_SIGNATURE\)\. TLS failed: .*`network\.certificate_authorities`/,
  );
  const stranger = await closed.check(AUTHORITIES, { HTTPS_PROXY: closed.proxyUrl.replace("docket:", "somebody:") });
  assert.equal(stranger.code, 69);
  assert.match(stranger.stderr, /does not take the credentials \(status 407\)/);
  const direct = await closed.check(AUTHORITIES, { ...env, NO_PROXY: "localhost" }, "localhost");
  assert.equal(direct.code, 0, direct.stderr);
  assert.match(
    direct.stdout,
    /reach it without the proxy http:\/\/127\.0\.0\.1:\d+ \(HTTPS_PROXY\), because of NO_PROXY/,
  );
  const none = await closed.check(`  proxy: false\n${AUTHORITIES}`, env, "localhost");
  assert.equal(none.code, 0, none.stderr);
  assert.doesNotMatch(none.stdout, /proxy/i);
  for (const { stdout, stderr } of [well, untrusted, stranger, direct, none]) noPasswordIn(stdout + stderr);
});

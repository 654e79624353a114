/**
 * `npm run demo -- --homeserver URL` with accounts that are somebody's: here on a development homeserver that the demo does not know
 * as one. However it ends, both accounts are as they were.
 */
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { ROOM_MARK } from "../../demo/homeservers/leaveAsFound.ts";
import { type DevServer, type DevServerOptions, startDevServer } from "../../devserver/server.ts";
import { type DemoEnd, DemoProcess, isRunning } from "../support/demoProcess.ts";
import { startForwardProxy } from "../support/forwardProxy.ts";

const LONGEST_MS = 300_000;
const BOT = "@docket:localhost";
const ALICE = "@alice:localhost";
const PASSWORDS = { DOCKET_DEMO_BOT_PASSWORD: "bot/Zc7+q", DOCKET_DEMO_SENDER_PASSWORD: "alice/Kx2+w" };

async function homeserver(t: TestContext, options: DevServerOptions = {}): Promise<DevServer> {
  const server = await startDevServer(options);
  t.after(() => server.stop());
  server.createAccount("docket", PASSWORDS.DOCKET_DEMO_BOT_PASSWORD);
  server.createAccount("alice", PASSWORDS.DOCKET_DEMO_SENDER_PASSWORD);
  return server;
}

function demoOn(t: TestContext, url: string, args: readonly string[] = [], passwords = PASSWORDS): DemoProcess {
  return new DemoProcess(t, ["--homeserver", url, "--bot", "docket", "--sender", ALICE, ...args], passwords);
}

/** Devices that the demo signed in and out again. */
function devices(server: DevServer): { signedIn: number; signedOut: number } {
  const count = (path: RegExp): number => server.requests({ method: "POST", path, status: 200 }).length;
  return { signedIn: count(/\/login$/), signedOut: count(/\/logout$/) };
}

/** Nothing of the demo is left on the homeserver. */
async function assertAsFound(server: DevServer): Promise<void> {
  const { signedIn, signedOut } = devices(server);
  assert.ok(signedIn > 0);
  assert.equal(signedOut, signedIn, "devices signed out");
  const rooms = new Set(
    server.events().flatMap(({ type, roomId, content }) => {
      const marked = Object.entries(ROOM_MARK).every(([key, value]) => content[key] === value);
      return type === "m.room.create" && marked ? [roomId] : [];
    }),
  );
  for (const roomId of rooms) {
    for (const userId of [BOT, ALICE]) {
      assert.equal(server.membership(roomId, userId), "leave", `${userId} in ${roomId}`);
      const path = new RegExp(`${encodeURIComponent(roomId)}/forget$`);
      assert.ok(server.requests({ method: "POST", path, userId, status: 200 }).length > 0, "forgotten");
    }
  }
  const profile = await fetch(`${server.url}/_matrix/client/v3/profile/${BOT}`);
  const left = Object.keys((await profile.json()) as object).filter((key) => key.includes("docketdemo"));
  assert.deepEqual(left, [], "profile fields");
}

function rowsOf({ stdout }: DemoEnd): Record<string, unknown>[] {
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe("the demo on somebody's homeserver", () => {
  it("gets every answer, and leaves both accounts as it found them", { timeout: LONGEST_MS }, async (t) => {
    const server = await homeserver(t);
    const own = server.createRoom(ALICE, { name: "Alice's own" });
    // Rooms of hers that are many make a filter that is too long for an address.
    for (let n = 0; n < 60; n += 1) server.createRoom(ALICE);
    // What a run has left behind that was killed without a chance.
    const remains = server.createRoom(ALICE, { creation_content: ROOM_MARK, invite: [BOT] });
    server.join(remains, BOT);
    const declined = server.createRoom(ALICE, { creation_content: ROOM_MARK, invite: [BOT] });
    const demo = demoOn(t, server.url, ["--json", "--canary", "a-canary"]);
    const end = await demo.ended;
    assert.deepEqual(
      rowsOf(end).filter(({ ok }) => ok !== true),
      [],
    );
    assert.equal(end.stderr, "");
    assert.equal(end.exitCode, 0);
    await assertAsFound(server);
    assert.equal(server.membership(own, ALICE), "join", "her own room");
    assert.equal(server.requests({ method: "POST", path: /\/filter$/, userId: ALICE, status: 200 }).length, 1);
    for (const roomId of [remains, declined]) assert.equal(server.membership(roomId, BOT), "leave");
    const config = readFileSync(join(demo.folder, "config.yaml"), "utf8");
    assert.match(config, /accept:\s+- "@alice:localhost"\n/, "nobody else's invitations are accepted");
    const written = globSync("**", { cwd: demo.folder })
      .map((name) => join(demo.folder, name))
      .filter((file) => statSync(file).isFile())
      .map((file) => readFileSync(file, "latin1"));
    for (const password of Object.values(PASSWORDS))
      assert.ok(![...written, end.stdout].some((text) => text.includes(password)), "a password was written down");
    assert.ok(
      written.some((text) => text.includes("a-canary")),
      "what is written is looked through",
    );
  });

  it("leaves them so after Ctrl-C in the middle", { timeout: LONGEST_MS }, async (t) => {
    const server = await homeserver(t);
    const demo = demoOn(t, server.url);
    await demo.says("a valid emergency report");
    demo.process.kill("SIGINT");
    assert.equal((await demo.ended).exitCode, 130);
    assert.deepEqual(Object.values(demo.pids()).filter(isRunning), []);
    await assertAsFound(server);
  });

  it("leaves them so after Ctrl-C while the second is being signed in", { timeout: LONGEST_MS }, async (t) => {
    const server = await homeserver(t);
    const fault = server.fault({ path: /\/login$/, method: "POST", skip: 1, action: { kind: "hang", after: true } });
    const demo = demoOn(t, server.url);
    await server.waitFor(() => fault.hits > 0, LONGEST_MS, "the second sign-in");
    demo.process.kill("SIGINT");
    fault.release();
    assert.equal((await demo.ended).exitCode, 130);
    await assertAsFound(server);
  });

  it(
    "leaves them so at the end of --keep, and when it is killed; no process that it starts knows a password",
    { timeout: LONGEST_MS },
    async (t) => {
      const server = await homeserver(t);
      const kept = demoOn(t, server.url, ["--keep"]);
      await kept.says("Ctrl-C ends it all, leaves the rooms and signs both out.");
      assert.equal(devices(server).signedOut, 0);
      for (const pid of Object.values(kept.pids())) {
        const file = `/proc/${pid}/environ`;
        const environment = existsSync(file) ? readFileSync(file, "latin1") : "";
        for (const password of Object.values(PASSWORDS)) assert.ok(!environment.includes(password));
      }
      kept.process.kill("SIGINT");
      const { exitCode, stdout } = await kept.ended;
      assert.equal(exitCode, 0);
      assert.match(stdout, /^bot +@docket:localhost, password in DOCKET_DEMO_BOT_PASSWORD$/m);
      await assertAsFound(server);

      const killed = demoOn(t, server.url);
      await killed.says("a valid emergency report");
      killed.process.kill("SIGKILL");
      await killed.ended;
      await server.waitFor(() => devices(server).signedOut === 4, LONGEST_MS, "both to be signed out");
      await assertAsFound(server);
    },
  );

  it("says what this homeserver can't show, and is green", { timeout: LONGEST_MS }, async (t) => {
    const unstableFeatures = {
      "org.matrix.msc4089": false,
      "uk.tcpip.msc4133": false,
      "uk.tcpip.msc4133.stable": false,
    };
    const server = await homeserver(t, { unstableFeatures });
    const body = { errcode: "M_FORBIDDEN", error: "no public rooms" };
    server.fault({ path: /\/createRoom$/, action: { kind: "answer", status: 403, body } });
    const end = await demoOn(t, server.url, ["--json"]).ended;
    const notHere = rowsOf(end).filter(({ ok }) => ok === null);
    assert.deepEqual(
      notHere.map(({ asked }) => asked),
      ["an invitation to a public room", "its profile: what it understands", "delivery receipts (MSC4089)"],
    );
    for (const { answer } of notHere) assert.match(String(answer), /^not here: this homeserver /);
    assert.deepEqual(
      rowsOf(end).filter(({ ok }) => ok === false),
      [],
    );
    assert.equal(end.exitCode, 0);
    await assertAsFound(server);
  });

  it("goes through the proxy that the environment names", { timeout: LONGEST_MS }, async (t) => {
    const server = await homeserver(t);
    const proxy = await startForwardProxy(t, {
      names: { "matrix.docket.test": "127.0.0.1" },
      credentials: "demo:let-me",
    });
    const { port } = new URL(server.url);
    const url = `http://matrix.docket.test:${port}`;
    const environment = { ...PASSWORDS, HTTP_PROXY: `http://demo:let-me@127.0.0.1:${proxy.port}`, NO_PROXY: "" };
    const { exitCode, stdout } = await demoOn(t, url, [], environment).ended;
    assert.equal(exitCode, 0, stdout);
    assert.match(stdout, /begins with http: whoever is on the way can read the passwords/);
    assert.ok(!stdout.includes("let-me"));
    await assertAsFound(server);
  });

  it("goes as slowly as the homeserver asks, and says so", { timeout: LONGEST_MS }, async (t) => {
    const server = await homeserver(t);
    server.setRateLimit(null, { burst: 8, perSecond: 2 });
    const { exitCode, stdout } = await demoOn(t, server.url).ended;
    assert.match(stdout, /limits how fast an account may send/);
    assert.match(stdout, /override_ratelimit/);
    assert.equal(stdout.match(/limits how fast/g)?.length, 1, "once");
    assert.equal(exitCode, 0, stdout);
    await assertAsFound(server);
  });
});

describe("the demo says in one sentence, with an exit code, that", () => {
  const onlyLine = ({ stdout }: DemoEnd, url: string): string =>
    stdout.replace(`signing in docket and ${ALICE} on ${url}\n`, "").replace(/^leaving the rooms.*\n/m, "");

  it("a password is wrong, and signs the other account out", { timeout: LONGEST_MS }, async (t) => {
    const server = await homeserver(t);
    const wrong = { ...PASSWORDS, DOCKET_DEMO_SENDER_PASSWORD: "not-it" };
    const end = await demoOn(t, server.url, [], wrong).ended;
    const says = `${server.url} does not let ${ALICE} sign in (M_FORBIDDEN): look at the name and at the password in DOCKET_DEMO_SENDER_PASSWORD.\n`;
    assert.equal(onlyLine(end, server.url), says);
    assert.equal(end.exitCode, 77);
    assert.deepEqual(devices(server), { signedIn: 1, signedOut: 1 });
  });

  it("the homeserver lets nobody sign in with a password", { timeout: LONGEST_MS }, async (t) => {
    const server = await homeserver(t);
    const body = { flows: [{ type: "m.login.sso" }, { type: "m.login.token" }] };
    server.fault({ method: "GET", path: /\/login$/, action: { kind: "answer", status: 200, body } });
    const end = await demoOn(t, server.url).ended;
    assert.match(
      onlyLine(end, server.url),
      /lets nobody sign in with a password \(it offers m\.login\.sso, m\.login\.token\)/,
    );
    assert.equal(end.exitCode, 77);
  });

  it("the homeserver can't be reached", { timeout: LONGEST_MS }, async (t) => {
    const server = await startDevServer();
    await server.stop();
    const end = await demoOn(t, server.url).ended;
    assert.equal(onlyLine(end, server.url), `${server.url} can't be reached (ECONNREFUSED).\n`);
    assert.equal(end.exitCode, 69);
  });

  it("something else answers there, and which address the domain names", { timeout: LONGEST_MS }, async (t) => {
    const named = { "m.homeserver": { base_url: "https://matrix.example.org" } };
    const pages = createServer((request, response) => {
      response.end(request.url === "/.well-known/matrix/client" ? JSON.stringify(named) : "<html>Welcome</html>");
    });
    await new Promise<void>((resolve) => pages.listen(0, "127.0.0.1", resolve));
    t.after(() => pages.close());
    const url = `http://127.0.0.1:${(pages.address() as AddressInfo).port}`;
    const end = await demoOn(t, url).ended;
    const says = `there is no Matrix homeserver at ${url}. Its domain names https://matrix.example.org: try --homeserver https://matrix.example.org\n`;
    assert.equal(onlyLine(end, url), says);
    assert.equal(end.exitCode, 69);
  });

  it("both names are one account", { timeout: LONGEST_MS }, async (t) => {
    const server = await homeserver(t);
    const same = { ...PASSWORDS, DOCKET_DEMO_SENDER_PASSWORD: PASSWORDS.DOCKET_DEMO_BOT_PASSWORD };
    const args = ["--homeserver", server.url, "--bot", "docket", "--sender", BOT];
    const { exitCode, stdout } = await new DemoProcess(t, args, same).ended;
    assert.match(stdout, /the same account, @docket:localhost: the demo needs two/);
    assert.equal(exitCode, 64);
    assert.deepEqual(devices(server), { signedIn: 2, signedOut: 2 });
  });

  for (const how of ["is in rooms", "is invited by the sender into rooms"]) {
    it(`the bot's account ${how} of its own, where it would record`, { timeout: LONGEST_MS }, async (t) => {
      const server = await homeserver(t);
      const roomId = server.createRoom(ALICE, { invite: [BOT] });
      if (how === "is in rooms") server.join(roomId, BOT);
      const membership = server.membership(roomId, BOT);
      const end = await demoOn(t, server.url).ended;
      assert.match(onlyLine(end, server.url), /would record and answer what is said there: take an account for --bot/);
      assert.equal(end.exitCode, 64);
      assert.equal(server.membership(roomId, BOT), membership);
      assert.deepEqual(devices(server), { signedIn: 2, signedOut: 2 });
    });
  }
});

/** The control socket: private from its first moment, replaced when it is stale, gone after the stop, whatever the path's length. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { umask } from "node:process";
import { test, type TestContext } from "node:test";
import { Hono } from "hono";
import { z } from "zod";
import { ServerUnreachable } from "../../../src/errors.ts";
import { silentLogger } from "../../../src/logging.ts";
import { askBot } from "../../../src/ops/controlClient.ts";
import { ControlSocket } from "../../../src/ops/controlSocket.ts";
import { temporaryDirectory } from "../../support/temporaryDirectory.ts";

function socketIn(t: TestContext, directory: string, warned: string[] = []): ControlSocket {
  const app = new Hono()
    .get("/", (context) => context.json("well"))
    .get("/page", (context) => context.text("<html>"))
    .get("/fails", (context) => context.text("This failed (STORE_FAILED); the bot's log says more.\n", 500));
  const log = { ...silentLogger, warn: (_fields: unknown, message: string) => void warned.push(message) };
  const socket = new ControlSocket({ directory, app, log });
  t.after(() => socket.stop());
  return socket;
}

test("nobody else can connect at any moment of its making, whatever the process's umask", async (t) => {
  const directory = temporaryDirectory(t);
  const before = umask(0);
  t.after(() => umask(before));
  const socket = socketIn(t, directory);
  const started = socket.start();
  let over = false;
  void started.finally(() => (over = true));
  const seen = new Set<string>();
  while (!over) {
    for (const name of readdirSync(directory)) {
      const { mode } = statSync(join(directory, name), { throwIfNoEntry: false }) ?? {};
      if (mode !== undefined) seen.add((mode & 0o777).toString(8));
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  await started;
  for (const mode of seen) assert.match(mode, /^[67]00$/);
  assert.equal(statSync(join(directory, "docket.sock")).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(directory), ["docket.sock"]);
  assert.equal((await askBot(directory, "GET", "/", z.string()))?.answer, "well");
});

test("what a killed process left is replaced, and nothing is there after the stop", async (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, "docket.sock"), "left");
  mkdirSync(join(directory, "docket.sock.new"));
  writeFileSync(join(directory, "docket.sock.new", "s"), "left");
  const socket = socketIn(t, directory);
  await socket.start();
  assert.equal((await askBot(directory, "GET", "/", z.string()))?.status, 200);
  await Promise.all([socket.stop(), socket.stop()]);
  assert.deepEqual(readdirSync(directory), []);
});

test("a path that is longer than a socket's may be works", async (t) => {
  const directory = join(temporaryDirectory(t), ...Array.from({ length: 4 }, () => "x".repeat(60)));
  mkdirSync(directory, { recursive: true });
  const warned: string[] = [];
  const socket = socketIn(t, directory, warned);
  await socket.start();
  assert.deepEqual(warned, []);
  assert.equal((await askBot(directory, "GET", "/", z.string()))?.answer, "well");
  await socket.stop();
  assert(!existsSync(join(directory, "docket.sock")));
});

test("where there can be no socket the bot goes on, and says so; where nobody listens a command is told", async (t) => {
  const directory = temporaryDirectory(t);
  const warned: string[] = [];
  await socketIn(t, join(directory, "missing"), warned).start();
  assert.match(warned.join(), /no control socket/);
  assert.equal(await askBot(join(directory, "missing"), "GET", "/", z.string()), null);
  assert.equal(await askBot(directory, "GET", "/", z.string()), null);
  writeFileSync(join(directory, "docket.sock"), "");
  assert.equal(await askBot(directory, "GET", "/", z.string()), null);
});

test("a bot that fails at its answer is an error that says what it said, and no answer to be read", async (t) => {
  const directory = temporaryDirectory(t);
  await socketIn(t, directory).start();
  await assert.rejects(
    askBot(directory, "GET", "/fails", z.string()),
    (error) => error instanceof ServerUnreachable && /This failed \(STORE_FAILED\)/.test(error.message),
  );
  await assert.rejects(askBot(directory, "GET", "/page", z.string()), ServerUnreachable, "somebody else's page");
  await assert.rejects(askBot(directory, "GET", "/", z.number()), ServerUnreachable, "another answer");
});

/** After a panic of the crypto library nothing goes on. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { Machine, isCryptoPanic } from "../../../src/crypto/machine.ts";
import { CryptoPanicked, ExitCode } from "../../../src/errors.ts";

async function open(t: TestContext, watchdogMs: number): Promise<{ machine: Machine; fatal: Error[] }> {
  const fatal: Error[] = [];
  const onFatal = (error: Error): void => void fatal.push(error);
  const machine = await Machine.open({
    userId: "@bot:example.org",
    deviceId: "BOT",
    storeName: null,
    watchdogMs,
    onFatal,
  });
  t.after(() => machine.close());
  return { machine, fatal };
}

test("a real panic is recognised where it surfaces, outside of every promise", async () => {
  const program = join(import.meta.dirname, "../../support/panickingProcess.ts");
  const child = spawn(process.execPath, [program], { stdio: "ignore" });
  const [code] = (await once(child, "exit")) as [number | null];
  assert.equal(code, ExitCode.cryptoPanic);
});

test("a library call that never settles ends the process, and nothing follows it", async (t) => {
  const { machine, fatal } = await open(t, 50);
  const stuck = machine.use("encryptRoomEvent", () => new Promise<never>(() => undefined));
  let ran = false;
  const behind = machine.use("outgoingRequests", () => Promise.resolve((ran = true)));
  await Promise.all([assert.rejects(stuck, CryptoPanicked), assert.rejects(behind, CryptoPanicked)]);
  assert.equal(fatal.length, 1);
  assert.ok(fatal[0] instanceof CryptoPanicked && fatal[0].exitCode === ExitCode.cryptoPanic);
  await assert.rejects(
    machine.use("outgoingRequests", () => Promise.resolve()),
    CryptoPanicked,
  );
  assert.equal(ran, false);
});

test("a trap that a call throws ends the process at once", async (t) => {
  const { machine, fatal } = await open(t, 60_000);
  const trap = Object.assign(new Error("unreachable"), { name: "RuntimeError" });
  const call = machine.use("encryptRoomEvent", () => Promise.reject(trap));
  await assert.rejects(call, CryptoPanicked);
  assert.equal(fatal.length, 1);
  await assert.rejects(
    machine.use("outgoingRequests", () => Promise.resolve()),
    CryptoPanicked,
  );
});

test("an ordinary error of the library is no panic", async (t) => {
  const { machine, fatal } = await open(t, 60_000);
  await assert.rejects(
    machine.use("x", () => Promise.reject(new TypeError("no"))),
    TypeError,
  );
  assert.equal(await machine.use("x", () => Promise.resolve("goes on")), "goes on");
  assert.deepEqual(fatal, []);
  assert.equal(isCryptoPanic(new TypeError("no")), false);
});

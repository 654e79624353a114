/** Work that the running bot does for a command: over the real socket, with what it says, asks and returns. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { z } from "zod";
import { ExitCode, ServerRefused } from "../../../../src/errors.ts";
import { silentLogger } from "../../../../src/logging.ts";
import { createControlApp } from "../../../../src/ops/app.ts";
import { ControlSocket } from "../../../../src/ops/controlSocket.ts";
import type { Device, DeviceOperation, Talk } from "../../../../src/ops/device/deviceOperation.ts";
import { DeviceOperations, type AnyDeviceOperation } from "../../../../src/ops/device/deviceOperations.ts";
import { runInBot } from "../../../../src/ops/device/runInBot.ts";
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts";

type Work = (input: string, talk: Talk<number, string, boolean>) => Promise<string>;
type Operation = DeviceOperation<string, number, string, string, boolean>;

function operation(work: Work): Operation {
  return {
    name: "try",
    input: z.string(),
    report: z.number(),
    result: z.string(),
    question: z.string(),
    reply: z.boolean(),
    run: (_device, input, talk) => work(input, talk),
  };
}

interface Place {
  readonly directory: string;
  readonly operations: DeviceOperations;
}

async function serve(t: TestContext, served: Operation, device: Device | null = {} as Device): Promise<Place> {
  const directory = temporaryDirectory(t);
  const operations = new DeviceOperations({
    operations: [served as unknown as AnyDeviceOperation],
    device: () => device,
    log: silentLogger,
  });
  const unasked = () => assert.fail("nobody asks for it");
  const app = createControlApp(
    { report: unasked, metrics: unasked, log: silentLogger },
    { reload: unasked, doctor: unasked, device: operations.routes() },
  );
  const socket = new ControlSocket({ directory, app, log: silentLogger });
  await socket.start();
  t.after(() => socket.stop());
  t.after(() => operations.stop());
  return { directory, operations };
}

function person(answer: (question: string) => boolean = () => assert.fail("nothing is asked")) {
  const told: number[] = [];
  const leaving = new AbortController();
  const talk: Talk<number, string, boolean> = {
    tell: (report) => void told.push(report),
    ask: (question) => Promise.resolve(answer(question)),
    signal: leaving.signal,
  };
  return { told, leaving, talk };
}

test("what the work says, asks and returns passes between the bot and the person", async (t) => {
  const served = operation(async (input, { tell, ask }) => {
    tell(1);
    const first = await ask(`${input}?`);
    tell(2);
    return `${input} ${first} ${await ask("really?")}`;
  });
  const { directory } = await serve(t, served);
  const asked: string[] = [];
  const { talk, told } = person((question) => asked.push(question) === 1);
  assert.deepEqual(await runInBot(directory, served, "well", talk), { kind: "done", result: "well true false" });
  assert.deepEqual(
    [told, asked],
    [
      [1, 2],
      ["well?", "really?"],
    ],
  );
});

test("where no bot listens, the command is told so, to do the work itself", async (t) => {
  const served = operation(() => Promise.resolve("done"));
  assert.equal(await runInBot(temporaryDirectory(t), served, "x", person().talk), null);
});

test("a failure comes with its code and its words; a bug without any of its own", async (t) => {
  let failure: Error = new ServerRefused("Not today.", { status: 403, errcode: "M_FORBIDDEN", retryAfterMs: null });
  const served = operation(() => Promise.reject(failure));
  const { directory } = await serve(t, served);
  const refused = await runInBot(directory, served, "x", person().talk);
  assert.deepEqual(
    [refused?.kind, refused?.kind === "failed" && [refused.code, refused.message]],
    ["failed", ["SERVER_REFUSED", "Not today."]],
  );
  failure = new Error("a secret");
  const bug = await runInBot(directory, served, "x", person().talk);
  assert.ok(bug?.kind === "failed" && bug.exitCode === ExitCode.bug && !bug.message.includes("secret"));
});

test("the work ends when the person is gone, also while it waits for an answer, and can then be asked for again", async (t) => {
  const ended = Promise.withResolvers<unknown>();
  const leaving = new AbortController();
  let asks = true;
  const served = operation(async (_input, { ask }) => {
    if (!asks) return "again";
    return String(await ask("are you there?").catch((error: unknown) => ended.resolve(error)));
  });
  const { directory } = await serve(t, served);
  const talk: Talk<number, string, boolean> = {
    tell: () => undefined,
    ask: () => {
      leaving.abort(new Error("gone"));
      return Promise.reject(leaving.signal.reason as Error);
    },
    signal: leaving.signal,
  };
  await assert.rejects(runInBot(directory, served, "x", talk), /gone/);
  assert.match(String(await ended.promise), /hung up/);
  asks = false;
  let outcome = await runInBot(directory, served, "x", person().talk);
  // The first one may still be on its way out.
  while (outcome?.kind === "failed") outcome = await runInBot(directory, served, "x", person().talk);
  assert.deepEqual(outcome, { kind: "done", result: "again" });
});

test("one of a kind runs at a time, and none before the bot has its device", async (t) => {
  const going = Promise.withResolvers<void>();
  const entered = Promise.withResolvers<void>();
  const served = operation(async () => {
    entered.resolve();
    await going.promise;
    return "first";
  });
  const { directory } = await serve(t, served);
  const first = runInBot(directory, served, "x", person().talk);
  await entered.promise;
  const second = await runInBot(directory, served, "x", person().talk);
  assert.ok(second?.kind === "failed" && /just now/.test(second.message));
  going.resolve();
  assert.deepEqual(await first, { kind: "done", result: "first" });
  const early = await serve(t, served, null);
  const outcome = await runInBot(early.directory, served, "x", person().talk);
  assert.ok(outcome?.kind === "failed" && /no connection/.test(outcome.message));
  assert.equal(outcome.exitCode, ExitCode.serverUnreachable);
});

test("a stop ends the work, and waits until it has ended", async (t) => {
  const entered = Promise.withResolvers<void>();
  let ended = false;
  const served = operation(async (_input, { ask }) => {
    const asked = ask("wait");
    entered.resolve();
    await asked.catch(() => undefined);
    ended = true;
    return "stopped";
  });
  const { directory, operations } = await serve(t, served);
  const { talk } = person();
  const outcome = runInBot(directory, served, "x", {
    ...talk,
    ask: () => new Promise(() => undefined),
    signal: AbortSignal.any([talk.signal]),
  });
  outcome.catch(() => undefined);
  await entered.promise;
  await operations.stop();
  assert.equal(ended, true);
});

test("what does not fit the operation is refused before any work", async (t) => {
  const served = operation(() => assert.fail("it runs"));
  const { directory } = await serve(t, served);
  const other = { ...served, input: z.unknown() } as unknown as DeviceOperation<
    unknown,
    number,
    string,
    string,
    boolean
  >;
  await assert.rejects(runInBot(directory, other, { not: "a text" }, person().talk), /no usable answer.*status 400/);
  await assert.rejects(runInBot(directory, served, "x".repeat(70_000), person().talk), /no usable answer/);
});

test("an answer that the bot can't take ends the command and the work, instead of leaving both to wait", async (t) => {
  const ended = Promise.withResolvers<unknown>();
  const served = operation(async (_input, { ask }) =>
    String(await ask("yes or no?").catch((error: unknown) => ended.resolve(error))),
  );
  const { directory } = await serve(t, served);
  const { talk } = person(() => "perhaps" as unknown as boolean);
  await assert.rejects(runInBot(directory, served, "x", talk), /no usable answer.*status 400/);
  assert.match(String(await ended.promise), /hung up/);
  const long = person(() => "x".repeat(70_000) as unknown as boolean);
  await assert.rejects(runInBot(directory, served, "x", long.talk), /no usable answer/);
});

/** Locks: one at a time, in order of arrival, and free again whatever happens. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { KeyedMutex, Mutex } from "../../../src/crypto/mutex.ts";
import { Cancelled } from "../../../src/errors.ts";

test("work runs one at a time, in order of arrival", async () => {
  const mutex = new Mutex();
  const order: string[] = [];
  const work = (name: string) => async (): Promise<void> => {
    order.push(`${name} starts`);
    await Promise.resolve();
    order.push(`${name} ends`);
  };
  await Promise.all([mutex.run(work("a")), mutex.run(work("b")), mutex.run(work("c"))]);
  assert.deepEqual(order, ["a starts", "a ends", "b starts", "b ends", "c starts", "c ends"]);
  assert.ok(mutex.idle);
});

test("work that throws gives the lock back", async () => {
  const mutex = new Mutex();
  const failing = mutex.run(() => Promise.reject(new RangeError("no")));
  const next = mutex.run(() => Promise.resolve("next"));
  await assert.rejects(failing, RangeError);
  assert.equal(await next, "next");
});

test("who gives up while waiting leaves the line, and those behind still get their turn", async () => {
  const mutex = new Mutex();
  const { promise, resolve } = Promise.withResolvers<void>();
  const first = mutex.run(() => promise);
  const giveUp = new AbortController();
  let ran = false;
  const second = mutex.run(() => Promise.resolve((ran = true)), giveUp.signal);
  const third = mutex.run(() => Promise.resolve("third"));
  giveUp.abort();
  await assert.rejects(second, Cancelled);
  await assert.rejects(
    mutex.run(() => Promise.resolve(), AbortSignal.abort()),
    Cancelled,
  );
  resolve();
  await first;
  assert.equal(await third, "third");
  assert.equal(ran, false);
});

test("work under different keys does not wait for each other", async () => {
  const rooms = new KeyedMutex();
  const { promise, resolve } = Promise.withResolvers<void>();
  const slow = rooms.run("a", () => promise);
  assert.equal(await rooms.run("b", () => Promise.resolve("b")), "b");
  let behind = false;
  const waiting = rooms.run("a", () => Promise.resolve((behind = true)));
  await rooms.run("b", () => Promise.resolve());
  assert.equal(behind, false);
  resolve();
  await Promise.all([slow, waiting]);
});

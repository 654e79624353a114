import assert from "node:assert/strict";
import { describe, it, test } from "node:test";
import fc from "fast-check";
import { Cancelled, ServerRefused, ServerUnreachable, StoreFailed } from "../../../src/errors.ts";
import { backoffMs, nextAttemptIn, pauseAfter, standardRetries } from "../../../src/matrix/retries.ts";

const first = { attempts: 1, elapsedMs: 0, random: 0 };
const refused = (status: number, retryAfterMs: number | null = null): ServerRefused =>
  new ServerRefused("no", { status, errcode: null, retryAfterMs });
const lost = new ServerUnreachable("lost", { doubtful: true });

describe("retries", () => {
  it("repeat 429, 5xx and a lost connection", () => {
    for (const error of [refused(429), refused(500), refused(502), refused(503), lost]) {
      assert.equal(nextAttemptIn(error, first), standardRetries.baseMs / 2);
    }
  });

  it("repeat nothing else", () => {
    const refusedToken = new ServerRefused("no", { status: 401, errcode: "M_UNKNOWN_TOKEN", tokenRefused: true });
    for (const error of [
      refused(400),
      refused(403),
      refused(404),
      refused(302),
      refusedToken,
      new Cancelled("stop"),
      new StoreFailed("disk"),
      new TypeError("bug"),
      null,
    ]) {
      assert.equal(nextAttemptIn(error, first), null);
    }
  });

  it("wait exactly as long as the server asks", () => {
    assert.equal(nextAttemptIn(refused(429, 1234), first), 1234);
    assert.equal(nextAttemptIn(refused(503, 7000), first), 7000);
  });

  it("end when the server asks for more than the bound, instead of asking earlier than it wants", () => {
    assert.equal(nextAttemptIn(refused(429, standardRetries.maxAskedMs), first), standardRetries.maxAskedMs);
    assert.equal(nextAttemptIn(refused(429, standardRetries.maxAskedMs + 1), first), null);
  });

  it("end after the bounded number of attempts and the bounded time", () => {
    const { maxAttempts, maxTotalMs } = standardRetries;
    assert.notEqual(nextAttemptIn(lost, { ...first, attempts: maxAttempts - 1 }), null);
    assert.equal(nextAttemptIn(lost, { ...first, attempts: maxAttempts }), null);
    assert.equal(nextAttemptIn(refused(429, 5000), { ...first, elapsedMs: maxTotalMs - 5000 }), 5000);
    assert.equal(nextAttemptIn(refused(429, 5000), { ...first, elapsedMs: maxTotalMs - 4999 }), null);
  });

  it("back off exponentially, with jitter, within the bound", () => {
    assert.deepEqual(
      [1, 2, 3, 4].map((attempts) => backoffMs(attempts, 0)),
      [250, 500, 1000, 2000],
    );
    const attempt = fc.integer({ min: 1, max: 10_000 });
    const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(attempt, random, (attempts, jitter) => {
        const waitMs = backoffMs(attempts, jitter);
        const fullMs = Math.min(standardRetries.maxBackoffMs, standardRetries.baseMs * 2 ** (attempts - 1));
        return Number.isInteger(waitMs) && waitMs >= fullMs / 2 && waitMs <= fullMs;
      }),
    );
  });
});

test("a server that asks for a wait of nothing is not asked again at once, ever more rarely", () => {
  const asked = (retryAfterMs: number): ServerRefused =>
    new ServerRefused("", { status: 429, errcode: "M_LIMIT_EXCEEDED", retryAfterMs });
  const pace = { baseMs: 500, maxBackoffMs: 10_000 };
  assert.deepEqual(
    [1, 2, 3, 30].map((failures) => pauseAfter(asked(0), failures, pace)),
    [500, 1_000, 2_000, 10_000],
  );
  assert.equal(pauseAfter(asked(2_000), 30, pace), 2_000, "what the server asks for is not exceeded");
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "../../../src/clock.ts";
import { Cancelled, ServerRefused, ServerUnreachable, StoreFailed } from "../../../src/errors.ts";
import { silentLogger } from "../../../src/logging.ts";
import { TokenKeeper, type TokenSet } from "../../../src/session/tokenKeeper.ts";

const LIFETIME_MS = 300_000;

function refusal(tokenRefused: boolean, status = 400): ServerRefused {
  return new ServerRefused("no", { status, errcode: null, tokenRefused });
}

/** A keeper with a server that answers when the test says so. */
function fixture(tokens: Partial<TokenSet> = {}) {
  let now = 1_000_000;
  const clock: Clock = { now: () => now, sleep: () => new Promise(() => undefined) };
  const log: string[] = [];
  const asked: { refreshToken: string; signal: AbortSignal; answer: PromiseWithResolvers<TokenSet> }[] = [];
  const saved: TokenSet[] = [];
  const fixed = {
    saved,
    asked,
    log,
    failToSave: false,
    pass: (ms: number) => void (now += ms),
    next: (n: number, more: Partial<TokenSet> = {}): TokenSet => ({
      accessToken: `access${n}`,
      refreshToken: `refresh${n}`,
      expiresAt: now + LIFETIME_MS,
      ...more,
    }),
  };
  const keeper = new TokenKeeper({
    tokens: { accessToken: "access0", refreshToken: "refresh0", expiresAt: now + LIFETIME_MS, ...tokens },
    save: (next) => {
      log.push(`saved ${next.accessToken}`);
      if (fixed.failToSave) throw new StoreFailed("full");
      saved.push(next);
    },
    exchange: (refreshToken, signal) => {
      const answer = Promise.withResolvers<TokenSet>();
      asked.push({ refreshToken, signal, answer });
      return answer.promise;
    },
    clock,
    log: silentLogger,
  });
  return { ...fixed, keeper, state: fixed };
}

describe("the keeper of a device's tokens", () => {
  it("hands out the token as long as it is good, and asks nobody", async () => {
    const { keeper, asked, pass } = fixture();
    assert.equal(await keeper.provide(), "access0");
    pass(LIFETIME_MS - 31_000);
    assert.equal(await keeper.provide(), "access0");
    assert.equal(asked.length, 0);
  });

  it("exchanges it shortly before its end, and lets nobody wait for that", async () => {
    const { keeper, asked, pass, next } = fixture();
    pass(LIFETIME_MS - 29_000);
    assert.equal(await keeper.provide(), "access0");
    assert.equal(await keeper.provide(), "access0");
    assert.deepEqual(
      asked.map(({ refreshToken }) => refreshToken),
      ["refresh0"],
    );
    asked[0]?.answer.resolve(next(1));
    await nextTurn();
    assert.equal(await keeper.provide(), "access1");
  });

  it("makes one exchange for all who wait, and all get what it brought", async () => {
    const { keeper, asked, pass, next } = fixture();
    pass(LIFETIME_MS);
    const ask = async (refused?: string): Promise<string> => keeper.provide(refused);
    const waiting = [ask(), ask("access0"), ask()];
    assert.equal(asked.length, 1);
    asked[0]?.answer.resolve(next(1));
    assert.deepEqual(await Promise.all(waiting), ["access1", "access1", "access1"]);
    assert.equal(asked.length, 1);
    assert.equal(await keeper.provide("access0"), "access1", "who comes late with the old one gets the new one");
    assert.equal(asked.length, 1);
  });

  it("has the new tokens on disk before anybody gets them", async () => {
    const { keeper, asked, next, log } = fixture();
    const waiting = Promise.resolve(keeper.provide("access0")).then((token) => void log.push(`handed out ${token}`));
    asked[0]?.answer.resolve(next(1));
    await waiting;
    assert.deepEqual(log, ["saved access1", "handed out access1"]);
  });

  it("hands out nothing that could not be written, now or later", async () => {
    const { keeper, asked, next, state } = fixture();
    state.failToSave = true;
    const waiting = keeper.provide("access0");
    asked[0]?.answer.resolve(next(1));
    await assert.rejects(Promise.resolve(waiting), StoreFailed);
    assert.throws(() => keeper.provide(), StoreFailed);
  });

  it("keeps the refresh token where the server gives no other", async () => {
    const { keeper, asked, next, saved } = fixture();
    const waiting = keeper.provide("access0");
    asked[0]?.answer.resolve(next(1, { refreshToken: null }));
    await waiting;
    assert.equal(saved[0]?.refreshToken, "refresh0");
  });

  it("tries again after a server that was not reached, with the same refresh token", async () => {
    const { keeper, asked, pass, next } = fixture();
    pass(LIFETIME_MS);
    for (const error of [new ServerUnreachable("away", { doubtful: true }), refusal(false, 429)]) {
      const failed = Promise.resolve(keeper.provide());
      asked.at(-1)?.answer.reject(error);
      await assert.rejects(failed, error);
    }
    const waiting = keeper.provide();
    assert.deepEqual(
      asked.map(({ refreshToken }) => refreshToken),
      ["refresh0", "refresh0", "refresh0"],
    );
    asked.at(-1)?.answer.resolve(next(1));
    assert.equal(await waiting, "access1");
  });

  it("goes on with a token that is still good when an exchange ahead of time fails, and pauses before the next", async () => {
    const { keeper, asked, pass } = fixture();
    pass(LIFETIME_MS - 20_000);
    assert.equal(await keeper.provide(), "access0");
    asked[0]?.answer.reject(new ServerUnreachable("away", { doubtful: false }));
    await nextTurn();
    assert.equal(await keeper.provide(), "access0");
    assert.equal(asked.length, 1);
    pass(5_000);
    assert.equal(await keeper.provide(), "access0");
    assert.equal(asked.length, 2);
  });

  it("does not repeat an exchange that was refused", async () => {
    const { keeper, asked } = fixture();
    const failed = Promise.resolve(keeper.provide("access0"));
    asked[0]?.answer.reject(refusal(true));
    await assert.rejects(failed, ServerRefused);
    const again = Promise.resolve(keeper.provide("access0"));
    assert.equal(asked.length, 1);
    await assert.rejects(again, ServerRefused);
  });

  it("gives a refused token back where there is no refresh token, so that the refusal counts", async () => {
    const { keeper, asked, pass } = fixture({ refreshToken: null });
    pass(2 * LIFETIME_MS);
    assert.equal(await keeper.provide("access0"), "access0");
    assert.equal(asked.length, 0);
  });

  it("waits at its stop for an exchange under way, whose tokens would be lost", async () => {
    const { keeper, asked, saved, next } = fixture();
    const waiting = keeper.provide("access0");
    const stopped = keeper.stop();
    assert.equal(asked[0]?.signal.aborted, false);
    asked[0]?.answer.resolve(next(1));
    await stopped;
    assert.deepEqual([await waiting, saved.length], ["access1", 1]);
  });

  it("asks for nothing once it has stopped", async () => {
    const { keeper, asked } = fixture();
    await keeper.stop();
    await assert.rejects(Promise.resolve(keeper.provide("access0")), Cancelled);
    assert.equal(asked.length, 0);
  });
});

/** Access tokens that the homeserver refuses: one more attempt with another, and no harm if there is none. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Cancelled, ServerRefused, ServerUnreachable } from "../../../src/errors.ts";
import type { TokenProvider } from "../../../src/matrix/http.ts";
import type { EventId, RoomId, TxnId } from "../../../src/protocol/ids.ts";
import { answer, clientFor, handClock, never, rejection, scriptedServer } from "./scriptedServer.ts";

const once = { signal: never, retry: "none" } as const;
const ENDPOINT = "/_matrix/client/v3/test";
const expired = answer(401, { errcode: "M_UNKNOWN_TOKEN", soft_logout: true });
const spoken: TokenProvider = (refused) => (refused === undefined ? "old" : "new");

describe("a refused access token", () => {
  it("is replaced, and the same request goes once more with the new one", async (t) => {
    const server = await scriptedServer(t, expired, answer(200, { event_id: "$e" }));
    const asked: (string | undefined)[] = [];
    const client = clientFor(t, server, {
      tokenProvider: (refused) => {
        asked.push(refused);
        return spoken(refused);
      },
    });
    const event = { roomId: "!r:x" as RoomId, type: "m.x", content: { a: 1 } };
    assert.equal(await client.send(event, "t1" as TxnId, never), "$e" as EventId);
    assert.deepEqual(asked, [undefined, "old"]);
    assert.deepEqual(
      server.seen.map(({ headers }) => headers.authorization),
      ["Bearer old", "Bearer new"],
    );
    const [first, second] = server.seen;
    assert.deepEqual([second?.method, second?.url, second?.body], [first?.method, first?.url, first?.body]);
    assert.match(second?.url ?? "", /\/t1$/);
  });

  it("is not replaced twice for one request", async (t) => {
    const server = await scriptedServer(t, expired);
    const error = await rejection(
      ServerRefused,
      clientFor(t, server, { tokenProvider: spoken }).request("GET", ENDPOINT, once),
    );
    assert.deepEqual([error.tokenRefused, server.seen.length], [true, 2]);
  });

  it("ends the request where there is no other", async (t) => {
    const server = await scriptedServer(t, expired);
    const client = clientFor(t, server, { tokenProvider: () => "old" });
    assert.equal((await rejection(ServerRefused, client.request("GET", ENDPOINT, once))).tokenRefused, true);
    assert.equal(server.seen.length, 1);
  });

  it("is not replaced for refusals that say nothing about it", async (t) => {
    for (const refusal of [
      answer(401, { errcode: "M_MISSING_TOKEN" }),
      answer(401, "a proxy's page"),
      answer(403, { errcode: "M_FORBIDDEN" }),
    ]) {
      const server = await scriptedServer(t, refusal);
      await rejection(ServerRefused, clientFor(t, server, { tokenProvider: spoken }).request("GET", ENDPOINT, once));
      assert.equal(server.seen.length, 1);
    }
  });

  it("lets an abort end the wait for another, and nothing is sent after it", async (t) => {
    const server = await scriptedServer(t, expired);
    const waiting = Promise.withResolvers<void>();
    const client = clientFor(t, server, {
      tokenProvider: async (refused) => {
        if (refused === undefined) return "old";
        waiting.resolve();
        return await new Promise<never>(() => undefined);
      },
    });
    const abort = new AbortController();
    const request = rejection(Cancelled, client.request("GET", ENDPOINT, { ...once, signal: abort.signal }));
    await waiting.promise;
    abort.abort();
    await request;
    assert.equal(server.seen.length, 1);
  });

  it("uses up the time of the attempt, which then had no effect for sure", async (t) => {
    const server = await scriptedServer(t, expired);
    const clock = handClock();
    const waiting = Promise.withResolvers<void>();
    const client = clientFor(t, server, {
      clock,
      tokenProvider: async (refused) => {
        if (refused === undefined) return "old";
        waiting.resolve();
        return await new Promise<never>(() => undefined);
      },
    });
    const request = rejection(ServerUnreachable, client.request("GET", ENDPOINT, { ...once, timeoutMs: 1_000 }));
    await waiting.promise;
    clock.endWaits();
    const error = await request;
    assert.equal(error.doubtful, false);
    assert.match(error.message, /not sent within 1000 ms/);
  });
});

describe("a client without an access token", () => {
  it("sends none, and asks for no other when it is refused", async (t) => {
    const server = await scriptedServer(t, expired);
    const client = clientFor(t, server, { tokenProvider: () => null });
    await rejection(ServerRefused, client.request("GET", ENDPOINT, once));
    assert.deepEqual(
      server.seen.map(({ headers }) => headers.authorization),
      [undefined],
    );
  });
});

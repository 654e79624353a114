/** The client as the rooms above see it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Cancelled, ServerRefused, ServerUnreachable } from "../../../src/errors.ts";
import { standardRetries } from "../../../src/matrix/retries.ts";
import type { EventId, RoomId, SyncToken, TxnId } from "../../../src/protocol/ids.ts";
import { answer, clientFor, hastyClock, never, rejection, scriptedServer, silence } from "./scriptedServer.ts";

const ROOM_12 = "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM" as RoomId;
const OLD_ROOM = "!a/b:example.org" as RoomId;
const poll = {
  since: "s1" as SyncToken,
  filter: { room: { timeline: { limit: 5 } } },
  timeoutMs: 30_000,
  stateAfter: true,
};
const limited = answer(429, { errcode: "M_LIMIT_EXCEEDED", retry_after_ms: 1700 });

const whoami = "/_matrix/client/v3/account/whoami";

describe("requests with standard retries", () => {
  it("wait as the server asks, in the body or in the header, and go on to the answer", async (t) => {
    const clock = hastyClock();
    const server = await scriptedServer(
      t,
      limited,
      answer(429, "", { "retry-after": "4" }),
      answer(200, { done: true }),
    );
    assert.deepEqual(
      await clientFor(t, server, { clock }).request("POST", "/_matrix/client/v3/keys/query", {
        body: {},
        signal: never,
      }),
      { done: true },
    );
    assert.deepEqual(clock.waits, [1700, 4000]);
  });

  it("outlive a restarting server: its proxy's pages, broken connections, half replies", async (t) => {
    const clock = hastyClock();
    const server = await scriptedServer(
      t,
      answer(502, "<html>"),
      (_request, response) => response.destroy(),
      answer(200, '{"half":'),
      answer(200, { done: true }),
    );
    assert.deepEqual(await clientFor(t, server, { clock }).request("GET", "/_matrix/client/v3/x", { signal: never }), {
      done: true,
    });
    assert.deepEqual(clock.waits, [250, 500, 1000]);
  });

  it("end with the server's last word after the bounded number of attempts", async (t) => {
    const server = await scriptedServer(t, answer(503, {}));
    const error = await rejection(
      ServerRefused,
      clientFor(t, server, { clock: hastyClock() }).request("GET", whoami, { signal: never }),
    );
    assert.deepEqual([error.status, server.seen.length], [503, standardRetries.maxAttempts]);
  });

  it("do not repeat a refusal", async (t) => {
    const server = await scriptedServer(t, answer(401, { errcode: "M_UNKNOWN_TOKEN" }));
    assert.ok(
      (
        await rejection(
          ServerRefused,
          clientFor(t, server, { clock: hastyClock() }).request("GET", whoami, { signal: never }),
        )
      ).tokenRefused,
    );
    assert.equal(server.seen.length, 1);
  });

  it("stop waiting when their signal aborts", async (t) => {
    const server = await scriptedServer(t, answer(429, { retry_after_ms: 59_000 }));
    const abort = new AbortController();
    // The line about the repeat is written just before the wait starts.
    const log = {
      debug: () => undefined,
      info: () => undefined,
      warn: () => setImmediate(() => abort.abort()),
      error: () => undefined,
    };
    await rejection(Cancelled, clientFor(t, server, { log }).request("GET", whoami, { signal: abort.signal }));
    assert.equal(server.seen.length, 1);
  });
});

describe("the homeserver's door", () => {
  it("sends an event under the transaction ID that it is given, once", async (t) => {
    const server = await scriptedServer(t, answer(200, { event_id: "$e" }), limited, answer(200, {}));
    const client = clientFor(t, server);
    const event = { roomId: ROOM_12, type: "m.room.encrypted", content: { algorithm: "x" } };
    assert.equal(await client.send(event, "docket/1" as TxnId, never), "$e" as EventId);
    assert.equal(server.seen[0]?.method, "PUT");
    assert.equal(server.seen[0]?.url, `/_matrix/client/v3/rooms/${ROOM_12}/send/m.room.encrypted/docket%2F1`);
    assert.equal(server.seen[0]?.body, '{"algorithm":"x"}');
    assert.equal((await rejection(ServerRefused, client.send(event, "t" as TxnId, never))).retryAfterMs, 1700);
    assert.ok((await rejection(ServerUnreachable, client.send(event, "t" as TxnId, never))).doubtful);
    assert.equal(server.seen.length, 3);
  });

  it("joins through the given servers, by the name that new and old servers know, once", async (t) => {
    const server = await scriptedServer(t, answer(200, { room_id: OLD_ROOM }), limited);
    const client = clientFor(t, server);
    await client.join(OLD_ROOM, ["a.org", "b.org:8448"], never);
    const { pathname, searchParams } = new URL(server.seen[0]?.url ?? "", server.url);
    assert.equal(pathname, "/_matrix/client/v3/join/!a%2Fb%3Aexample.org");
    assert.deepEqual(searchParams.getAll("via"), ["a.org", "b.org:8448"]);
    assert.deepEqual(searchParams.getAll("server_name"), ["a.org", "b.org:8448"]);
    await rejection(ServerRefused, client.join(ROOM_12, [], never));
    assert.equal(server.seen.length, 2);
  });

  it("syncs from the given token with an inline filter, once, and hands on what came, unchecked", async (t) => {
    const server = await scriptedServer(t, answer(200, { next_batch: 7, odd: [] }), answer(502, ""), answer(200, {}));
    const client = clientFor(t, server);
    assert.deepEqual(await client.sync(poll, never), { next_batch: 7, odd: [] });
    await rejection(ServerRefused, client.sync(poll, never));
    await client.sync({ ...poll, since: null, stateAfter: false, timeoutMs: 0 }, never);
    const [first, , third] = server.seen.map(({ url }) => Object.fromEntries(new URL(url, server.url).searchParams));
    const filter = '{"room":{"timeline":{"limit":5}}}';
    assert.deepEqual(first, {
      filter,
      timeout: "30000",
      since: "s1",
      use_state_after: "true",
      "org.matrix.msc4222.use_state_after": "true",
    });
    assert.deepEqual(third, { filter, timeout: "0" });
    assert.equal(server.seen.length, 3);
  });

  it("gives a sync its long poll and a margin before it calls the server unreachable", async (t) => {
    const server = await scriptedServer(t, (_request, response) => setTimeout(() => response.end("{}"), 150), silence);
    const client = clientFor(t, server, { timeoutMs: 10, syncMarginMs: 20 });
    await client.sync(poll, never);
    const error = await rejection(ServerUnreachable, client.sync({ ...poll, timeoutMs: 30 }, never));
    assert.match(error.message, /within 50 ms/);
  });

  it("reads versions and account, and leaves out entries that are none", async (t) => {
    const server = await scriptedServer(
      t,
      answer(200, { versions: ["v1.1", 7], unstable_features: { a: true, b: "yes" } }),
      answer(200, { user_id: "@bot:x", device_id: "D" }),
      answer(200, { user_id: "@bot:x" }),
    );
    const client = clientFor(t, server);
    assert.deepEqual(await client.versions(never), { versions: ["v1.1"], unstableFeatures: { a: true } });
    assert.deepEqual(await client.whoami(never), { userId: "@bot:x", deviceId: "D" });
    assert.deepEqual(await client.whoami(never), { userId: "@bot:x", deviceId: null });
  });

  it("does not take an answer without a name for an account", async (t) => {
    const server = await scriptedServer(t, answer(200, {}));
    await rejection(ServerUnreachable, clientFor(t, server).whoami(never));
  });

  it("keeps long polls from holding up anything else, however many requests there are at once", async (t) => {
    const answerOthers = answer(200, { ok: true });
    const server = await scriptedServer(t, (request, response) => {
      if (!request.url.includes("/sync")) answerOthers(request, response);
    });
    const client = clientFor(t, server);
    const warnings: string[] = [];
    const note = (warning: Error): void => void warnings.push(warning.message);
    process.on("warning", note);
    t.after(() => process.off("warning", note));
    const stop = new AbortController();
    const polls = Array.from({ length: 40 }, () => rejection(Cancelled, client.sync(poll, stop.signal)));
    await server.arrived(polls.length);
    const requests = Array.from({ length: 300 }, () =>
      client.request("GET", "/_matrix/client/v3/x", { signal: stop.signal, retry: "none" }),
    );
    assert.equal((await Promise.all(requests)).length, 300);
    stop.abort();
    await Promise.all(polls);
    assert.deepEqual(warnings, []);
  });
});

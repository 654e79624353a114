/** HTTP to servers other than the homeserver: what comes back of one request, for each way that it can end. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { systemClock, type Clock } from "../../../src/clock.ts";
import { Cancelled, ServerRefused, ServerUnreachable } from "../../../src/errors.ts";
import { silentLogger, type LogFields, type Logger } from "../../../src/logging.ts";
import { WebFetch } from "../../../src/matrix/webFetch.ts";
import { directNetwork } from "../../support/directNetwork.ts";
import { answer, everythingIn, handClock, rejection, scriptedServer, silence } from "./scriptedServer.ts";

function webFor(t: TestContext, more: { clock?: Clock; log?: Logger } = {}): WebFetch {
  const web = new WebFetch({ network: directNetwork, clock: systemClock, log: silentLogger, ...more });
  t.after(() => web.close());
  return web;
}

const form = {
  method: "POST",
  headers: { accept: "application/json" },
  body: new URLSearchParams({ token: "canary" }),
};

describe("a request to another server", () => {
  it("brings back what it said, good or bad, as Node's own response", async (t) => {
    const server = await scriptedServer(
      t,
      answer(200, { ok: true }, { "content-type": "application/json" }),
      answer(400, { error: "invalid_grant" }),
      (_request, response) => void response.writeHead(204).end(),
    );
    const web = webFor(t);
    const good = await web.fetch(`${server.url}/token`, form);
    assert.ok(good instanceof Response);
    assert.deepEqual(
      [good.status, good.headers.get("content-type"), await good.json()],
      [200, "application/json", { ok: true }],
    );
    assert.deepEqual([server.seen[0]?.method, server.seen[0]?.body], ["POST", "token=canary"]);
    assert.equal((await web.fetch(`${server.url}/token`, form)).status, 400);
    assert.equal((await web.fetch(`${server.url}/token`, { method: "GET", headers: {} })).status, 204);
  });

  it("is refused where the server limits it or points elsewhere, and unreachable where it fails", async (t) => {
    const server = await scriptedServer(
      t,
      answer(429, {}, { "retry-after": "7" }),
      answer(307, {}, { location: "https://elsewhere.example/?canary" }),
      answer(503, "canary"),
      (_request, response) =>
        void response.writeHead(200, { "content-length": "100" }).write("half", () => response.destroy()),
      answer(200, "x".repeat(2 * 1024 * 1024)),
    );
    const web = webFor(t);
    const ask = (): Promise<Response> => web.fetch(`${server.url}/token?canary`, form);
    const limited = await rejection(ServerRefused, ask());
    assert.deepEqual([limited.retryable, limited.retryAfterMs], [true, 7_000]);
    assert.equal((await rejection(ServerRefused, ask())).status, 307);
    for (let failure = 0; failure < 3; failure += 1) {
      const error = await rejection(ServerUnreachable, ask());
      assert.ok(!everythingIn(error).includes("canary"));
    }
    assert.equal(server.seen.length, 5);
  });

  it("sends nothing over plain HTTP to another machine", async (t) => {
    const web = webFor(t);
    // No name is looked up, and nothing listens: it would fail in another way.
    for (const address of [
      "http://auth.example.org/token",
      "http://192.0.2.1/token",
      "http://127.0.0.1.example.org/",
    ]) {
      const error = await rejection(ServerUnreachable, web.fetch(address, form));
      assert.match(error.message, /not sent .* plain HTTP/);
    }
  });

  it("ends when it is called off, when its time is over, and with its connections", async (t) => {
    const server = await scriptedServer(t, silence);
    const clock = handClock();
    const web = webFor(t, { clock });
    const abort = new AbortController();
    const cancelled = rejection(Cancelled, web.fetch(server.url, { ...form, signal: abort.signal }));
    await server.arrived(1);
    abort.abort();
    await cancelled;
    const late = rejection(ServerUnreachable, web.fetch(server.url, form));
    await server.arrived(2);
    clock.endWaits();
    assert.equal((await late).doubtful, true);
    const closed = rejection(Cancelled, web.fetch(server.url, form));
    await server.arrived(3);
    await web.close();
    await closed;
    await rejection(Cancelled, web.fetch(server.url, form));
    assert.equal(server.seen.length, 3);
  });

  it("stands in the log without query and body", async (t) => {
    const server = await scriptedServer(t, answer(200, { secret: "canary" }));
    const lines: [LogFields, string][] = [];
    const log = { ...silentLogger, debug: (fields: LogFields, message: string) => void lines.push([fields, message]) };
    await webFor(t, { log }).fetch(`${server.url}/oauth2/token?canary=1`, form);
    assert.deepEqual(
      lines.map(([{ request, status }]) => [request, status]),
      [["POST /oauth2/token", 200]],
    );
    assert.ok(!JSON.stringify(lines).includes("canary"));
  });
});

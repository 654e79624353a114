/** One attempt: what comes back of it, for each way that it can end. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { startDevServer } from "../../../devserver/server.ts";
import { Cancelled, ConfigError, ServerRefused, ServerUnreachable } from "../../../src/errors.ts";
import {
  answer,
  clientFor,
  everythingIn,
  handClock,
  headRead,
  never,
  rejection,
  scriptedServer,
  silence,
} from "./scriptedServer.ts";

const once = { signal: never, retry: "none" } as const;
const ENDPOINT = "/_matrix/client/v3/test";

describe("one attempt", () => {
  it("resolves with the parsed body of a good reply, compressed or not", async (t) => {
    const packed = gzipSync(JSON.stringify({ zipped: true }));
    const server = await scriptedServer(t, answer(200, { a: [1] }), (_request, response) => {
      response.writeHead(200, { "content-encoding": "gzip" }).end(packed);
    });
    const client = clientFor(t, server);
    assert.deepEqual(await client.request("GET", ENDPOINT, { ...once, query: { x: ["1", "2"], y: "a b" } }), {
      a: [1],
    });
    assert.deepEqual(await client.request("POST", ENDPOINT, { ...once, body: { é: 1 } }), { zipped: true });
    assert.equal(server.seen[0]?.url, `${ENDPOINT}?x=1&x=2&y=a+b`);
    assert.deepEqual(
      [server.seen[1]?.method, server.seen[1]?.body, server.seen[1]?.headers["content-type"]],
      ["POST", '{"é":1}', "application/json"],
    );
  });

  it("keeps the path of a homeserver that does not live at the root of its host", async (t) => {
    const server = await scriptedServer(t, answer(200, {}));
    await clientFor(t, { url: `${server.url}/synapse/` }).request("GET", ENDPOINT, once);
    assert.equal(server.seen[0]?.url, `/synapse${ENDPOINT}`);
  });

  it("asks the provider for the token of each request", async (t) => {
    const server = await scriptedServer(t, answer(200, {}));
    const tokens = ["first", "second"];
    const client = clientFor(t, server, { tokenProvider: () => Promise.resolve(tokens.shift() ?? "") });
    await client.request("GET", ENDPOINT, once);
    await client.request("GET", ENDPOINT, once);
    assert.deepEqual(
      server.seen.map(({ headers }) => headers.authorization),
      ["Bearer first", "Bearer second"],
    );
    assert.ok(!server.seen.some(({ url }) => url.includes("first")));
  });

  it("does not send a token that no header can carry, and does not repeat it", async (t) => {
    const server = await scriptedServer(t, answer(200, {}));
    for (const token of ["", "canary\n", "canary canary", "canary…"]) {
      const error = await rejection(
        ConfigError,
        clientFor(t, server, { tokenProvider: () => token }).request("GET", ENDPOINT, once),
      );
      assert.ok(!error.message.includes("canary"));
    }
    assert.equal(server.seen.length, 0);
  });

  it("passes on what the token provider throws", async (t) => {
    const server = await scriptedServer(t, answer(200, {}));
    const tokenProvider = (): Promise<string> => Promise.reject(new RangeError("no token today"));
    await assert.rejects(clientFor(t, server, { tokenProvider }).request("GET", ENDPOINT, once), RangeError);
  });

  it("is refused with status, errcode and the wait", async (t) => {
    const server = await scriptedServer(
      t,
      answer(429, { errcode: "M_LIMIT_EXCEEDED", error: "slow", retry_after_ms: 2500 }, { "retry-after": "2" }),
    );
    const error = await rejection(ServerRefused, clientFor(t, server).request("GET", ENDPOINT, once));
    assert.deepEqual(
      [error.status, error.errcode, error.retryAfterMs, error.retryable],
      [429, "M_LIMIT_EXCEEDED", 2500, true],
    );
  });

  it("is refused without an errcode where a proxy answers with a page", async (t) => {
    const server = await scriptedServer(
      t,
      answer(502, "<html><body>Bad Gateway</body></html>", { "content-type": "text/html" }),
    );
    const error = await rejection(ServerRefused, clientFor(t, server).request("GET", ENDPOINT, once));
    assert.deepEqual([error.status, error.errcode, error.retryable], [502, null, true]);
    assert.match(error.message, /a proxy before the homeserver answers/);
  });

  it("is refused by its status where the body of the refusal is cut off, endless or late", async (t) => {
    const server = await scriptedServer(
      t,
      (_request, response) =>
        response.writeHead(403, { "content-length": "100" }).write('{"errcode":', () => response.destroy()),
      (_request, response) => response.writeHead(500).write("x".repeat(200_000)),
      (_request, response) => response.writeHead(409).write("{"),
    );
    const clock = handClock();
    const client = clientFor(t, server, { clock });
    assert.equal((await rejection(ServerRefused, client.request("GET", ENDPOINT, once))).status, 403);
    assert.equal((await rejection(ServerRefused, client.request("GET", ENDPOINT, once))).status, 500);
    const head = headRead();
    const late = rejection(ServerRefused, client.request("GET", ENDPOINT, once));
    await head;
    clock.endWaits();
    assert.equal((await late).status, 409);
  });

  it("does not follow a redirect", async (t) => {
    const elsewhere = await scriptedServer(t, answer(200, {}));
    const server = await scriptedServer(t, answer(307, "", { location: `${elsewhere.url}${ENDPOINT}` }));
    const error = await rejection(ServerRefused, clientFor(t, server).request("PUT", ENDPOINT, { ...once, body: {} }));
    assert.ok(error.message.includes(`to ${elsewhere.url}, and redirects are not followed`));
    assert.deepEqual([error.status, error.retryable, elsewhere.seen.length], [307, false, 0]);
  });

  it("is doubtful where the good reply is cut off, not JSON, no object, or missing", async (t) => {
    const server = await scriptedServer(
      t,
      (_request, response) =>
        response.writeHead(200, { "content-length": "100" }).write('{"canary":', () => response.destroy()),
      (_request, response) => response.writeHead(200).write('{"canary":1}', () => response.destroy()),
      answer(200, '{"canary": "never closed'),
      answer(200, "<html>canary</html>"),
      answer(200, ""),
      answer(200, '"canary"'),
      answer(200, "null"),
      answer(200, "[]"),
      (_request, response) => response.destroy(),
      (_request, response) => response.writeHead(200, { "content-encoding": "gzip" }).end("canary"),
      (_request, response) => response.socket?.end("canary: this is not HTTP\r\n\r\n"),
    );
    const client = clientFor(t, server);
    for (let reply = 1; reply <= 11; reply += 1) {
      const error = await rejection(ServerUnreachable, client.request("PUT", ENDPOINT, { ...once, body: {} }));
      assert.ok(error.doubtful, error.message);
      assert.ok(!everythingIn(error).includes("canary"), `reply ${reply}: ${everythingIn(error)}`);
      assert.equal(server.seen.length, reply);
    }
  });

  it("is not doubtful where nothing listens", async (t) => {
    const server = await startDevServer();
    t.after(() => server.stop());
    await server.pause();
    const error = await rejection(ServerUnreachable, clientFor(t, server).request("GET", ENDPOINT, once));
    assert.equal(error.doubtful, false);
    assert.match(error.message, /ECONNREFUSED.*Nothing listens there/);
  });

  it("names DNS where the host does not exist, and TLS where the other side does not speak it", async (t) => {
    // No name has a part of more than 63 letters: nobody on the network, who might be slow, is asked for it.
    const url = `https://${"docket".repeat(11)}.invalid`;
    const nowhere = await rejection(ServerUnreachable, clientFor(t, { url }).request("GET", ENDPOINT, once));
    assert.match(nowhere.message, /\(ENOTFOUND\)\. Its name is not found in DNS/);
    const server = await scriptedServer(t, answer(200, {}));
    const plain = await rejection(
      ServerUnreachable,
      clientFor(t, { url: server.url.replace("http:", "https:") }).request("GET", ENDPOINT, once),
    );
    assert.match(plain.message, /TLS failed/);
  });

  it("ends at its time-out, before the reply or in the middle of it, and is doubtful", async (t) => {
    const server = await scriptedServer(t, silence, (_request, response) => response.writeHead(200).write("{"));
    const clock = handClock();
    const client = clientFor(t, server, { clock });
    const [arrival, head] = [server.arrived(1), headRead()];
    for (const moment of [arrival, head]) {
      const ended = rejection(ServerUnreachable, client.request("GET", ENDPOINT, { ...once, timeoutMs: 60 }));
      await moment;
      clock.endWaits();
      const error = await ended;
      assert.ok(error.doubtful);
      assert.match(error.message, /did not answer within 60 ms/);
    }
    assert.equal(server.seen.length, 2);
    await server.hungUp(2);
  });

  it("does not hang on a token provider that hangs", async (t) => {
    const server = await scriptedServer(t, answer(200, {}));
    const client = clientFor(t, server, { tokenProvider: () => new Promise<string>(() => undefined) });
    await rejection(ServerUnreachable, client.request("GET", ENDPOINT, { ...once, timeoutMs: 30 }));
    assert.equal(server.seen.length, 0);
  });

  it("is cancelled by its signal: not sent at all, or its socket closed at once", async (t) => {
    const server = await scriptedServer(t, silence);
    const client = clientFor(t, server);
    await rejection(Cancelled, client.request("GET", ENDPOINT, { ...once, signal: AbortSignal.abort() }));
    assert.equal(server.seen.length, 0);
    const abort = new AbortController();
    const cancelled = rejection(Cancelled, client.request("GET", ENDPOINT, { ...once, signal: abort.signal }));
    await server.arrived(1);
    abort.abort();
    await cancelled;
    await server.hungUp(1);
  });
});

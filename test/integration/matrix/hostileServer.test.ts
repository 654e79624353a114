/** What a hostile server, or one that was taken over, can't do to the client. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import { systemClock } from "../../../src/clock.ts";
import { ServerUnreachable } from "../../../src/errors.ts";
import { silentLogger } from "../../../src/logging.ts";
import { HttpTransport, type HttpRequest } from "../../../src/matrix/http.ts";
import { directNetwork } from "../../support/directNetwork.ts";
import {
  answer,
  clientFor,
  everythingIn,
  never,
  rejection,
  scriptedServer,
  TOKEN,
  type Answer,
} from "./scriptedServer.ts";

const once = { signal: never, retry: "none" } as const;
const ENDPOINT = "/_matrix/client/v3/test";

describe("a client of a hostile server", () => {
  it("reads no more of a reply than its bound, unpacked", async (t) => {
    const bomb = gzipSync(JSON.stringify({ zeros: "0".repeat(5_000_000) }));
    const unpacked: Answer = (_request, response) => response.writeHead(200, { "content-encoding": "gzip" }).end(bomb);
    const server = await scriptedServer(t, unpacked);
    const { transport, request } = transportFor(t, server.url);
    const error = await rejection(ServerUnreachable, transport.send({ ...request, maxReplyBytes: 1_000_000 }));
    assert.match(error.message, /longer than 1000000 bytes/);
    await transport.send({ ...request, maxReplyBytes: 6_000_000 });
  });

  it("survives a reply nested a hundred thousand deep", async (t) => {
    const depth = 100_000;
    const server = await scriptedServer(t, answer(200, `{"deep":${'{"a":['.repeat(depth)}${"]}".repeat(depth)}}`));
    assert.ok("deep" in (await clientFor(t, server).request("GET", ENDPOINT, once)));
  });

  it("never carries the token in an error or a log line", async (t) => {
    const lines: string[] = [];
    const keep = (fields: object, message: string): void => void lines.push(JSON.stringify(fields) + message);
    const log = { debug: keep, info: keep, warn: keep, error: keep };
    const server = await scriptedServer(
      t,
      answer(401, { errcode: "M_UNKNOWN_TOKEN", error: `bad ${TOKEN}` }),
      answer(400, { errcode: TOKEN.replaceAll("-", "\n"), error: TOKEN }),
      answer(302, "", { location: `/x?access_token=${TOKEN}` }),
      answer(200, { errcode: "M_UNKNOWN", error: TOKEN }),
      answer(200, TOKEN),
      (_request, response) => response.destroy(),
    );
    const client = clientFor(t, server, { log });
    for (let attempt = 1; attempt <= 6; attempt += 1) {
      const error = await rejection(Error, client.request("GET", ENDPOINT, { ...once, query: { secret: TOKEN } }));
      assert.ok(!everythingIn(error).includes("canary"), everythingIn(error));
    }
    assert.equal(lines.length, 6);
    assert.ok(!lines.join("\n").includes("canary"));
  });

  it("sends the token to the homeserver only, whatever path is asked for", async (t) => {
    const server = await scriptedServer(t, answer(200, {}));
    const client = clientFor(t, server);
    for (const endpoint of [
      "/_matrix/../x",
      "/_matrix/%2e%2e/x",
      "//evil.example/x?y",
      "/_matrix/x?access_token=1",
      "/_matrix/x#y",
      "/_matrix/ x",
    ]) {
      await rejection(TypeError, client.request("GET", endpoint, once));
    }
    await assert.rejects(
      client.uploadContentFromUrl("https://evil.example/picture.png"),
      /outside of a DocketClient: it was not sent/,
    );
    const elsewhere = await scriptedServer(t, answer(200, {}));
    const { transport, request } = transportFor(t, `${server.url}/base`);
    for (const url of [elsewhere.url, server.url, `${server.url}/based`]) {
      await rejection(TypeError, transport.send({ ...request, url: `${url}${ENDPOINT}` }));
    }
    assert.equal(server.seen.length + elsewhere.seen.length, 0);
  });
});

function transportFor(t: TestContext, baseUrl: string): { transport: HttpTransport; request: HttpRequest } {
  const transport = new HttpTransport({
    baseUrl,
    tokenProvider: () => TOKEN,
    clock: systemClock,
    log: silentLogger,
    network: directNetwork,
  });
  t.after(() => transport.close());
  const target = {
    method: "GET",
    url: `${baseUrl}${ENDPOINT}`,
    query: {},
    body: null,
    contentType: null,
    expect: "json",
  } as const;
  return {
    transport,
    request: { ...target, signal: never, timeoutMs: 60_000, maxReplyBytes: 1_000_000, longPoll: false },
  };
}

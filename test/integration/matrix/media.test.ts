/** What the client downloads, and from whom. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ServerRefused, ServerUnreachable } from "../../../src/errors.ts";
import { ReplyTooLong } from "../../../src/matrix/refusals.ts";
import { answer, clientFor, never, rejection, scriptedServer, TOKEN, type Answer } from "./scriptedServer.ts";

const LIMITS = { maxBytes: 1_000, timeoutMs: 10_000, signal: never };
const URI = "mxc://far.example:8448/Abc_-1";

describe("a download", () => {
  it("is asked of our own homeserver, with the token, whoever has the media", async (t) => {
    const bytes = Buffer.from([0, 255, 10, 200]);
    const server = await scriptedServer(t, (_request, response) => response.writeHead(200).end(bytes));
    const read = await clientFor(t, server).download(URI, LIMITS);
    assert.deepEqual(Buffer.from(read), bytes);
    const [seen] = server.seen;
    assert.equal(seen?.url, "/_matrix/client/v1/media/download/far.example%3A8448/Abc_-1?timeout_ms=5000");
    assert.deepEqual([seen.method, seen.headers.authorization], ["GET", `Bearer ${TOKEN}`]);
  });

  it("follows no redirect: neither the token nor the question goes elsewhere", async (t) => {
    const elsewhere = await scriptedServer(t, answer(200, "theirs"));
    const server = await scriptedServer(t, answer(307, "", { location: `${elsewhere.url}/bundle` }));
    await rejection(ServerRefused, clientFor(t, server).download(URI, LIMITS));
    assert.deepEqual(elsewhere.seen, []);
  });

  it("ends at its limit, whatever length the server names, and tells that from a broken one", async (t) => {
    const endless: Answer = (_request, response) => {
      response.writeHead(200);
      const more = (): void => void (response.destroyed || response.write(Buffer.alloc(500), more));
      more();
    };
    const short: Answer = (_request, response) => {
      response.writeHead(200, { "content-length": "500" }).write("half");
      response.destroy();
    };
    const server = await scriptedServer(t, endless, short, answer(404, { errcode: "M_NOT_FOUND" }));
    const client = clientFor(t, server);
    await rejection(ReplyTooLong, client.download(URI, LIMITS));
    const broken = await rejection(ServerUnreachable, client.download(URI, LIMITS));
    assert.ok(!(broken instanceof ReplyTooLong));
    const refused = await rejection(ServerRefused, client.download(URI, LIMITS));
    assert.ok(!refused.message.includes("far.example"), refused.message);
  });

  it("is not even begun for what is no address of media", async (t) => {
    const server = await scriptedServer(t, answer(200, "nothing"));
    const client = clientFor(t, server);
    for (const uri of [
      "",
      "https://evil.example/x",
      "mxc://evil.example",
      "mxc:///x",
      "mxc://evil.example/../../../sync",
      "mxc://../x/y",
      "mxc://evil.example/a?b=c",
      "mxc://evil.example/a b",
      "mxc://evil.example/a#b",
      "mxc://user@evil.example/a",
      `mxc://evil.example/${"a".repeat(300)}`,
    ])
      await assert.rejects(client.download(uri, LIMITS), TypeError, uri);
    assert.deepEqual(server.seen, []);
  });
});

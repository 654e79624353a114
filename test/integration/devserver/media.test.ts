import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startDevServer, type DevServer } from "../../../devserver/server.ts";
import { HttpClient } from "../../support/httpClient.ts";

describe("files at the development homeserver", () => {
  let server: DevServer;
  let bob: HttpClient;

  before(async () => {
    server = await startDevServer();
    bob = new HttpClient(server, server.createAccount("bob"));
  });
  after(() => server.stop());

  test("a test sees what was uploaded, also when nobody got the answer, and may take it away or cut it short", async () => {
    const bytes = Buffer.from([0, 255, 128, 10, 13, 7]);
    server.fault({ path: "/media/v3/upload", action: { kind: "dropAfter" } });
    await assert.rejects(bob.fetch("POST", "/media/v3/upload", bytes, { "content-type": "a/b" }));
    const [upload = assert.fail("nothing was uploaded"), ...others] = server.media.all();
    assert.deepEqual(others, []);
    assert.deepEqual([upload.bytes, upload.contentType, upload.uploader], [bytes, "a/b", bob.userId]);
    assert.equal(upload.uri, `mxc://${server.serverName}/${upload.mediaId}`);

    const path = `/client/v1/media/download/${server.serverName}/${upload.mediaId}`;
    server.fault({ path, action: { kind: "truncate", how: "connection" } });
    await assert.rejects(bob.fetch("GET", path).then((response) => response.arrayBuffer()));
    assert.deepEqual(Buffer.from(await (await bob.fetch("GET", path)).arrayBuffer()), bytes);
    server.media.forget(upload.mediaId);
    assert.equal((await bob.fetch("GET", path)).status, 404);
    server.media.largestBytes = 3;
    assert.equal((await bob.fetch("POST", "/media/v3/upload", bytes)).status, 413);
  });
});

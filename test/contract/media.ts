/** Files: up, and down again by whoever is signed in. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { before, test } from "node:test";
import { isJsonObject, type JsonObject } from "../../src/protocol/json.ts";
import type { HttpClient } from "../support/httpClient.ts";
import { LARGEST_UPLOAD_BYTES } from "./homeserver.ts";
import type { Scene } from "./scene.ts";

const BINARY = "application/octet-stream";

export function mediaContract(scene: Scene): void {
  let alice: HttpClient;
  let bob: HttpClient;

  before(async () => {
    [alice, bob] = await scene.users("alice", "bob");
  });

  const upload = async (bytes: Buffer, query = "", type = BINARY): Promise<string> => {
    const response = await alice.fetch("POST", `/media/v3/upload${query}`, bytes, { "content-type": type });
    const { content_uri: uri, ...more } = await json(response);
    assert.equal(response.status, 200);
    assert.deepEqual(more, {});
    const [, serverName, mediaId] = /^mxc:\/\/([^/]+)\/([A-Za-z0-9_-]+)$/.exec(String(uri)) ?? [];
    assert.equal(serverName, scene.homeserver.serverName, String(uri));
    return `${serverName ?? ""}/${mediaId ?? ""}`;
  };
  const download = (file: string, as = bob): Promise<Response> => as.fetch("GET", `/client/v1/media/download/${file}`);
  const verdict = async (response: Response): Promise<unknown[]> => [
    response.status,
    (await json(response))["errcode"],
  ];

  test("a file comes down as it went up, byte by byte, for anybody who is signed in", async () => {
    const bytes = randomBytes(5000);
    const found = await download(await upload(bytes));
    assert.equal(found.status, 200);
    assert.equal(found.headers.get("content-type"), BINARY);
    assert.equal(found.headers.get("content-length"), "5000");
    assert.equal(found.headers.get("content-disposition"), "attachment");
    assert.deepEqual(Buffer.from(await found.arrayBuffer()), bytes);
    const empty = await download(await upload(Buffer.alloc(0)));
    assert.deepEqual([empty.status, (await empty.arrayBuffer()).byteLength], [200, 0]);
  });

  test("a file keeps its type and its name, and each upload is a file of its own", async () => {
    const bytes = Buffer.from("same");
    const file = await upload(bytes, "?filename=caf%C3%A9", "application/x-docket");
    const found = await download(file);
    assert.equal(found.headers.get("content-type"), "application/x-docket");
    assert.equal(found.headers.get("content-disposition"), "attachment; filename*=utf-8''caf%C3%A9");
    assert.notEqual(await upload(bytes), file);
  });

  test("without a token nothing goes up or down, and the endpoints of old give nothing away", async () => {
    const file = await upload(Buffer.from("data"));
    assert.deepEqual(await verdict(await download(file, scene.anyone())), [401, "M_MISSING_TOKEN"]);
    const up = await scene.anyone().fetch("POST", "/media/v3/upload", Buffer.from("data"));
    assert.deepEqual(await verdict(up), [401, "M_MISSING_TOKEN"]);
    assert.equal((await bob.fetch("GET", `/media/v3/download/${file}`)).status, 404);
  });

  test("a file that is not there is not found", async () => {
    const { serverName } = scene.homeserver;
    assert.deepEqual(await verdict(await download(`${serverName}/unknown`)), [404, "M_NOT_FOUND"]);
  });

  test("the server says how large a file may be, and takes none that is larger", async () => {
    for (const path of ["/client/v1/media/config", "/media/v3/config"]) {
      const config = await json(await bob.fetch("GET", path));
      assert.equal(config["m.upload.size"], LARGEST_UPLOAD_BYTES, path);
    }
    await upload(Buffer.alloc(LARGEST_UPLOAD_BYTES));
    const larger = await alice.fetch("POST", "/media/v3/upload", Buffer.alloc(LARGEST_UPLOAD_BYTES + 1));
    assert.deepEqual(await verdict(larger), [413, "M_TOO_LARGE"]);
  });
}

async function json(response: Response): Promise<JsonObject> {
  const value: unknown = await response.json();
  assert.ok(isJsonObject(value));
  return value;
}

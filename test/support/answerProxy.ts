/** Stands between a client and the development homeserver, and changes answers that a real one would pass on from other servers. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import type { TestContext } from "node:test";
import { isJsonObject, type JsonObject, type JsonValue } from "../../src/protocol/json.ts";

export interface AnswerProxy {
  readonly url: string;
  /** Given the path and the body of a request, what to answer instead; undefined leaves the answer as it is. */
  change: ((path: string, request: JsonObject) => JsonObject | undefined) | null;
}

/** Runs until the test has ended. */
export async function startAnswerProxy(t: TestContext, target: string): Promise<AnswerProxy> {
  const proxy = { url: "", change: null as AnswerProxy["change"] };
  const server = createServer((request, response) => {
    void (async () => {
      const { method = "GET", url = "/" } = request;
      const body = await text(request);
      const headers = { authorization: request.headers.authorization ?? "", "content-type": "application/json" };
      const answer = await fetch(target + url, { method, headers, ...(body === "" ? {} : { body }) });
      const asked: JsonValue = body === "" ? {} : (JSON.parse(body) as JsonValue);
      const changed = proxy.change?.(new URL(url, target).pathname, isJsonObject(asked) ? asked : {});
      response.writeHead(answer.status, { "content-type": "application/json" });
      response.end(changed === undefined ? await answer.text() : JSON.stringify(changed));
    })().catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  proxy.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return proxy;
}

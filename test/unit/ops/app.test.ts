/** What is answered over HTTP, and to whom. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Secret } from "../../../src/config/secret.ts";
import { silentLogger } from "../../../src/logging.ts";
import { createApp, createControlApp, type AppPorts } from "../../../src/ops/app.ts";
import type { HealthReport } from "../../../src/ops/readiness.ts";

function ports(ready = true): AppPorts {
  return {
    report: () => ({ ready }) as HealthReport,
    metrics: async () => "docket_ready 1\n",
    log: silentLogger,
  };
}

const TOKEN = new Secret("token-of-some-length");
const bearer = (token: string): { headers: Record<string, string> } => ({
  headers: { Authorization: `Bearer ${token}` },
});

test("health answers 200 while the process lives; readiness 200 or 503 with its report", async () => {
  for (const [ready, status] of [
    [true, 200],
    [false, 503],
  ] as const) {
    const app = createApp(ports(ready), null);
    assert.equal((await app.request("/healthz")).status, 200);
    const response = await app.request("/readyz");
    assert.deepEqual([response.status, await response.json()], [status, { ready }]);
    assert.equal(response.headers.get("Cache-Control"), "no-store");
  }
});

test("where there is a token, nothing is answered without it, not even what there is", async () => {
  const app = createApp(ports(), TOKEN);
  const wrong = [
    {},
    bearer(""),
    bearer("token-of-some-lengths"),
    bearer("token-of-some-lengt"),
    bearer("token-of-some-length!"),
    { headers: { Authorization: "Basic dG9rZW4=" } },
  ];
  for (const path of ["/healthz", "/readyz", "/metrics", "/nothing"]) {
    for (const init of wrong) {
      const response = await app.request(path, init);
      assert.equal(response.status, 401, path);
      assert.match(response.headers.get("WWW-Authenticate") ?? "", /^Bearer/);
      assert.doesNotMatch(await response.text(), /docket_ready|There is/);
    }
  }
  assert.equal((await app.request("/healthz", bearer("token-of-some-length"))).status, 200);
});

test("an unknown path is told in one line what there is; another method is refused", async () => {
  const app = createApp(ports(), null);
  const unknown = await app.request("/reload", { method: "POST" });
  assert.deepEqual(
    [unknown.status, await unknown.text()],
    [404, "There is: GET /healthz, GET /readyz, GET /metrics.\n"],
  );
  for (const method of ["POST", "PUT", "DELETE"]) {
    const response = await app.request("/metrics", { method });
    assert.deepEqual([response.status, response.headers.get("Allow")], [405, "GET, HEAD"]);
  }
  assert.equal((await app.request("/metrics", { method: "HEAD" })).status, 200);
});

test("a body is refused without being read", async () => {
  const app = createApp(ports(), null);
  for (const headers of [{ "Content-Length": "1025" }, { "Transfer-Encoding": "chunked" }])
    assert.equal((await app.request("/healthz", { method: "POST", headers })).status, 413);
});

test("the control socket takes a reload, and answers what came of it", async () => {
  const doctor = () => assert.fail("nobody asks");
  const reloaded = { kind: "reloaded", changes: { live: ["log"], restart: [] }, warnings: [] } as const;
  const well = await createControlApp(ports(), { reload: async () => reloaded, doctor, device: [] }).request(
    "/reload",
    {
      method: "POST",
    },
  );
  assert.deepEqual([well.status, await well.json()], [200, reloaded]);
  const refused = { kind: "refused", problems: [] } as const;
  const broken = await createControlApp(ports(), { reload: async () => refused, doctor, device: [] }).request(
    "/reload",
    {
      method: "POST",
    },
  );
  assert.deepEqual([broken.status, await broken.json()], [422, refused]);
});

test("a failure in an answer is told by its code alone", async () => {
  const app = createApp({ ...ports(), metrics: () => Promise.reject(new Error("a secret")) }, null);
  const response = await app.request("/metrics");
  assert.equal(response.status, 500);
  assert.doesNotMatch(await response.text(), /secret/);
});

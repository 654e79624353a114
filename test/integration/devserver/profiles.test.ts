import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { startDevServer } from "../../../devserver/server.ts";
import { HttpClient, at, type Reply } from "../../support/httpClient.ts";

const UNSTABLE = "/unstable/uk.tcpip.msc4133";

describe("profiles on a development homeserver that is older or stricter than most", () => {
  const path = (key: string, prefix: string, who: HttpClient): string =>
    `${prefix}/profile/${encodeURIComponent(who.userId)}/${encodeURIComponent(key)}`;
  const codeOf = ({ status, body }: Reply): unknown[] => [status, body["errcode"]];

  test("a server without the feature knows no such routes, and display names all the same", async (t) => {
    const older = await startDevServer({
      unstableFeatures: { "uk.tcpip.msc4133": false, "uk.tcpip.msc4133.stable": false },
    });
    t.after(() => older.stop());
    const anna = new HttpClient(older, older.createAccount("anna"));
    for (const method of ["GET", "PUT", "DELETE"]) {
      const body = method === "PUT" ? { a: 1 } : undefined;
      for (const where of [path("a", "/v3", anna), path("a", UNSTABLE, anna), path("displayname", UNSTABLE, anna)])
        assert.deepEqual(codeOf(await anna.request(method, where, body)), [404, "M_UNRECOGNIZED"], where);
    }
    const whole = `/profile/${anna.userId}`;
    assert.deepEqual(codeOf(await anna.request("GET", `${UNSTABLE}${whole}`)), [404, "M_UNRECOGNIZED"]);
    await anna.call("PUT", path("displayname", "/v3", anna), { displayname: "Anna" });
    assert.deepEqual(await anna.call("GET", `/v3${whole}`), { displayname: "Anna" });
    assert.equal(at(await anna.call("GET", "/v3/capabilities"), "capabilities", "m.profile_fields"), undefined);
  });

  test("the capability says whether fields may be written, and the server holds to it", async (t) => {
    const strict = await startDevServer({ profileFieldsEnabled: false });
    t.after(() => strict.stop());
    const anna = new HttpClient(strict, strict.createAccount("anna"));
    const answered = await anna.call("GET", "/v3/capabilities");
    assert.deepEqual(at(answered, "capabilities", "m.profile_fields"), { enabled: false });
    for (const method of ["PUT", "DELETE"]) {
      const body = method === "PUT" ? { a: 1 } : undefined;
      assert.deepEqual(codeOf(await anna.request(method, path("a", "/v3", anna), body)), [403, "M_FORBIDDEN"]);
    }
    await anna.call("PUT", path("displayname", "/v3", anna), { displayname: "Anna" });
    assert.deepEqual(codeOf(await anna.request("GET", path("a", "/v3", anna))), [404, "M_NOT_FOUND"]);
  });
});

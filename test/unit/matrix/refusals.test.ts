import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ServerRefused } from "../../../src/errors.ts";
import { askedWaitMs, redirectRefusal, refusal, unreachable } from "../../../src/matrix/refusals.ts";

const request = { label: "GET /_matrix/client/v3/sync", origin: "https://m.example.org" };
const reply = (status: number, body: unknown, headers: Record<string, string> = {}): Parameters<typeof refusal>[1] => ({
  status,
  headers: new Headers(headers),
  body,
});
const NOW = Date.parse("2030-01-01T00:00:00Z");
const asked = (body: unknown, headers: Record<string, string>): number | null =>
  askedWaitMs(reply(429, body, headers), NOW);

describe("the wait that a server asks for", () => {
  it("is read from the body, in milliseconds", () => assert.equal(asked({ retry_after_ms: 1500 }, {}), 1500));

  it("is read from Retry-After, in seconds", () => assert.equal(asked({}, { "retry-after": "7" }), 7000));

  it("is read from Retry-After as a date, by the server's own clock where it is known", () => {
    assert.equal(asked({}, { "retry-after": "Tue, 01 Jan 2030 00:00:09 GMT" }), 9000);
    assert.equal(
      asked({}, { "retry-after": "Tue, 01 Jan 2030 05:00:09 GMT", date: "Tue, 01 Jan 2030 05:00:00 GMT" }),
      9000,
    );
    assert.equal(asked({}, { "retry-after": "Mon, 31 Dec 2029 23:00:00 GMT" }), 0);
  });

  it("is an hour at most: a wrong number must not silence the bot for years", () => {
    for (const wrong of [asked({ retry_after_ms: 1e300 }, {}), asked({}, { "retry-after": "999999999" })])
      assert.equal(wrong, 3_600_000);
  });

  it("is the longer one where both are there", () => {
    assert.equal(asked({ retry_after_ms: 2100 }, { "retry-after": "3" }), 3000);
    assert.equal(asked({ retry_after_ms: 3100 }, { "retry-after": "3" }), 3100);
  });

  it("is nothing where it can't be read", () => {
    for (const value of ["", "-3", "soon", "1e9999", "12.5", "99999999999999", "never GMT"])
      assert.equal(asked({}, { "retry-after": value }), null);
    for (const value of ["7", -1, null, Number.NaN, Number.POSITIVE_INFINITY, [], {}])
      assert.equal(asked({ retry_after_ms: value }, {}), null);
  });

  it("never throws and is never negative, whatever the server sends", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string({ unit: "grapheme-ascii" }), (body, header) => {
        const waitMs = askedWaitMs({ status: 429, headers: { get: () => header }, body }, NOW);
        return waitMs === null || (Number.isFinite(waitMs) && waitMs >= 0);
      }),
    );
  });
});

describe("a refusal", () => {
  it("names the endpoint, the status, the errcode and what to do, and nothing that the server wrote", () => {
    const error = refusal(request, reply(403, { errcode: "M_FORBIDDEN", error: "canary: Alice may not" }), NOW);
    assert.match(
      error.message,
      /^GET \/_matrix\/client\/v3\/sync: https:\/\/m\.example\.org refused with status 403 M_FORBIDDEN: .*power level/,
    );
    assert.ok(!error.message.includes("canary"));
    assert.deepEqual(
      [error.status, error.errcode, error.retryable, error.tokenRefused],
      [403, "M_FORBIDDEN", false, false],
    );
  });

  it("says that the token is refused only where no retry can help", () => {
    const refusedWith = (status: number, body: unknown): boolean =>
      refusal(request, reply(status, body), NOW).tokenRefused;
    assert.ok(refusedWith(401, { errcode: "M_UNKNOWN_TOKEN" }));
    // There is no refresh token yet, so a soft logout is as final as any.
    assert.ok(refusedWith(401, { errcode: "M_UNKNOWN_TOKEN", soft_logout: true }));
    assert.ok(refusedWith(401, { errcode: "M_MISSING_TOKEN" }));
    assert.ok(!refusedWith(401, null));
    assert.ok(!refusedWith(401, { errcode: "M_USER_LOCKED", soft_logout: true }));
    assert.ok(!refusedWith(403, { errcode: "M_UNKNOWN_TOKEN" }));
    assert.equal(refusal(request, reply(401, { errcode: "M_UNKNOWN_TOKEN" }), NOW).exitCode, 77);
  });

  it("takes no errcode that could not be one", () => {
    for (const errcode of [7, null, "", "M_X\nfaked log line", "x".repeat(65), ["M_FORBIDDEN"]]) {
      assert.equal(refusal(request, reply(400, { errcode }), NOW).errcode, null);
    }
  });

  it("has a hint for every status, whatever the body", () => {
    fc.assert(
      fc.property(fc.integer({ min: 400, max: 599 }), fc.jsonValue(), (status, body) => {
        const error = refusal(request, reply(status, body), NOW);
        return (
          error instanceof ServerRefused &&
          error.retryable === (status === 429 || status >= 500) &&
          /: [a-z].{10,}$/.test(error.message)
        );
      }),
    );
  });

  it("names where a redirect points, but not what is in the address", () => {
    const to = (location: string | null): string => redirectRefusal(request, 307, location).message;
    assert.match(
      to("https://evil.example/x?access_token=canary"),
      /to https:\/\/evil\.example, and redirects are not followed/,
    );
    assert.ok(!to("https://user:canary@evil.example/x?access_token=canary").includes("canary"));
    assert.match(to("/elsewhere"), /to another path there/);
    assert.match(to(null), /to nowhere/);
    assert.match(to("http://["), /can't be read/);
  });
});

describe("a server that is not reached", () => {
  const failed = (code: string, syscall?: string): Error =>
    new TypeError("fetch failed", { cause: Object.assign(new Error("canary"), { code, syscall }) });

  it("is doubtful exactly where the request may have left", () => {
    const certain = [
      failed("ECONNREFUSED", "connect"),
      failed("ENOTFOUND", "getaddrinfo"),
      failed("EHOSTUNREACH", "connect"),
      failed("UND_ERR_CONNECT_TIMEOUT"),
      failed("CERT_HAS_EXPIRED"),
      failed("ERR_TLS_CERT_ALTNAME_INVALID"),
    ];
    const doubtful = [
      failed("ECONNRESET", "read"),
      failed("EPIPE", "write"),
      failed("EHOSTUNREACH", "read"),
      failed("UND_ERR_SOCKET"),
      failed("EPROTO", "write"),
      new TypeError("fetch failed"),
      "a string",
    ];
    for (const error of certain) assert.equal(unreachable(request, error).doubtful, false);
    for (const error of doubtful) assert.equal(unreachable(request, error).doubtful, true);
  });

  it("is named with the code and what to do, without the library's own words", () => {
    assert.match(
      unreachable(request, failed("ENOTFOUND", "getaddrinfo")).message,
      /\(ENOTFOUND\)\. Its name is not found in DNS/,
    );
    assert.match(unreachable(request, failed("SELF_SIGNED_CERT_IN_CHAIN")).message, /NODE_EXTRA_CA_CERTS/);
    const blocked = unreachable(request, new TypeError("fetch failed", { cause: new Error("bad port") }));
    assert.match(blocked.message, /\(BAD_PORT\)\. `fetch` never connects to this port/);
    assert.equal(blocked.doubtful, false);
    const bundled = new TypeError("fetch failed", {
      cause: new AggregateError([Object.assign(new Error("x"), { code: "ECONNREFUSED", syscall: "connect" })]),
    });
    assert.match(unreachable(request, bundled).message, /\(ECONNREFUSED\)\. Nothing listens there/);
    assert.ok(!unreachable(request, failed("ECONNRESET")).message.includes("canary"));
    assert.equal(unreachable(request, failed("ECONNRESET")).cause, undefined);
  });
});

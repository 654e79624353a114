/** What a homeserver is shown of the account's owner before it takes an identity, and what people are told where that is not enough. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ServerRefused } from "../../../src/errors.ts";
import type { IdentityView } from "../../../src/crypto/crossSigning.ts";
import { readChallenge } from "../../../src/matrix/authenticationChallenge.ts";
import { refusal } from "../../../src/matrix/refusals.ts";
import type { UserId } from "../../../src/protocol/ids.ts";
import type { JsonObject } from "../../../src/protocol/json.ts";
import { wordsFor } from "../../../src/session/identityStanding.ts";
import { OwnerConfirmation } from "../../../src/session/ownerConfirmation.ts";

const userId = "@docket:example.org" as UserId;
const signal = new AbortController().signal;
const shown = { master_key: {} };
const name = { label: "POST /x", origin: "https://example.org" };

function challenge(stages: readonly string[], more: JsonObject = {}, errcode?: string): ServerRefused {
  const body = {
    flows: [{ stages }],
    session: "s1",
    params: {},
    ...more,
    ...(errcode === undefined ? {} : { errcode }),
  };
  return refusal(name, { status: 401, headers: { get: () => null }, body }, 0);
}

/** @param answers one for each attempt: a refusal, or null for success */
function homeserver(answers: (ServerRefused | null)[], master: string | null = null, replaces: string | null = null) {
  const seen: (JsonObject | null)[] = [];
  const confirmation = new OwnerConfirmation({
    upload: async (_identity, auth) => {
      seen.push(auth);
      const answer = answers.shift();
      if (answer === undefined) throw new Error("one attempt too many");
      if (answer !== null) throw answer;
    },
    look: async () => ({ master }) as IdentityView,
  });
  const upload = (password: string | null) =>
    confirmation.upload(shown, { master: "MASTER", replaces }, { userId, password }, signal);
  return { upload, seen };
}

test("where the homeserver needs nothing, nothing of the owner is shown to it", async () => {
  const { upload, seen } = homeserver([null]);
  assert.equal(await upload("hush"), null);
  assert.deepEqual(seen, [null]);
});

test("the password goes only to a homeserver that asks for it, once for each upload", async () => {
  const asks = homeserver([challenge(["m.login.password"]), null]);
  assert.equal(await asks.upload("hush"), null);
  assert.deepEqual(asks.seen, [
    null,
    { type: "m.login.password", identifier: { type: "m.id.user", user: userId }, password: "hush", session: "s1" },
  ]);

  const wrong = homeserver([challenge(["m.login.password"]), challenge(["m.login.password"], {}, "M_FORBIDDEN")]);
  assert.deepEqual(await wrong.upload("hush"), { kind: "other_password" });

  const none = homeserver([challenge(["m.login.password"])]);
  assert.deepEqual(await none.upload(null), { kind: "password" });

  const others = homeserver([challenge(["m.login.sso"])]);
  assert.deepEqual(await others.upload("hush"), { kind: "unknown", stages: ["m.login.sso"] });
  assert.ok(!JSON.stringify(others.seen).includes("hush"));

  const more = homeserver([challenge(["m.login.password", "m.login.email.identity"])]);
  assert.deepEqual(await more.upload("hush"), {
    kind: "unknown",
    stages: ["m.login.password", "m.login.email.identity"],
  });
  assert.ok(!JSON.stringify(more.seen).includes("hush"), "it would not be enough");
});

test("an approval is asked for with its address, and the next attempt names the session that was approved", async () => {
  const url = "https://auth.example.org/reset?action=x";
  for (const stage of ["m.oauth", "org.matrix.cross_signing_reset"]) {
    const asks = challenge([stage], { params: { [stage]: { url } } });
    const { upload, seen } = homeserver([asks, null]);
    const wanted = await upload("hush");
    assert.deepEqual(wanted, { kind: "approval", url });
    assert.match(
      wordsFor({ kind: "waiting", for: { kind: "approval", url }, isReset: false }) ?? "",
      /open https:\/\/auth\.example\.org\/reset\?action=x, /,
    );
    assert.equal(await upload("hush"), null);
    assert.deepEqual(seen, [null, { session: "s1" }]);
  }
});

test("an address for an approval that is no web address is not shown to anybody", () => {
  for (const url of [
    "javascript:alert(1)",
    "not one",
    7,
    null,
    `https://x/${"y".repeat(2_000)}`,
    "file:///etc/passwd",
  ]) {
    const read = readChallenge({ flows: [{ stages: ["m.oauth"] }], params: { "m.oauth": { url } } });
    assert.equal(read?.approvalUrl, null);
  }
  const steered = readChallenge({ flows: [], params: { "m.oauth": { url: "https://x/\u001b[2J\u202e" } } });
  assert.match(steered?.approvalUrl ?? "", /^https:\/\/x\/[\x21-\x7e]*$/);
});

test("an attempt whose answer was lost, and that took effect, asks nobody for anything", async () => {
  const { upload, seen } = homeserver([challenge(["m.login.password"])], "MASTER");
  assert.equal(await upload("hush"), null);
  assert.deepEqual(seen, [null]);
});

test("an identity that came there meanwhile is not replaced: the homeserver gets no password", async () => {
  for (const [present, replaces] of [
    ["THEIRS", null],
    ["THEIRS", "BEFORE"],
  ] as const) {
    const { upload, seen } = homeserver([challenge(["m.login.password"])], present, replaces);
    assert.equal(await upload("hush"), "overtaken");
    assert.deepEqual(seen, [null]);
  }
  const reset = homeserver([challenge(["m.login.password"]), null], "BEFORE", "BEFORE");
  assert.equal(await reset.upload("hush"), null);
  assert.equal(reset.seen.length, 2, "what is to be replaced is replaced");
});

test("a refusal for another reason is no question, and a refused token stays one", async () => {
  const forbidden = new ServerRefused("no", { status: 403, errcode: "M_FORBIDDEN" });
  await assert.rejects(homeserver([forbidden]).upload("hush"), forbidden);
  const gone = new ServerRefused("no", { status: 401, errcode: "M_UNKNOWN_TOKEN", tokenRefused: true });
  await assert.rejects(homeserver([challenge(["m.login.password"]), gone]).upload("hush"), gone);
});

import assert from "node:assert/strict";
import { format, inspect } from "node:util";
import { test } from "node:test";
import { Secret } from "../../../src/config/secret.ts";

test("a secret shows itself to nobody but who asks for it", () => {
  const secret = new Secret("syt_value");
  const shown = [
    String(secret),
    `${secret}`,
    JSON.stringify({ secret }),
    inspect({ secret }, { showHidden: true, depth: 5 }),
    format("%s %o %j", secret, secret, secret),
    Object.entries(secret).join(),
    JSON.stringify(structuredClone({ ...secret })),
  ];
  for (const text of shown) assert.doesNotMatch(text, /syt_value/);
  assert.equal(secret.reveal(), "syt_value");
});

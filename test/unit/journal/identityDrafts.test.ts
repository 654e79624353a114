import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Database } from "../../../src/journal/database.ts";
import { IdentityDrafts, type IdentityDraft } from "../../../src/journal/identityDrafts.ts";
import { temporaryDirectory } from "../../support/temporaryDirectory.ts";

const DRAFT: IdentityDraft = {
  replaces: null,
  master: "the public key",
  secrets: {
    master: "seed-of-the-master-key",
    selfSigning: "seed-of-self-signing",
    userSigning: "seed-of-user-signing",
  },
  keyId: "storage",
  recoveryKey: "EsTR the recovery key",
};
const SECRETS = [DRAFT.recoveryKey, ...Object.values(DRAFT.secrets)];

/** Which of them stand in any file of the directory. */
function remnants(directory: string): string[] {
  const all = readdirSync(directory).map((name) => readFileSync(join(directory, name)));
  return SECRETS.filter((secret) => all.some((bytes) => bytes.includes(secret)));
}

test("a recovery key that somebody has, and the secrets of a finished draft, are in no file of the data directory any more", (t) => {
  const directory = temporaryDirectory(t);
  const work = (what: (drafts: IdentityDrafts) => void): void => {
    const database = Database.open(directory);
    what(new IdentityDrafts(database));
    database.close();
  };
  work((drafts) => drafts.begin(DRAFT));
  assert.deepEqual(remnants(directory), SECRETS);
  work((drafts) => drafts.finish({ isHandedOver: false }));
  assert.deepEqual(remnants(directory), [DRAFT.recoveryKey]);
  work((drafts) => {
    assert.deepEqual(drafts.kept(), { keyId: DRAFT.keyId, recoveryKey: DRAFT.recoveryKey });
    drafts.handedOver();
    assert.equal(drafts.kept(), null);
  });
  assert.deepEqual(remnants(directory), []);
});

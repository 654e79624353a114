/** What a reload finds changed: every key is compared, each by its path in the YAML, and no value is ever shown. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { comparedPaths, configChanges } from "../../../src/config/configChanges.ts";
import { dataDirectoryOf } from "../../../src/config/dataDirectory.ts";
import { knownKeys } from "../../../src/config/knownKeys.ts";
import { configJsonSchema } from "../../../src/config/schema.ts";
import { ConfigError } from "../../../src/errors.ts";
import { loadText, smallest, testSteps } from "./loadText.ts";

const withHandler = `${smallest}handlers:
  - types: [org.example.report]
    steps: [archive, { validate: ./a.json }]
`;

test("every key of the configuration is compared, and nothing else", () => {
  const paths = knownKeys(configJsonSchema(testSteps)).paths.filter((path) => !/\[\]/.test(path));
  const leaves = paths.filter((path) => !paths.some((other) => other.startsWith(`${path}.`)));
  assert.deepEqual([...comparedPaths].toSorted(), leaves.toSorted());
});

test("a configuration that was read twice has not changed, wherever in the file its lines stand", async () => {
  const [before, after] = [await loadText(withHandler), await loadText(`# moved\n\n${withHandler}`)];
  assert.deepEqual(configChanges(before, before, after), { live: [], restart: [] });
});

test("what a running bot can take over, and what needs a restart, are named by their paths", async () => {
  const before = await loadText(withHandler);
  const after = await loadText(
    `${withHandler.replace("./a.json", "./b.json").replace("matrix.example.org", "other.example.org")}log: debug
invites: { accept: ["@alice:example.org"] }
receipts: { rooms: none }
limits: { inbox: 5 }
operations: { listen: "127.0.0.1:1234" }
`,
  );
  assert.deepEqual(configChanges(before, before, after), {
    live: ["invites.accept", "receipts.rooms", "handlers", "log"],
    restart: ["homeserver", "limits.inbox", "operations.listen"],
  });
});

test("a secret that changed is named and not shown", async () => {
  const [before, after] = [await loadText(smallest), await loadText(smallest.replace("good", "better"))];
  const changes = configChanges(before, before, after);
  assert.deepEqual(changes, { live: [], restart: ["account.token"] });
  assert.doesNotMatch(JSON.stringify(changes), /better|good/);
  const withToken = await loadText(`${smallest}operations: { token: "a-token-of-some-length" }\n`);
  assert.deepEqual(configChanges(before, before, withToken).restart, ["operations.token"]);
});

test("a recovery key that the first start has written into its file is no change", async () => {
  const text = smallest.replace("  token:", "  recovery_key: ${file:key}\n  token:");
  const [before, after] = [await loadText(text), await loadText(text, { files: { "/etc/docket/key": "EsTc" } })];
  assert.deepEqual(configChanges(before, before, after), { live: [], restart: [] });
  const moved = await loadText(text.replace("file:key", "file:other"));
  assert.deepEqual(configChanges(before, before, moved).restart, ["account.recovery_key"]);
});

test("what needs a restart is held to the start and not to the last reload: it stays named until then", async () => {
  const started = await loadText(smallest);
  const reloaded = await loadText(`${smallest}limits: { inbox: 5 }\nlog: debug\n`);
  assert.deepEqual(configChanges(started, reloaded, reloaded), { live: [], restart: ["limits.inbox"] });
  assert.deepEqual(configChanges(started, reloaded, started), { live: ["log"], restart: [] });
});

test("the data directory of a file with mistakes is still found; where it can't be, the mistakes are told", async () => {
  const read = (text: string): Promise<string> =>
    dataDirectoryOf("/etc/docket/config.yaml", {
      stepKinds: testSteps,
      env: { DIRECTORY: "/srv/docket" },
      readFile: async () => ({ bytes: Buffer.from(text), worldReadable: false }),
    });
  assert.equal(await read(`${smallest}nonsense: 1\n`), "/etc/docket/data");
  assert.equal(await read("data: { directory: ../elsewhere }\nhandlers: 5\n"), "/etc/elsewhere");
  assert.equal(await read("data:\n  directory: ${env:DIRECTORY}\n"), "/srv/docket");
  for (const text of ["data: { directory: 5 }\n", 'data:\n  directory: "${env:MISSING}"\n', "a: [\n", ""])
    await assert.rejects(read(text), ConfigError);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { Secret } from "../../../src/config/secret.ts";
import { ConfigError } from "../../../src/errors.ts";
import { prepareHandlers } from "../../../src/config/prepareHandlers.ts";
import { loadText, smallest, testSteps } from "./loadText.ts";

test("homeserver and account are enough: every other value has its documented default", async () => {
  const config = await loadText(smallest);
  const { account, ...rest } = config;
  assert.equal(account.user, "@docket:example.org");
  assert.ok(account.token instanceof Secret);
  assert.equal(account.token.reveal(), "syt_a_good_token");
  assert.deepEqual(rest, {
    file: "/etc/docket/config.yaml",
    baseDirectory: "/etc/docket",
    homeserver: "https://matrix.example.org",
    data: { directory: "/etc/docket/data" },
    encryption: { plainInEncryptedRoom: "warn", waitForKeysMs: 604_800_000 },
    invites: { accept: [] },
    responses: {
      dialects: ["stable", "msc4300", "gematik"],
      defaultLifetimeMs: 90_000,
      maxLifetimeMs: 86_400_000,
      sendMarginMs: 500,
      unknownTypes: "error",
    },
    record: { types: ["*"] },
    handlers: [],
    limits: {
      handlers: 8,
      handlersPerRoom: 2,
      inbox: 1_000_000,
      parked: 50_000,
      freeDiskBytes: 536_870_912,
      settledRowsMs: 604_800_000,
      shutdownGraceMs: 10_000,
    },
    log: "info",
    warnings: [],
  });
});

test("every value that is set is taken over, in the units of the code", async () => {
  const config = await loadText(`${smallest.replace("https://matrix.example.org", "http://localhost:8008/")}
data: { directory: /var/lib/docket }
encryption: { plain_in_encrypted_room: refuse, wait_for_keys: 2h }
invites: { accept: ["@*:example.org", example.com, "@bot-*:*.example.net"] }
responses: { dialects: [gematik], default_lifetime: 30s, max_lifetime: 1h, send_margin: 0, unknown_types: addressed }
record: { types: [m.room.message, "org.example.*"] }
handlers:
  - types: ["org.example.a.*"]
    ordered: true
    steps: [archive, { validate: ./schema.json }, validate: { schema: other.json }]
limits: { handlers: 3, handlers_per_room: 1, inbox: 10, parked: 20, free_disk: 10KB, settled_rows: 0, shutdown_grace: 1m }
log: silent
`);
  assert.equal(config.homeserver, "http://localhost:8008");
  assert.equal(config.data.directory, "/var/lib/docket");
  assert.deepEqual(config.encryption, { plainInEncryptedRoom: "refuse", waitForKeysMs: 7_200_000 });
  assert.deepEqual(config.invites.accept, ["@*:example.org", "@*:example.com", "@bot-*:*.example.net"]);
  assert.deepEqual(config.responses, {
    dialects: ["gematik"],
    defaultLifetimeMs: 30_000,
    maxLifetimeMs: 3_600_000,
    sendMarginMs: 0,
    unknownTypes: "addressed",
  });
  assert.deepEqual(config.record.types, ["m.room.message", "org.example.*"]);
  assert.deepEqual(config.handlers, [
    {
      types: ["org.example.a.*"],
      ordered: true,
      steps: [
        { name: "archive", options: undefined, path: "handlers[0].steps[0].archive", line: 14, column: 13 },
        { name: "validate", options: "./schema.json", path: "handlers[0].steps[1].validate", line: 14, column: 22 },
        {
          name: "validate",
          options: { schema: "other.json", max_messages: 5 },
          path: "handlers[0].steps[2].validate",
          line: 14,
          column: 51,
        },
      ],
    },
  ]);
  assert.deepEqual(config.limits, {
    handlers: 3,
    handlersPerRoom: 1,
    inbox: 10,
    parked: 20,
    freeDiskBytes: 10_000,
    settledRowsMs: 0,
    shutdownGraceMs: 60_000,
  });
  assert.equal(config.log, "silent");
});

test("an empty list of dialects switches answering off, and an empty record list recording", async () => {
  const config = await loadText(`${smallest}responses: { dialects: [] }\nrecord: { types: [] }\n`);
  assert.deepEqual(config.responses.dialects, []);
  assert.deepEqual(config.record.types, []);
});

test("aliases, a byte-order mark, Windows line ends and comments change nothing", async () => {
  const text = `\uFEFF# a comment\n${smallest}record:\n  types: &kept [m.room.message, a.*]\nhandlers:\n  - types: *kept\n    steps: [archive]\n`;
  const config = await loadText(text.replaceAll("\n", "\r\n"));
  assert.deepEqual(config.handlers[0]?.types, ["m.room.message", "a.*"]);
  assert.equal(config.homeserver, "https://matrix.example.org");
});

test("steps are prepared in the configuration's folder, handler by handler", async () => {
  const config = await loadText(
    `${smallest}handlers:\n  - types: [a.b]\n    steps: [archive, validate: schemas/x.json]\n`,
  );
  const handlers = await prepareHandlers(config, testSteps);
  assert.deepEqual(handlers, [
    {
      types: ["a.b"],
      ordered: false,
      steps: [
        { name: "archive", path: "handlers[0].steps[0].archive", step: "archive" },
        { name: "validate", path: "handlers[0].steps[1].validate", step: "/etc/docket/schemas/x.json" },
      ],
    },
  ]);
});

test("all steps that can't be prepared are named at once, each with its line", async () => {
  const config = await loadText(
    `${smallest}handlers:\n  - types: [a.b]\n    steps:\n      - validate: broken-1.json\n      - archive\n      - validate: broken-2.json\n`,
  );
  await assert.rejects(prepareHandlers(config, testSteps), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.deepEqual(
      error.problems.map(({ line, column, path }) => [line, column, path]),
      [
        [8, 9, "handlers[0].steps[0].validate"],
        [10, 9, "handlers[0].steps[2].validate"],
      ],
    );
    assert.match(error.message, /config\.yaml:8:9: .*broken-1\.json is not JSON/);
    return true;
  });
});

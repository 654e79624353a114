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
  assert.equal(account.token?.reveal(), "syt_a_good_token");
  const { recoveryKey, password, createIdentity } = account;
  assert.deepEqual(
    { recoveryKey, password, createIdentity },
    { recoveryKey: null, password: null, createIdentity: true },
  );
  assert.deepEqual(rest, {
    file: "/etc/docket/config.yaml",
    baseDirectory: "/etc/docket",
    homeserver: "https://matrix.example.org",
    data: { directory: "/etc/docket/data" },
    network: {
      proxies: { http: null, https: null, exempt: "" },
      certificateAuthorities: { file: null, certificates: [] },
    },
    encryption: {
      decryptFrom: "any",
      sendTo: "cross_signed",
      verifiers: [],
      plainInEncryptedRoom: "warn",
      waitForKeysMs: 604_800_000,
    },
    invites: {
      accept: [],
      publicRooms: false,
      maxRooms: 500,
      maxPerHour: 20,
      decline: null,
      notice: "I keep a record of what is sent in this room, and tell those who ask what became of their message.",
    },
    rooms: { leaveWhenAloneMs: 604_800_000 },
    receipts: { rooms: "private_encrypted", preferStable: false },
    capabilities: { advertise: true },
    operations: { listen: { host: "127.0.0.1", port: 9464 }, token: null },
    responses: {
      dialects: ["stable", "msc4300", "gematik"],
      defaultLifetimeMs: 90_000,
      maxLifetimeMs: 86_400_000,
      sendMarginMs: 500,
      unknownTypes: "error",
      warnUntrusted: false,
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
encryption: { plain_in_encrypted_room: refuse, wait_for_keys: 2h, decrypt_from: cross_signed, send_to: all, verifiers: ["@op:example.org"] }
invites: { accept: ["@*:example.org", example.com, "@bot-*:*.example.net"], public_rooms: true, max_rooms: 3, max_per_hour: 4, decline: true, notice: " Hello. " }
rooms: { leave_when_alone: 1h }
receipts: { rooms: all, prefer_stable: true }
capabilities: { advertise: false }
operations: { listen: "[::1]:0", token: an-ops-token }
responses: { dialects: [gematik], default_lifetime: 30s, max_lifetime: 1h, send_margin: 0, unknown_types: addressed, warn_untrusted: true }
record: { types: [m.room.message, "org.example.*"] }
handlers:
  - types: ["org.example.a.*"]
    match: [{ key: 'm\\.relates_to.rel_type', value: m.reference }]
    ordered: true
    steps: [archive, { validate: ./schema.json }, validate: { schema: other.json }]
limits: { handlers: 3, handlers_per_room: 1, inbox: 10, parked: 20, free_disk: 10KB, settled_rows: 0, shutdown_grace: 1m }
log: silent
`);
  assert.equal(config.homeserver, "http://localhost:8008");
  assert.equal(config.data.directory, "/var/lib/docket");
  assert.deepEqual(config.encryption, {
    decryptFrom: "cross_signed",
    sendTo: "all",
    verifiers: ["@op:example.org"],
    plainInEncryptedRoom: "refuse",
    waitForKeysMs: 7_200_000,
  });
  assert.deepEqual(config.invites, {
    accept: ["@*:example.org", "@*:example.com", "@bot-*:*.example.net"],
    publicRooms: true,
    maxRooms: 3,
    maxPerHour: 4,
    decline: "",
    notice: "Hello.",
  });
  assert.deepEqual(config.rooms, { leaveWhenAloneMs: 3_600_000 });
  assert.deepEqual(config.receipts, { rooms: "all", preferStable: true });
  assert.deepEqual(config.capabilities, { advertise: false });
  assert.deepEqual(config.operations.listen, { host: "::1", port: 0 });
  assert.equal(config.operations.token?.reveal(), "an-ops-token");
  assert.deepEqual(config.responses, {
    dialects: ["gematik"],
    defaultLifetimeMs: 30_000,
    maxLifetimeMs: 3_600_000,
    sendMarginMs: 0,
    unknownTypes: "addressed",
    warnUntrusted: true,
  });
  assert.deepEqual(config.record.types, ["m.room.message", "org.example.*"]);
  assert.deepEqual(config.handlers, [
    {
      types: ["org.example.a.*"],
      match: [{ key: "m\\.relates_to.rel_type", value: "m.reference" }],
      ordered: true,
      steps: [
        { name: "archive", options: undefined, path: "handlers[0].steps[0].archive", line: 19, column: 13 },
        { name: "validate", options: "./schema.json", path: "handlers[0].steps[1].validate", line: 19, column: 22 },
        {
          name: "validate",
          options: { schema: "other.json", max_messages: 5 },
          path: "handlers[0].steps[2].validate",
          line: 19,
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

test("what can be switched off with false is, and a bot that keeps nothing does not say that it does", async () => {
  const config = await loadText(
    `${smallest}invites: { notice: false, decline: Ask us. }\nrooms: { leave_when_alone: false }\noperations: { listen: false }\n`,
  );
  assert.equal(config.invites.notice, null);
  assert.equal(config.invites.decline, "Ask us.");
  assert.equal(config.rooms.leaveWhenAloneMs, null);
  assert.equal(config.operations.listen, null);
  assert.equal((await loadText(`${smallest}record: { types: [] }\n`)).invites.notice, null);
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
      match: [],
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

/** The schema, the sample, the documentation and the JSON Schema know the same keys. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { isMap, isScalar, isSeq, parse, parseDocument } from "yaml";
import { knownKeys } from "../../../src/config/knownKeys.ts";
import { loadConfig } from "../../../src/config/loadConfig.ts";
import { prepareHandlers } from "../../../src/config/prepareHandlers.ts";
import { configJsonSchema } from "../../../src/config/schema.ts";
import { formatDuration, formatSize } from "../../../src/config/units.ts";
import { stepKinds } from "../../../src/handlers/stepKinds.ts";
import { loadText, smallest, testSteps } from "./loadText.ts";

const root = join(import.meta.dirname, "..", "..", "..");
const samplePath = join(root, "config.sample.yaml");
const sample = await readFile(samplePath, "utf8");
const documentation = await readFile(join(root, "docs", "configuration.md"), "utf8");
const schema = configJsonSchema(stepKinds);
/** Without the options of steps, which belong to the kinds of steps. */
const keys = knownKeys(schema).paths.filter((path) => !path.startsWith("handlers[].steps[]"));

function keysOf(node: unknown, path: string): string[] {
  if (isSeq(node)) return node.items.flatMap((item) => keysOf(item, `${path}[]`));
  if (!isMap(node)) return [];
  return node.items.flatMap((pair) => {
    const key = isScalar(pair.key) ? String(pair.key.value) : "";
    const here = path === "" ? key : `${path}.${key}`;
    return [here, ...keysOf(pair.value, here)];
  });
}

test("the schema has the keys that it is known for", () => {
  assert.ok(keys.length >= 30, String(keys.length));
  for (const key of ["homeserver", "account.token", "responses.send_margin", "handlers[].types", "limits.free_disk"]) {
    assert.ok(keys.includes(key), key);
  }
});

test("the sample loads, its steps can be prepared, and it warns of nothing", async () => {
  const config = await loadConfig(samplePath, { stepKinds, env: {} });
  assert.equal(config.account.token, null);
  assert.deepEqual(config.warnings, []);
  const handlers = await prepareHandlers(config, stepKinds);
  assert.deepEqual(
    handlers.map(({ steps }) => steps.map(({ name }) => name)),
    [["validate", "archive"], ["acknowledge"], ["archive"]],
  );
});

test("the sample has every key of the schema, and no other", () => {
  // What most have no need of stands there as a comment.
  const whole = sample.replace(/^ {2}# (token|password|verifiers|certificate_authorities): /gm, "  $1: ");
  const found = keysOf(parseDocument(whole).contents, "").filter((path) => !path.startsWith("handlers[].steps[]"));
  assert.deepEqual([...new Set(found)].sort(), [...keys].sort());
});

test("every value of the sample that has a default is that default, but for invites and handlers", async () => {
  const fromSample = await loadConfig(samplePath, { stepKinds, env: {} });
  const bare = await loadText(smallest);
  for (const key of [
    "network",
    "encryption",
    "rooms",
    "responses",
    "receipts",
    "capabilities",
    "record",
    "limits",
    "operations",
    "log",
  ] as const) {
    assert.deepEqual(fromSample[key], bare[key], key);
  }
});

test("the documentation has a row for every key of the schema, and no other", () => {
  const rows = [...documentation.matchAll(/^\| `([a-z_.[\]]+)` +\|/gm)].map((match) => match[1] ?? "");
  const steps = stepKinds.map(({ name }) => name);
  assert.deepEqual(rows.filter((row) => !steps.includes(row)).sort(), [...keys].sort());
  assert.deepEqual(rows.filter((row) => steps.includes(row)).sort(), [...steps].sort());
});

test("the documentation names the true defaults", async () => {
  const config = await loadText(smallest);
  const documented = new Map(
    [...documentation.matchAll(/^\| `([a-z_.[\]]+)` +\| `([^`]+)`/gm)].map((match) => [match[1], match[2]]),
  );
  const { encryption, responses, record, limits } = config;
  const expected: Record<string, string> = {
    "data.directory": "./data",
    "network.proxy": "environment",
    "account.create_identity": String(config.account.createIdentity),
    "encryption.decrypt_from": encryption.decryptFrom,
    "encryption.send_to": encryption.sendTo,
    "encryption.verifiers": JSON.stringify(encryption.verifiers),
    "encryption.plain_in_encrypted_room": encryption.plainInEncryptedRoom,
    "encryption.wait_for_keys": formatDuration(encryption.waitForKeysMs),
    "invites.accept": JSON.stringify(config.invites.accept),
    "invites.public_rooms": String(config.invites.publicRooms),
    "invites.max_rooms": String(config.invites.maxRooms),
    "invites.max_per_hour": String(config.invites.maxPerHour),
    "invites.decline": String(config.invites.decline !== null),
    "rooms.leave_when_alone": formatDuration(config.rooms.leaveWhenAloneMs ?? 0),
    "receipts.rooms": config.receipts.rooms,
    "receipts.prefer_stable": String(config.receipts.preferStable),
    "capabilities.advertise": String(config.capabilities.advertise),
    "operations.listen": `${config.operations.listen?.host}:${config.operations.listen?.port}`,
    "responses.dialects": `[${responses.dialects.join(", ")}]`,
    "responses.default_lifetime": `${responses.defaultLifetimeMs / 1000}s`,
    "responses.max_lifetime": `${responses.maxLifetimeMs / 3_600_000}h`,
    "responses.send_margin": formatDuration(responses.sendMarginMs),
    "responses.unknown_types": responses.unknownTypes,
    "responses.warn_untrusted": String(responses.warnUntrusted),
    "record.types": JSON.stringify(record.types),
    handlers: "[]",
    "handlers[].ordered": "false",
    "limits.handlers": String(limits.handlers),
    "limits.handlers_per_room": String(limits.handlersPerRoom),
    "limits.inbox": String(limits.inbox),
    "limits.parked": String(limits.parked),
    "limits.free_disk": formatSize(limits.freeDiskBytes),
    "limits.settled_rows": formatDuration(limits.settledRowsMs),
    "limits.shutdown_grace": formatDuration(limits.shutdownGraceMs),
    log: config.log,
  };
  assert.deepEqual(Object.fromEntries([...documented].filter(([key]) => key !== undefined)), expected);
});

test("every key of the JSON Schema has a description for editors", () => {
  const missing: string[] = [];
  const visit = (node: unknown, path: string): void => {
    if (typeof node !== "object" || node === null) return;
    const { properties, items, anyOf } = node as {
      properties?: Record<string, unknown>;
      items?: unknown;
      anyOf?: unknown[];
    };
    for (const [key, child] of Object.entries(properties ?? {})) {
      if (typeof (child as { description?: unknown }).description !== "string") missing.push(`${path}.${key}`);
      visit(child, `${path}.${key}`);
    }
    visit(items, `${path}[]`);
    for (const choice of anyOf ?? []) visit(choice, path);
  };
  visit(schema, "");
  assert.deepEqual(missing, []);
});

test("the JSON Schema accepts what Docket accepts, and refuses what it refuses", async () => {
  const validate = new Ajv2020({ strict: false, allErrors: true, logger: false }).compile(configJsonSchema(testSteps));
  const accepted = [
    smallest,
    `${smallest}responses: { dialects: [], send_margin: 0 }\nlimits: { free_disk: 0 }\n`,
    `${smallest}handlers: [{ types: ["a.*"], steps: [archive, { validate: x }, { validate: { schema: y } }] }]\n`,
    `${smallest}invites: { decline: true, notice: false }\nrooms: { leave_when_alone: false }\noperations: { listen: false }\n`,
    `${smallest}invites: { decline: Ask us., notice: Hello. }\nrooms: { leave_when_alone: 0 }\noperations: { listen: "[::1]:0" }\n`,
    `${smallest}handlers: [{ types: [a.b], match: [{ key: 'm\\.x.y', value: z }], steps: [archive] }]\n`,
  ];
  for (const text of accepted) {
    await loadText(text);
    assert.ok(validate(parse(text)), `${text}\n${JSON.stringify(validate.errors)}`);
  }
  const refused = [
    "log: info\n",
    `${smallest}recrod: {}\n`,
    `${smallest}limits: { handlers: 0 }\n`,
    `${smallest}responses: { send_margin: 5 }\n`,
    `${smallest}responses: { dialects: [klingon] }\n`,
    `${smallest}record: { types: ["a*b"] }\n`,
    `${smallest}rooms: { leave_when_alone: true }\n`,
    `${smallest}operations: { listen: 9464 }\n`,
    `${smallest}handlers: [{ types: [a.b], match: [], steps: [archive] }]\n`,
    `${smallest}handlers: [{ types: [a.b], match: [{ key: x, value: 1 }], steps: [archive] }]\n`,
    `${smallest}handlers: [{ types: [a.b], steps: [] }]\n`,
    `${smallest}handlers: [{ types: [a.b], steps: [validate] }]\n`,
    `${smallest}handlers: [{ types: [a.b], steps: [nothing] }]\n`,
  ];
  for (const text of refused) {
    await assert.rejects(loadText(text), text);
    assert.ok(!validate(parse(text)), text);
  }
});

test("the sample is accepted by the JSON Schema", () => {
  const validate = new Ajv2020({ strict: false, allErrors: true, logger: false }).compile(schema);
  assert.ok(validate(parse(sample)), JSON.stringify(validate.errors));
});

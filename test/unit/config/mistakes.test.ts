/** Every mistake: where it is, what was found, what is expected, and what to do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadText, places, problemsOf, smallest } from "./loadText.ts";

interface Mistake {
  /** Appended to a configuration of four good lines, or the whole text where it begins with `!`. */
  readonly yaml: string;
  /** `LINE:COLUMN PATH` */
  readonly at: string;
  readonly says: RegExp;
  readonly hint?: RegExp;
}

const mistakes: Readonly<Record<string, Mistake>> = {
  "an unknown key, with the nearest one": {
    yaml: "recrod: {}",
    at: "5:1 recrod",
    says: /unknown key `recrod`, expected one of homeserver, account/,
    hint: /Did you mean `record`\?/,
  },
  "a known key at the wrong level": {
    yaml: "send_margin: 1s",
    at: "5:1 send_margin",
    says: /unknown key/,
    hint: /belongs at `responses\.send_margin`/,
  },
  "a misspelt key at the wrong level": {
    yaml: "limits: { wait_for_key: 1s }",
    at: "5:11 limits.wait_for_key",
    says: /unknown key/,
    hint: /`encryption\.wait_for_keys`/,
  },
  "a key of a later version": {
    yaml: "checkpoint_room: x",
    at: "5:1 checkpoint_room",
    says: /unknown key/,
  },
  "a notice that is switched on without words": {
    yaml: "invites: { notice: true }",
    at: "5:20 invites.notice",
    says: /found true, expected false, or text of at most 4000 characters/,
  },
  "a time to leave without a unit": {
    yaml: "rooms: { leave_when_alone: 7 }",
    at: "5:28 rooms.leave_when_alone",
    says: /found 7, expected false, or a duration/,
    hint: /Units are/,
  },
  "an address to listen on without its port": {
    yaml: "operations: { listen: localhost }",
    at: "5:23 operations.listen",
    says: /found "localhost", expected false, or an address and a port such as 127\.0\.0\.1:9464/,
  },
  "a port to listen on without an address": {
    yaml: `operations: { listen: ":9464" }`,
    at: "5:23 operations.listen",
    says: /expected false, or an address and a port/,
    hint: /0\.0\.0\.0/,
  },
  "an address that others may reach, without a token": {
    yaml: "operations: { listen: 0.0.0.0:9464 }",
    at: "5:23 operations.listen",
    says: /other machines may reach, expected operations\.token/,
    hint: /127\.0\.0\.1/,
  },
  "a name that only looks like this machine's, without a token": {
    yaml: "operations: { listen: localhost.example.org:9464 }",
    at: "5:23 operations.listen",
    says: /other machines may reach/,
  },
  "a requirement of the content that is no text": {
    yaml: "handlers: [{ types: [a.b], match: [{ key: x, value: 1 }], steps: [archive] }]",
    at: "5:53 handlers[0].match[0].value",
    says: /found 1, expected text/,
  },
  "a path into the content with nothing between two dots": {
    yaml: "handlers: [{ types: [a.b], match: [{ key: x..y, value: z }], steps: [archive] }]",
    at: "5:43 handlers[0].match[0].key",
    says: /expected names with dots between them/,
  },
  "the same type with the same match in two handlers": {
    yaml: "handlers:\n  - { types: [a.b], match: [{ key: x, value: y }], steps: [archive] }\n  - { types: [a.b], match: [{ value: y, key: x }], steps: [archive] }",
    at: "7:15 handlers[1].types[0]",
    says: /found the type "a\.b" with the same match a second time; the first is handlers\[0\]\.types\[0\] on line 6/,
  },
  "the same match in another spelling": {
    yaml: "handlers:\n  - { types: [a.b], match: [{ key: 'a\\b', value: y }], steps: [archive] }\n  - { types: [a.b], match: [{ key: 'a\\\\b', value: y }], steps: [archive] }",
    at: "7:15 handlers[1].types[0]",
    says: /with the same match a second time/,
  },
  "a merge key": { yaml: "data: { <<: { directory: x } }", at: "5:9 data", says: /`<<`/ },
  "a prototype key": { yaml: "__proto__: { x: 1 }", at: "5:1", says: /`__proto__`/ },
  "an address without its scheme": {
    yaml: `!${smallest.replace("https://", "")}`,
    at: "1:13 homeserver",
    says: /expected an address such as https:/,
    hint: /begins with https:/,
  },
  "an address with a path of the API": {
    yaml: `!${smallest.replace("example.org\n", "example.org/_matrix/client\n")}`,
    at: "1:13 homeserver",
    says: /expected an address/,
    hint: /Leave out/,
  },
  "a user ID without a server": {
    yaml: `!${smallest.replace("docket:example.org", "docket")}`,
    at: "3:9 account.user",
    says: /found "@docket", expected a Matrix user ID/,
    hint: /colon/,
  },
  "a user ID without @": {
    yaml: `!${smallest.replace("@docket", "docket")}`,
    at: "3:9 account.user",
    says: /expected a Matrix user ID/,
    hint: /begins with @/,
  },
  "a missing account": { yaml: "!homeserver: https://a.b", at: "1:1 account", says: /is missing, expected a mapping/ },
  "a missing user": {
    yaml: "!homeserver: https://a.b\naccount: { token: t }",
    at: "2:1 account.user",
    says: /is missing, expected/,
  },
  "a section without keys": {
    yaml: "limits:",
    at: "5:1 limits",
    says: /found nothing, expected a mapping with some of the keys handlers/,
    hint: /remove the line/,
  },
  "a duration without a unit": {
    yaml: "responses: { send_margin: 500 }",
    at: "5:27 responses.send_margin",
    says: /found 500, expected a duration from 0 to 1m/,
    hint: /Units/,
  },
  "a duration out of bounds": {
    yaml: "limits: { shutdown_grace: 1h }",
    at: "5:27 limits.shutdown_grace",
    says: /found "1h", expected a duration from 0 to 10m/,
  },
  "a size in the wrong case": {
    yaml: "limits: { free_disk: 2gb }",
    at: "5:22 limits.free_disk",
    says: /found "2gb", expected a size/,
    hint: /GiB/,
  },
  "a number in quotes": {
    yaml: 'limits: { handlers: "8" }',
    at: "5:21 limits.handlers",
    says: /found "8", expected a whole number from 1/,
    hint: /without quotes/,
  },
  "no handlers at once": { yaml: "limits: { handlers: 0 }", at: "5:21 limits.handlers", says: /from 1 to/ },
  "more handlers for a room than in all": {
    yaml: "limits: { handlers: 2, handlers_per_room: 3 }",
    at: "5:43 limits.handlers_per_room",
    says: /at most the 2/,
  },
  "a word that is not on the list": {
    yaml: "log: warning",
    at: "5:6 log",
    says: /found "warning", expected one of debug, info, warn/,
    hint: /Did you mean warn\?/,
  },
  "an unknown dialect": {
    yaml: "responses: { dialects: [stabel] }",
    at: "5:25 responses.dialects[0]",
    says: /expected one of stable, msc4300, gematik/,
    hint: /stable/,
  },
  "a dialect twice": {
    yaml: "responses: { dialects: [stable, gematik, stable] }",
    at: "5:42 responses.dialects[2]",
    says: /a second time/,
  },
  "a default lifetime above the longest": {
    yaml: "responses:\n  default_lifetime: 2h\n  max_lifetime: 1h",
    at: "7:17 responses.max_lifetime",
    says: /default lifetime of 2h and a longest of 1h/,
  },
  "a margin that leaves no time to handlers": {
    yaml: "responses: { default_lifetime: 2s, send_margin: 1s }",
    at: "5:49 responses.send_margin",
    says: /longer than twice the margin/,
  },
  "text where a list belongs": {
    yaml: "record: { types: m.room.message }",
    at: "5:18 record.types",
    says: /found "m\.room\.message", expected a list/,
    hint: /as a list/,
  },
  "a * inside a type": {
    yaml: 'record: { types: ["m.*.message"] }',
    at: "5:19 record.types[0]",
    says: /found "m\.\*\.message", expected an event type/,
    hint: /only at the end/,
  },
  "a room as inviter": {
    yaml: 'invites: { accept: ["#room:example.org"] }',
    at: "5:21 invites.accept[0]",
    says: /expected a user or server/,
    hint: /Rooms/,
  },
  "a home directory": {
    yaml: "data: { directory: ~/x }",
    at: "5:20 data.directory",
    says: /directory/,
    hint: /not expanded/,
  },
  "a type in two handlers": {
    yaml: "handlers:\n  - types: [a.*, b.c]\n    steps: [archive]\n  - types: [b.*, a.*]\n    steps: [archive]",
    at: "8:18 handlers[1].types[1]",
    says: /the type "a\.\*" a second time; the first is handlers\[0\]\.types\[0\] on line 6/,
  },
  "a handler without steps": {
    yaml: "handlers: [{ types: [a.b], steps: [] }]",
    at: "5:35 handlers[0].steps",
    says: /an empty list, expected at least 1 item/,
  },
  "a handler without types": {
    yaml: "handlers: [{ steps: [archive] }]",
    at: "5:12 handlers[0].types",
    says: /is missing, expected a list/,
  },
  "yes for true": {
    yaml: "handlers: [{ types: [a.b], ordered: yes, steps: [archive] }]",
    at: "5:37 handlers[0].ordered",
    says: /found "yes", expected true or false/,
    hint: /true or false/,
  },
  "an unknown step": {
    yaml: "handlers: [{ types: [a.b], steps: [archiv] }]",
    at: "5:36 handlers[0].steps[0]",
    says: /found "archiv", expected the name of a step: archive, validate, webhook/,
    hint: /`archive`/,
  },
  "a step without the options that it needs": {
    yaml: "handlers: [{ types: [a.b], steps: [validate] }]",
    at: "5:36 handlers[0].steps[0]",
    says: /`validate: options`/,
  },
  "a step with options that it does not take": {
    yaml: "handlers: [{ types: [a.b], steps: [archive: { x: 1 }] }]",
    at: "5:45 handlers[0].steps[0].archive",
    says: /archive takes no options/,
  },
  "a step with a colon and nothing after it": {
    yaml: "handlers:\n  - types: [a.b]\n    steps:\n      - archive:",
    at: "8:9 handlers[0].steps[0].archive",
    says: /found nothing, expected options/,
    hint: /`- archive` without a colon/,
  },
  "two steps in one item": {
    yaml: "handlers:\n  - types: [a.b]\n    steps:\n      - validate: x\n        webhook: {}",
    at: "8:9 handlers[0].steps[0]",
    says: /one step in each item/,
  },
  "a step's unknown option": {
    yaml: "handlers: [{ types: [a.b], steps: [validate: { schma: x }] }]",
    at: "5:48 handlers[0].steps[0].validate.schma",
    says: /unknown key `schma`, expected one of schema, max_messages/,
    hint: /`schema`/,
  },
  "a step's option out of bounds": {
    yaml: "handlers: [{ types: [a.b], steps: [validate: { schema: x, max_messages: 99 }] }]",
    at: "5:73 handlers[0].steps[0].validate.max_messages",
    says: /found 99, expected at most 50/,
  },
  "a step's options of another type": {
    yaml: "handlers: [{ types: [a.b], steps: [validate: 5] }]",
    at: "5:46 handlers[0].steps[0].validate",
    says: /found a number, expected text or a mapping/,
  },
  "a list at the top": { yaml: "!- a\n- b", at: "1:1", says: /found a list at the top level, expected a mapping/ },
  "an empty file": { yaml: "!", at: "1:1", says: /found nothing at the top level/ },
  "a file of comments": { yaml: "!# nothing\n", at: "1:1", says: /found nothing at the top level/ },
  "a single word": { yaml: "!docket", at: "1:1", says: /found a single value at the top level/ },
};

for (const [title, { yaml, at, says, hint }] of Object.entries(mistakes)) {
  test(`${title} is one problem, with its place, what is expected, and what to do`, async () => {
    const problems = await problemsOf(yaml.startsWith("!") ? yaml.slice(1) : `${smallest}${yaml}\n`);
    assert.deepEqual(places(problems), [at], problems.map(({ message }) => message).join("\n"));
    assert.match(problems[0]?.message ?? "", says);
    if (hint !== undefined) assert.match(problems[0]?.hint ?? "", hint);
  });
}

test("all problems are told at once, in the order of the file, those of steps that can't be prepared among them", async () => {
  const problems = await problemsOf(`homeservr: https://a.b
account: { user: "@a:b", token: t }
log: loud
handlers:
  - types: [a.b]
    steps:
      - validate: broken.json
      - archiv
limits: { inbox: -1 }
`);
  assert.deepEqual(places(problems), [
    "1:1 homeservr",
    "3:6 log",
    "7:9 handlers[0].steps[0].validate",
    "8:9 handlers[0].steps[1]",
    "9:18 limits.inbox",
  ]);
});

test("what is not wrong but unwise is a warning, and the configuration loads", async () => {
  const { warnings } = await loadText(`${smallest.replace("https", "http")}invites: { accept: ["*"] }
handlers:
  - types: [m.room.encrypted, report, "a b.c"]
    steps: [archive]
`).catch((error: unknown) => Promise.reject(error as Error));
  assert.deepEqual(places(warnings), [
    "1:13 homeserver",
    "5:21 invites.accept[0]",
    "7:13 handlers[0].types[0]",
    "7:31 handlers[0].types[1]",
    "7:39 handlers[0].types[2]",
  ]);
});

test("a step that vouches for the record is a mistake on a type that record.types leaves out", async () => {
  const text = (recorded: string) =>
    `${smallest}record:\n  types: ${recorded}\nhandlers:\n  - types: [org.example.a, org.example.b.*]\n    steps: [archive]\n`;
  const problems = await problemsOf(text("[org.example.a]"));
  assert.deepEqual(
    problems.map(({ path }) => path),
    ["handlers[0].steps[0]"],
  );
  assert.match(problems[0]?.message ?? "", /org\.example\.b\.\*/);
  for (const covered of ["[org.example.*]", "[org.example.a, org.example.b.*]", '["*"]']) {
    await loadText(text(covered));
  }
});

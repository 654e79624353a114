/** Mistakes in the YAML itself: each is told once, with its line, and hides nothing that stands elsewhere. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { places, problemsOf, smallest } from "./loadText.ts";

interface Broken {
  readonly yaml: string;
  /** All problems but the last, `LINE:COLUMN PATH`. */
  readonly at: readonly string[];
  readonly says: RegExp;
  readonly hint?: RegExp;
}

const broken: Readonly<Record<string, Broken>> = {
  "a bare * in a list": {
    yaml: "record:\n  types: [*]",
    at: ["6:11 record.types[0]"],
    says: /found a bare `\*`/,
    hint: /put it in quotes: "\*"/,
  },
  "a bare * after a dash": {
    yaml: "record:\n  types:\n    - *",
    at: ["7:7 record.types[0]"],
    says: /bare `\*`/,
    hint: /quotes/,
  },
  "a * that begins a value": {
    yaml: "record:\n  types: [*.message]",
    at: ["6:11 record.types[0]"],
    says: /a `\*` reference to nothing/,
    hint: /quotes/,
  },
  "an @ without quotes": {
    yaml: "invites:\n  accept:\n    - @*:example.org",
    at: ["7:7 invites.accept[0]"],
    says: /starts with `@`, expected it in quotes/,
    hint: /"@docket:example\.org"/,
  },
  "a backtick": { yaml: "data:\n  directory: `pwd`", at: ["6:14 data.directory"], says: /starts with ```/ },
  "${...} inside { }": {
    yaml: "data: { directory: ${env:DIR} }",
    at: ["5:20 data.directory"],
    says: /found `\$\{\.\.\.\}` inside `\{ \}` or `\[ \]`, expected it in quotes/,
    hint: /"\$\{env:NAME\}"/,
  },
  "${...} inside [ ]": {
    yaml: "invites:\n  accept: [${env:WHO}]",
    at: ["6:12 invites.accept[0]"],
    says: /inside `\{ \}` or `\[ \]`/,
  },
  "a tab as indentation": {
    yaml: "encryption:\n\twait_for_keys: 5m\n\tplain_in_encrypted_room: warn",
    at: ["6:1 encryption.wait_for_keys"],
    says: /found a tab as indentation \(and on 1 more line/,
    hint: /spaces/,
  },
  "a key twice": {
    yaml: "data:\n  directory: a\n  directory: b",
    at: ["7:3 data.directory"],
    says: /a second time; the first is on line 6, column 3/,
  },
  "a section twice": { yaml: "account: {}", at: ["5:1 account"], says: /the first is on line 2, column 1/ },
  "a missing space after a colon": {
    yaml: "data:\n  directory:a\nencryption: {}",
    at: ["6:3 data"],
    says: /found "?.*expected a mapping/,
    hint: /colon and a space/,
  },
  "a line that is no key": { yaml: "nonsense", at: ["5:1"], says: /expected `key: value` or `- item`/ },
  "a list that is not closed": {
    yaml: "record:\n  types: [a.b, c.d",
    at: ["6:10 record.types"],
    says: /found a `\[` that is not closed/,
    hint: /Close it with \]/,
  },
  "a quote that is not closed": {
    yaml: 'data:\n  directory: "a',
    at: ["6:14 data.directory"],
    says: /found a quote that is not closed/,
  },
  "two colons on a line": {
    yaml: "data: directory: x",
    at: ["5:7 data"],
    says: /a second `: ` on one line/,
    hint: /quotes/,
  },
  "a line that is indented differently": {
    yaml: "responses:\n    send_margin: 1s\n  unknown_types: ignore",
    at: ["7:1 responses.unknown_types"],
    says: /indented differently/,
  },
  "a tag": { yaml: "data: { directory: !path x }", at: ["5:20 data.directory"], says: /found a tag/ },
  "an escape that there is not": {
    yaml: 'data:\n  directory: "C:\\docket"',
    at: ["6:17 data.directory"],
    says: /starts no known escape/,
    hint: /single quotes/,
  },
  "a key that is a mapping": {
    yaml: "data: { {{ dir }}: x }",
    at: ["5:9 data"],
    says: /a key that is not text/,
    hint: /quotes/,
  },
};

for (const [title, { yaml, at, says, hint }] of Object.entries(broken)) {
  test(`${title} is told with its line and hides no other mistake`, async () => {
    const text = `${smallest}${yaml}\nlog: loud\n`;
    const problems = await problemsOf(text);
    const logLine = text.split("\n").length - 1;
    assert.deepEqual(places(problems), [...at, `${logLine}:6 log`], problems.map(({ message }) => message).join("\n"));
    assert.match(problems[0]?.message ?? "", says);
    if (hint !== undefined) assert.match(problems[0]?.hint ?? "", hint);
  });
}

test("several syntax mistakes are told together, and what stood in them is not called missing", async () => {
  const problems = await problemsOf(`homeserver: https://matrix.example.org
account: {user: "@docket:example.org", token: \${env:TOKEN}}
invites:
  accept: [@*:example.org]
record: {types: [*]}
limits: {handlers: 3, inbox 5
log: info
`);
  assert.deepEqual(places(problems).slice(0, 3), [
    "2:47 account.token",
    "4:12 invites.accept[0]",
    "5:18 record.types[0]",
  ]);
  assert.ok(
    problems.slice(3).every(({ line }) => line === 6),
    JSON.stringify(problems.slice(3)),
  );
  assert.ok(problems.length > 3);
});

test("a key in a piece that could not be read is not called missing", async () => {
  for (const account of [
    '  token: "x\n  user: "@a:b"',
    '  user: "@a:b"\n  token: "a\\q"',
    '  user: "@a:b"\n  token: a: b',
  ]) {
    const problems = await problemsOf(`homeserver: https://a.b\naccount:\n${account}\n`);
    assert.ok(problems.length > 0);
    assert.deepEqual(
      problems.filter(({ message }) => /is missing/.test(message)),
      [],
    );
  }
});

test("tabs stand for the indentation of the rest, and columns are those of the file", async () => {
  const problems = await problemsOf(
    `homeserver: https://a.b
account:
    user: "@a:b"
\ttoken: t
limits:
\thandlers: 3
\tinbox: none
`.replaceAll("\\t", "\t"),
  );
  assert.deepEqual(places(problems), ["4:1 account.token", "7:9 limits.inbox"]);
});

test("a second document is refused", async () => {
  assert.match((await problemsOf(`${smallest}---\nlog: info\n`))[0]?.message ?? "", /second document/);
});

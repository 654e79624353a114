/** `${env:NAME}` and `${file:PATH}`; and: no message, warning or printed configuration ever shows a secret. */
import assert from "node:assert/strict";
import { inspect } from "node:util";
import { test } from "node:test";
import fc from "fast-check";
import { ConfigError, formatProblem } from "../../../src/errors.ts";
import { loadText, places, problemsOf, smallest, type World } from "./loadText.ts";

const withToken = (token: string): string => smallest.replace("syt_a_good_token", token);

test("a token comes from the environment or from a file beside the configuration, without the file's last line end", async () => {
  const cases: [string, World, string][] = [
    ["${env:TOKEN}", { env: { TOKEN: "syt_env" } }, "syt_env"],
    ['"${env:TOKEN}"', { env: { TOKEN: "syt_env" } }, "syt_env"],
    ["${file:/run/secrets/token}", { files: { "/run/secrets/token": "syt_file\n" } }, "syt_file"],
    ["${file:secrets/token}", { files: { "/etc/docket/secrets/token": "syt_file\r\n" } }, "syt_file"],
    ["${file:token}  # a comment", { files: { "/etc/docket/token": "syt_file" } }, "syt_file"],
  ];
  for (const [text, world, expected] of cases) {
    const { account } = await loadText(withToken(text), world);
    assert.equal(account.token?.reveal(), expected, text);
  }
});

test("other values may come from elsewhere too", async () => {
  const config = await loadText(`${smallest}log: \${env:LOG}\n`, { env: { LOG: "debug" } });
  assert.equal(config.log, "debug");
});

test("a reference that leads nowhere is one problem at its place, with what to do", async () => {
  const cases: [string, World, RegExp][] = [
    ["${env:TOKEN}", {}, /environment variable TOKEN is not set/],
    ["${env:TOKEN}", { env: { TOKEN: "" } }, /environment variable TOKEN is empty/],
    ["${env:toString}", {}, /environment variable toString is not set/],
    ["${env:A B}", {}, /name of an environment variable/],
    ["${file:/run/token}", {}, /the file \/run\/token can't be read: there is no such file/],
    ["${file:~/token}", {}, /can't be read/],
    ["${file:token}", { files: { "/etc/docket/token": "\n" } }, /is empty/],
    ["${file:token}", { files: { "/etc/docket/token": Buffer.from([0xff, 0xfe, 0x41]) } }, /not UTF-8/],
    ["${file:token}", { files: { "/etc/docket/token": "x".repeat(70_000) } }, /larger than 65536 bytes/],
    ["${TOKEN}", {}, /expected `\$\{env:NAME\}` or `\$\{file:PATH\}`/],
    ["${env:}", {}, /expected `\$\{env:NAME\}`/],
    ["${env:TOKEN", { env: { TOKEN: "syt_env" } }, /expected `\$\{env:NAME\}`/],
    ["syt_${env:TOKEN}", { env: { TOKEN: "syt_env" } }, /as the whole value/],
    ["${env:TOKEN}${env:TOKEN}", { env: { TOKEN: "syt_env" } }, /as the whole value/],
  ];
  for (const [text, world, says] of cases) {
    const problems = await problemsOf(withToken(text), world);
    assert.deepEqual(places(problems), ["4:10 account.token"], text);
    assert.match(problems[0]?.message ?? "", says, text);
  }
});

test("the recovery key's file may be absent, and its path is known; a file that is there must be readable", async () => {
  const text = smallest.replace("  token:", "  recovery_key: ${file:secrets/key}\n  token:");
  const absent = await loadText(text);
  assert.deepEqual(absent.account.recoveryKey, { value: null, file: "/etc/docket/secrets/key" });
  const there = await loadText(text, { files: { "/etc/docket/secrets/key": "EsTc 1234\n" } });
  assert.equal(there.account.recoveryKey?.value?.reveal(), "EsTc 1234");
  assert.equal(there.account.recoveryKey?.file, "/etc/docket/secrets/key");
  const empty = await problemsOf(text, { files: { "/etc/docket/secrets/key": "" } });
  assert.deepEqual(places(empty), ["4:17 account.recovery_key"]);
  const fromEnvironment = await loadText(text.replace("file:secrets/key", "env:KEY"), { env: { KEY: "EsTc" } });
  assert.equal(fromEnvironment.account.recoveryKey?.file, null);
  assert.match((await problemsOf(text.replace("file:secrets/key", "env:KEY")))[0]?.message ?? "", /not set/);
});

test("a secret file that everybody can read is a warning, except where a container mounts it", async () => {
  const files = { "/etc/docket/token": "syt_file", "/run/secrets/token": "syt_file" };
  const loose = await loadText(withToken("${file:token}"), { files, worldReadable: true });
  assert.deepEqual(places(loose.warnings), ["4:10 account.token"]);
  assert.match(loose.warnings[0]?.message ?? "", /read by every account/);
  const mounted = await loadText(withToken("${file:/run/secrets/token}"), { files, worldReadable: true });
  assert.deepEqual(mounted.warnings, []);
});

/** Does not look like a token, so that only its place says what it is. */
const canary = "c4naryValue";

test("a secret in the wrong shape or place is told by its type only", async () => {
  const texts = [
    withToken(`[${canary}]`),
    withToken(`{ value: ${canary} }`),
    withToken(`"${canary} x"`),
    withToken(`${canary} y`),
    withToken(`@${canary}`),
    withToken(`*${canary}`),
    withToken(`!${canary} x`),
    withToken(`"${canary}`),
    withToken(`${canary}: x`),
    withToken(`x: ${canary}`),
    withToken(`"${canary}\\q"`),
    withToken(`{${canary}}`),
    withToken(`\${env:${canary}`),
    smallest.replace("token: syt_a_good_token", `token:${canary}`),
    smallest.replace("  token: syt_a_good_token", `\ttoken: ${canary}\n\tfoo`),
    smallest.replace("token: syt_a_good_token", `{user: "@a:b", token:${canary}}`),
    smallest.replace("token: syt_a_good_token", `toekn: ${canary}`),
    `${smallest}token: ${canary}\n`,
    `${smallest}password: [${canary}, {a: ${canary}}]\n`,
    `${smallest.replace("https://", `https://bot:${canary}@`)}`,
    `account: {user: "@a:b", token:${canary}}`,
    `account: {user: "@a:b", ${canary}}`,
    `account: token:${canary}`,
    `${canary}`,
    `- ${canary}`,
    `${smallest}handlers:\n  - types: [a.b]\n    steps:\n      - webhook: { url: nothing, secret: ${canary} }\n`,
    `${smallest}handlers:\n  - types: [a.b]\n    steps:\n      - webhook: ${canary}\n`,
    `${smallest}handlers:\n  - types: [a.b]\n    steps:\n      - webhook:${canary}\n`,
    `${smallest}handlers:\n  - types: [a.b]\n    steps:\n      - webhook: { url: "https://a.b", secret: [${canary}] }\n`,
  ];
  for (const text of texts) {
    const problems = await problemsOf(text);
    assert.ok(!JSON.stringify(problems).includes(canary), `${text}\n${JSON.stringify(problems, null, 1)}`);
  }
});

test("what begins like a token is not shown in any place", async () => {
  const token = "syt_c4nary_value";
  const texts = [
    smallest.replace('"@docket:example.org"', token),
    `${smallest}log: ${token}\n`,
    `${smallest}data: { directory: ${token} }\nrecord: ${token}\nresponses: { dialects: [${token}] }\n`,
    `${smallest}invites: { accept: [${token}] }\n`,
  ];
  for (const text of texts) assert.ok(!JSON.stringify(await problemsOf(text)).includes(token), text);
});

test("a secret that was fetched is never shown, wherever it was put", async () => {
  const env = { SECRET: canary };
  const places = [
    ["homeserver: https://matrix.example.org", 'homeserver: "${env:SECRET}"'],
    ['user: "@docket:example.org"', "user: ${env:SECRET}"],
    ["token: syt_a_good_token", "token: ${env:SECRET}\nlog: ${env:SECRET}"],
    [
      "token: syt_a_good_token",
      'token: x\nrecord: { types: ["${env:SECRET}", 5] }\nlimits: { inbox: "${env:SECRET}" }',
    ],
    [
      "token: syt_a_good_token",
      'token: x\nhandlers: [{types: [a.b], steps: [validate: "${env:SECRET}", {"validate": {schema: "${env:SECRET}", x: 1}}]}]',
    ],
  ] as const;
  for (const [from, to] of places) {
    const problems = await problemsOf(smallest.replace(from, to), { env });
    assert.ok(!JSON.stringify(problems).includes(canary), JSON.stringify(problems, null, 1));
  }
});

test("a step that quotes a secret when it fails is not repeated", async () => {
  const files = { "/etc/docket/name": `broken-${canary}` };
  const text = `${smallest}handlers: [{ types: [a.b], steps: [validate: "\${file:name}"] }]\nlog: loud\n`;
  const problems = await problemsOf(text, { files });
  assert.equal(problems.length, 2);
  assert.ok(!JSON.stringify(problems).includes(canary), JSON.stringify(problems));
});

test("a printed, inspected or serialised configuration does not show the token", async () => {
  const config = await loadText(withToken("${env:TOKEN}"), { env: { TOKEN: canary } });
  for (const text of [
    JSON.stringify(config),
    inspect(config, { depth: 9, showHidden: true }),
    String(config.account.token),
  ]) {
    assert.ok(!text.includes(canary));
  }
});

test("whatever is wrong around a token, the token is not in the message", async () => {
  const piece = fc.constantFrom(
    " ",
    ":",
    "'",
    '"',
    "{",
    "}",
    "[",
    "]",
    "\n",
    "\n  ",
    "\t",
    "*",
    "&",
    "!",
    "|",
    "- ",
    "#",
    "@",
    ",",
    "? ",
    "%",
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(piece, { maxLength: 4 }),
      fc.array(piece, { maxLength: 4 }),
      fc.boolean(),
      async (before, after, good) => {
        const value = `${before.join("")}${canary}${after.join("")}`;
        const text = `homeserver: ${good ? "https://a.b" : "x"}\naccount:\n  user: "@a:b"\n  token: ${value}\nlog: loud\n`;
        try {
          await loadText(text);
        } catch (error) {
          assert.ok(error instanceof ConfigError, String(error));
          assert.ok(!error.problems.map(formatProblem).join("\n").includes(canary), `${text}\n${error.message}`);
        }
      },
    ),
    { numRuns: 400 },
  );
});

/** `docket check` as operators run it: a process, its output, its exit code. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { parse } from "yaml";
import packageJson from "../../../package.json" with { type: "json" };
import { startDevServer } from "../../../devserver/server.ts";
import { temporaryDirectory } from "../../support/temporaryDirectory.ts";

const root = join(import.meta.dirname, "..", "..", "..");
const main = join(root, "src", "main.ts");

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly nodeOptions?: readonly string[];
  readonly closeStdout?: boolean;
  /** A file descriptor to write to instead of what is returned. */
  readonly stdout?: number;
}

function docket(
  args: readonly string[],
  { cwd = root, env = {}, nodeOptions = [], closeStdout = false, stdout: target }: RunOptions = {},
): Promise<Outcome> {
  const child = spawn(process.execPath, [...nodeOptions, main, ...args], {
    cwd,
    env: { PATH: process.env["PATH"], ...env },
    stdio: ["ignore", target ?? "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  if (closeStdout) child.stdout?.destroy();
  else child.stdout?.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

const good = `homeserver: https://matrix.example.org
account:
  user: "@docket:example.org"
  token: \${env:DOCKET_TOKEN}
handlers:
  - types: ["org.example.*"]
    ordered: true
    steps:
      - validate: ./schema.json
      - archive
`;
const canary = "syt_c4nary_token";

function folder(t: TestContext, files: Readonly<Record<string, string>>): string {
  const directory = temporaryDirectory(t);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text, { mode: 0o600 });
  return directory;
}

test("a good configuration is summed up on standard output, without its token, and the exit code is 0", async (t) => {
  const cwd = folder(t, { "config.yaml": good, "schema.json": "{}" });
  const { code, stdout, stderr } = await docket(["check"], { cwd, env: { DOCKET_TOKEN: canary } });
  assert.equal(stderr, "");
  assert.equal(code, 0);
  assert.match(stdout, /^\.\/config\.yaml is well/);
  assert.match(stdout, /@docket:example\.org on https:\/\/matrix\.example\.org/);
  assert.match(stdout, /handle org\.example\.\*: validate, then archive \(in order\)/);
  assert.ok(stdout.includes(join(cwd, "data")));
  assert.ok(!stdout.includes(canary));
});

test("every problem is a line FILE:LINE:COLUMN: PATH: MESSAGE on standard error, the last line counts them, and the exit code is 78", async (t) => {
  const text = good
    .replace("ordered", "orderd")
    .replace("types: [", "types: [*, ")
    .replace('"@docket:example.org"', "@docket:example.org");
  const cwd = folder(t, { "other.yaml": text, "schema.json": '{ "type": 5 }' });
  const { code, stdout, stderr } = await docket(["check", "--config", "other.yaml"], {
    cwd,
    env: { DOCKET_TOKEN: canary },
  });
  assert.equal(code, 78);
  assert.equal(stdout, "");
  const lines = stderr.trimEnd().split("\n");
  assert.deepEqual(
    lines
      .filter((line) => line.startsWith("other.yaml:"))
      .map((line) => /^other\.yaml:\d+:\d+: [^ ]+: /.exec(line)?.[0]),
    [
      "other.yaml:3:9: account.user: ",
      "other.yaml:6:13: handlers[0].types[0]: ",
      "other.yaml:7:5: handlers[0].orderd: ",
      "other.yaml:9:9: handlers[0].steps[0].validate: ",
    ],
  );
  assert.equal(lines.at(-1), "4 problems in other.yaml");
  assert.ok(!stderr.includes(canary));
});

test("a schema that is missing is found although the rest of the configuration is good", async (t) => {
  const cwd = folder(t, { "config.yaml": good });
  const { code, stderr } = await docket(["check"], { cwd, env: { DOCKET_TOKEN: canary } });
  assert.equal(code, 78);
  assert.match(stderr, /^\.\/config\.yaml:9:9: handlers\[0\]\.steps\[0\]\.validate: .*schema\.json does not exist/);
  assert.match(stderr, /\n1 problem in \.\/config\.yaml\n$/);
});

test("a configuration file that is not there is named, with the option that names another", async (t) => {
  const { code, stderr } = await docket(["check"], { cwd: folder(t, {}) });
  assert.equal(code, 78);
  assert.match(stderr, /^\.\/config\.yaml: .*no such file\n.*--config FILE/);
});

test("warnings go to standard error and change neither the summary nor the exit code", async (t) => {
  const cwd = folder(t, { "config.yaml": good.replace("https", "http"), "schema.json": "{}" });
  const { code, stdout, stderr } = await docket(["check"], { cwd, env: { DOCKET_TOKEN: canary } });
  assert.equal(code, 0);
  assert.match(stderr, /^warning: \.\/config\.yaml:1:13: homeserver: http:/);
  assert.match(stdout, /is well/);
});

test("--json-schema prints a JSON Schema that accepts the sample and names its keys", async () => {
  const { code, stdout, stderr } = await docket(["check", "--json-schema", "--config", "/nowhere"]);
  assert.equal(stderr, "");
  assert.equal(code, 0);
  const schema = JSON.parse(stdout) as { $schema: string; required: string[] };
  assert.equal(schema.$schema, "https://json-schema.org/draft/2020-12/schema");
  assert.deepEqual(schema.required, ["homeserver", "account"]);
  const validate = new Ajv2020({ strict: false }).compile(schema);
  assert.ok(validate(parse(good)));
  assert.ok(!validate({ ...(parse(good) as object), recrod: {} }));
});

test("output that nobody reads to its end leaves no stack", async () => {
  const { code, stderr } = await docket(["check", "--json-schema"], { closeStdout: true });
  assert.equal(stderr, "");
  assert.equal(code, 0);
});

test("output that can't be written is no success: the exit code is 74", async (t) => {
  const full = openSync("/dev/full", "w");
  t.after(() => closeSync(full));
  const { code, stderr } = await docket(["check", "--json-schema"], { stdout: full });
  assert.equal(code, 74);
  assert.match(stderr, /standard output can't be written \(ENOSPC\)/);
});

test("--help and --version answer on standard output with 0", async () => {
  const [help, version] = await Promise.all([docket(["--help"]), docket(["--version"])]);
  assert.deepEqual([help.code, help.stderr], [0, ""]);
  assert.match(help.stdout, /check .*check the configuration/);
  assert.match(help.stdout, /64 usage.*78 configuration/);
  assert.deepEqual(version, { code: 0, stdout: `${packageJson.version}\n`, stderr: "" });
});

test("a command line that is wrong exits with 64 and says on standard error what there is", async () => {
  const wrong: [readonly string[], RegExp][] = [
    [[], /Usage: docket/],
    [["chekc"], /unknown command 'chekc'\n\(Did you mean check\?\)/],
    [["check", "--confg", "x"], /unknown option '--confg'\n\(Did you mean --config\?\)/],
    [["check", "--config"], /argument missing/],
    [["check", "extra"], /too many arguments/],
  ];
  for (const [args, says] of wrong) {
    const { code, stdout, stderr } = await docket(args);
    assert.deepEqual([code, stdout], [64, ""], args.join(" "));
    assert.match(stderr, says);
  }
});

test("on an older Node it names the version that it needs, and loads nothing else", async () => {
  // What a Node 20 says of itself; and a list of all that is loaded.
  const pretend = `
    import { registerHooks } from "node:module";
    Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.20.2" } });
    registerHooks({ resolve(name, context, next) { process.stdout.write(name + "\\n"); return next(name, context); } });
  `;
  const preload = `data:text/javascript,${encodeURIComponent(pretend)}`;
  const { code, stdout, stderr } = await docket(["--version"], { nodeOptions: ["--import", preload] });
  assert.equal(code, 64);
  assert.match(stderr, /docket needs Node 22\.18 or newer; this is Node 20\.20\.2/);
  const loaded = stdout.trim().split("\n");
  assert.deepEqual(
    loaded.filter((name) => !name.endsWith("/main.ts")),
    [],
  );
  assert.equal(loaded.length, 1);
});

test("check --online says whose the token is, and tells an absent homeserver from a refused token", async (t) => {
  const server = await startDevServer();
  t.after(() => server.stop());
  const account = server.createAccount("docket", "not a secret", { deviceId: "DOCKETBOT" });
  const directory = temporaryDirectory(t);
  const config = join(directory, "config.yaml");
  const online = (token: string): Promise<Outcome> => {
    writeFileSync(config, `homeserver: ${server.url}\naccount:\n  user: "${account.userId}"\n  token: \${env:TOKEN}\n`);
    return docket(["check", "--online", "--config", config], { env: { TOKEN: token } });
  };
  const well = await online(account.accessToken);
  assert.equal(well.code, 0, well.stderr);
  assert.match(well.stdout, /The token is for @docket:localhost, device DOCKETBOT\./);
  const refused = await online("CANARYTOKEN");
  assert.equal(refused.code, 77);
  assert(!refused.stderr.includes("CANARYTOKEN"));
  await server.pause();
  const away = await online(account.accessToken);
  assert.equal(away.code, 69);
  assert.match(away.stderr, /127\.0\.0\.1/);
});

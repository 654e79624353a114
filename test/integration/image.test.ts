/**
 * The image without a container engine: its steps are taken in a folder that stands for its root (test/support/imageSteps.ts), and
 * what it starts is started there, under its user. Needs the npm registry (or npm's cache).
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { Sender } from "../../demo/sender/sender.ts";
import { startDevServer } from "../../devserver/server.ts";
import { BotProcess, DEFAULT_YAML, type Launch } from "../support/botProcess.ts";
import { filesOf, imageSettings, takeSteps, type Image } from "../support/imageSteps.ts";

const repository = join(import.meta.dirname, "..", "..");
const read = (file: string): string => readFileSync(join(repository, file), "utf8");
const dockerfile = read("Dockerfile");
const settings = imageSettings(dockerfile);
const dataDirectory = settings.volumes[0] ?? "";
const configFile = settings.command.at(-1) ?? "";
/** In /app, without what the base has; 28 MiB when this was written, 56 MiB before anything was taken out. */
const mostBytes = 34 * 1024 * 1024;

const isRoot = process.getuid?.() === 0;
const [uid, gid] = settings.user.split(":").map(Number);

describe("the image", () => {
  let workshop: string;
  let image: Image;

  before(() => {
    workshop = mkdtempSync(join(tmpdir(), "docket-image-"));
    chmodSync(workshop, 0o755);
    image = takeSteps(dockerfile, repository, workshop);
  });
  after(() => rmSync(workshop, { recursive: true, force: true }));

  const inImage = (path: string): string => join(image.root, path);

  /** A command of the image as an engine would run it: absolute paths are those of the image, and so is all of the environment. */
  function launch(words: readonly string[]): Launch {
    const [program = "", ...args] = words;
    const command = [
      program.startsWith("/") ? inImage(program) : inImage(join("usr/local/bin", program)),
      ...args.map((word) => (word.startsWith("/") ? inImage(word) : word)),
    ];
    const env = { PATH: inImage("usr/local/bin"), HOME: "/", TMPDIR: inImage("tmp") };
    return isRoot ? { command, env, uid, gid } : { command, env };
  }

  /** Everything outside of the data directory, with what changes when it is written. */
  function outsideTheData(): string[] {
    return filesOf(image.root)
      .filter((file) => !join("/", file).startsWith(`${dataDirectory}/`))
      .map((file) => {
        const { size, mtimeMs, mode, uid: owner } = lstatSync(inImage(file));
        return [file, size, mtimeMs, mode, owner].join(" ");
      });
  }

  test("is built by steps that are all taken here", () => {
    const steps = dockerfile.match(/^RUN /gm) ?? [];
    assert.equal(image.ran.length, steps.length);
    assert.ok(steps.length > 5);
  });

  test("can have no step that would go untested", () => {
    const planted = [
      "ADD x /x",
      "RUN rm -rf /usr/local/lib",
      "RUN cd ../.. && rm -rf *",
      "ONBUILD RUN id",
      "COPY README.md ./",
    ];
    for (const [index, step] of planted.entries()) {
      const text = `FROM scratch AS planted${index}\nWORKDIR /x\n${step}\n`;
      assert.throws(() => takeSteps(text, repository, workshop), /^Error: Dockerfile: /, step);
    }
    assert.throws(
      () => imageSettings(dockerfile.replace('ENTRYPOINT ["node", ', 'ENTRYPOINT exec node "')),
      /in a shell/,
    );
  });

  test("holds the packages that the bot needs, and none of the development", () => {
    const lock = JSON.parse(read("package-lock.json")) as {
      packages: Record<string, { dev?: boolean; link?: boolean }>;
    };
    const needed = Object.entries(lock.packages)
      .filter(([path, { dev, link }]) => path.startsWith("node_modules/") && dev !== true && link !== true)
      .map(([path]) => path.slice("node_modules/".length))
      .filter((name) => name !== "node-addon-api");
    const modules = inImage("app/node_modules");
    const installed = readdirSync(modules).flatMap((name) =>
      name.startsWith("@") ? readdirSync(join(modules, name)).map((inner) => `${name}/${inner}`) : name,
    );
    assert.deepEqual(installed.filter((name) => !name.startsWith(".")).sort(), needed.sort());
    assert.deepEqual(readdirSync(inImage("app")).sort(), ["LICENSE", "dist", "node_modules", "package.json"]);
  });

  test("has no compiler, nothing to compile, and no package manager", () => {
    const files = filesOf(image.root);
    const tools = /^(npm|npx|yarn|yarnpkg|corepack|node-gyp|tsc|esbuild|cc|gcc|g\+\+|clang|make|python\d?)(\.c?js)?$/;
    assert.deepEqual(
      files.filter((file) => tools.test(basename(file)) || /\.(c|cc|cpp|h|hpp|gyp)$/.test(file)),
      [],
    );
    assert.deepEqual(readdirSync(inImage("usr/local/bin")), ["node"]);
    const binaries = files.filter((file) => file.endsWith(".node"));
    assert.deepEqual(
      binaries.map((file) => basename(file)),
      [`linux-${process.arch}.node`],
    );
  });

  test("is small", (t) => {
    const bytes = filesOf(inImage("app")).reduce((sum, file) => sum + lstatSync(inImage(join("app", file))).size, 0);
    t.diagnostic(`${(bytes / 1024 / 1024).toFixed(1)} MiB over the base`);
    assert.ok(bytes < mostBytes, `${bytes} bytes`);
  });

  test("carries the licence of everything in it, that of the sources of its binary too", () => {
    const modules = inImage("app/node_modules");
    const packages = filesOf(modules).filter((file) => /^(@[^/]+\/)?[^/]+\/package\.json$/.test(file));
    assert.ok(packages.length > 20);
    const without = packages.filter(
      (file) => !readdirSync(join(modules, dirname(file))).some((name) => /^(licen[cs]e|copying)/i.test(name)),
    );
    assert.deepEqual(without, []);
    const notices = readFileSync(join(modules, "better-sqlite3-multiple-ciphers/licences/SQLITE-NOTICES.txt"), "utf8");
    for (const author of ["Ulrich Telle", "Olivier Gay", "Redistributions in binary form must reproduce"])
      assert.ok(notices.includes(author), author);
    assert.match(readFileSync(inImage("app/dist/THIRD-PARTY-LICENSES.txt"), "utf8"), /matrix-bot-sdk/);
  });

  test("has the bundle of the npm package", async () => {
    const packaged = join(workshop, "packaged");
    const script = join(repository, "scripts", "build.ts");
    await promisify(execFile)(process.execPath, [script, "--out", packaged], { cwd: repository });
    const texts = (folder: string): string[] =>
      filesOf(folder).map((file) => `${file}\n${readFileSync(join(folder, file), "utf8")}`);
    assert.ok(filesOf(packaged).length > 2);
    assert.deepEqual(texts(inImage("app/dist")), texts(packaged));
  });

  test("lets the bot write its data directory, and nothing else", () => {
    assert.equal(lstatSync(inImage(dataDirectory)).mode & 0o777, 0o700);
    if (isRoot) assert.equal(lstatSync(inImage(dataDirectory)).uid, uid);
    const writable = filesOf(image.root).filter((file) => {
      const info = lstatSync(inImage(file));
      return !info.isSymbolicLink() && ((info.mode & 0o022) !== 0 || (isRoot && info.uid !== 0));
    });
    assert.deepEqual(writable, []);
  });

  test("starts the bot, which answers, is found healthy, writes only its data, and ends on SIGTERM with 0", async (t) => {
    const server = await startDevServer();
    t.after(() => server.stop());
    const account = server.createAccount("docket", "not a secret", { deviceId: "DOCKETBOT" });
    // What an operator mounts: a configuration that everybody may read, and a token that only the bot may.
    const token = inImage("run/secrets/matrix_token");
    for (const file of [token, inImage(configFile)]) mkdirSync(dirname(file), { recursive: true });
    writeFileSync(token, `${account.accessToken}\n`, { mode: 0o400 });
    if (isRoot) chownSync(token, uid ?? 0, gid ?? 0);
    writeFileSync(
      inImage(configFile),
      `homeserver: ${server.url}
account:
  user: "${account.userId}"
  token: \${file:${token}}
data:
  directory: ${inImage(dataDirectory)}
operations:
  listen: 127.0.0.1:0
${DEFAULT_YAML}`,
    );
    // As the engine mounts it, empty and for everybody.
    chmodSync(inImage("tmp"), 0o1777);
    const untouched = outsideTheData();

    const bot = new BotProcess(launch([...settings.entrypoint, ...settings.command]));
    t.after(() => bot.kill());
    await bot.running();
    const alice = await Sender.withToken({ baseUrl: server.url, ...server.createAccount("alice", "not a secret") });
    t.after(() => alice.stop());
    await alice.start();
    const roomId = await alice.createRoom({ encrypted: true, invite: [account.userId] });
    await alice.waitForJoin(roomId, account.userId);
    await alice.waitForDevice(account.userId, account.deviceId);
    const content = { "m.request.status": { from_device: alice.deviceId, lifetime: 90_000 } };
    const response = await alice.waitForResponse(await alice.send(roomId, "org.example.report", content));
    assert.equal(response.status, "success");

    const { command, ...how } = launch(settings.healthcheck?.command ?? []);
    const [program = "", ...args] = command;
    const asked = promisify(execFile)(program, args, { ...how, timeout: 30_000 });
    await assert.doesNotReject(asked, "the health check ends with 0");

    assert.equal(await bot.stop(), 0, bot.stderr);
    assert.equal(bot.stderr, "");
    assert.deepEqual(outsideTheData(), untouched);
    assert.ok(readdirSync(inImage(dataDirectory)).includes("docket.db"));
  });
});

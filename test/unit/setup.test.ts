/** `scripts/setup.mjs` as npm calls it, with an npm that is quick: what is installed is replaced, the Node that runs it included. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { constants, copyFileSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { test, type TestContext } from "node:test";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

const SETUP = join(import.meta.dirname, "../../scripts/setup.mjs");

/** Like npm's: `ci` begins by deleting node_modules; the package `node` fetches its binary with a script of its own. */
const NPM = `
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
const real = process.env.REAL_NODE;
if (process.argv[2] === "ci") {
  rmSync("node_modules", { recursive: true });
  mkdirSync("node_modules/node", { recursive: true });
  writeFileSync("node_modules/node/installArchSpecificPackage.js",
    "const fs = require('node:fs'); fs.mkdirSync('bin'); fs.symlinkSync(process.env.REAL_NODE, 'bin/node');");
} else if (process.argv[2] === "rebuild") {
  mkdirSync("node_modules/.bin");
  symlinkSync(real, "node_modules/.bin/node");
}
`;

/** A clone whose dependencies were installed from an older lock file. @returns its folder, and the Node that is installed in it */
function outdatedClone(t: TestContext): { clone: string; installedNode: string } {
  const clone = temporaryDirectory(t);
  for (const folder of ["scripts", "node_modules/node/bin", "node_modules/.bin"])
    mkdirSync(join(clone, folder), { recursive: true });
  copyFileSync(SETUP, join(clone, "scripts/setup.mjs"));
  writeFileSync(join(clone, "npm.mjs"), NPM);
  writeFileSync(join(clone, "package-lock.json"), "{}");
  writeFileSync(join(clone, "node_modules/.docket-setup"), "of an older lock file\n");
  const installedNode = join(clone, "node_modules/node/bin/node");
  copyFileSync(process.execPath, installedNode, constants.COPYFILE_FICLONE);
  symlinkSync(installedNode, join(clone, "node_modules/.bin/node"));
  return { clone, installedNode };
}

function runSetup(clone: string, node: string, env: NodeJS.ProcessEnv): Promise<{ code: number; errors: string }> {
  const options = { cwd: clone, env: { REAL_NODE: process.execPath, npm_execpath: join(clone, "npm.mjs"), ...env } };
  return new Promise((resolve) => {
    execFile(node, ["scripts/setup.mjs"], options, (error, _output, errors) =>
      resolve({ code: error === null ? 0 : Number(error.code), errors }),
    );
  });
}

test("set-up after an update runs on the Node that it replaces, and goes on with the one that npm runs on", async (t) => {
  const { clone, installedNode } = outdatedClone(t);
  const { code, errors } = await runSetup(clone, installedNode, { npm_node_execpath: process.execPath });
  assert.equal(code, 0, errors);
  assert.match(errors, /setup: done/);
  assert.ok(existsSync(join(clone, "node_modules/.bin/node")));
});

test("set-up finds another Node on the PATH where npm does not say which it runs on", async (t) => {
  const { clone, installedNode } = outdatedClone(t);
  const path = [dirname(installedNode), join(clone, "node_modules/.bin"), dirname(process.execPath)].join(delimiter);
  const { code, errors } = await runSetup(clone, installedNode, { PATH: path });
  assert.equal(code, 0, errors);
});

test("set-up with no Node but the one that it replaces says so, and replaces nothing", async (t) => {
  const { clone, installedNode } = outdatedClone(t);
  const { code, errors } = await runSetup(clone, installedNode, { PATH: dirname(installedNode) });
  assert.equal(code, 1);
  assert.match(errors, /no other Node/);
  assert.ok(existsSync(installedNode));
});

// Installs what is missing, so that `npm run demo` and `npm test` work as the first command after a clone.
// Plain JavaScript without dependencies: it must run on the machine's own Node (20 or newer), before anything is installed.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const modules = join(root, "node_modules");
const stamp = join(modules, ".docket-setup");
const bundledNode = join(modules, "node", "bin", "node");
const linkedNode = join(modules, ".bin", "node");

/** What is installed is right when it was installed from this lock file, for this platform. */
function fingerprint() {
  const hash = createHash("sha256").update(readFileSync(join(root, "package-lock.json")));
  return `${hash.digest("hex")} ${process.platform} ${process.arch}\n`;
}

function run(command, args, what, cwd = root) {
  const result = spawnSync(command, args, { cwd, stdio: ["ignore", "pipe", "pipe"], encoding: "utf8" });
  if (result.status === 0) return;
  process.stderr.write(result.stdout ?? "");
  process.stderr.write(result.stderr ?? "");
  process.stderr.write(
    `setup: ${what} failed (${command} ${args.join(" ")}): ${result.error?.message ?? `exit code ${result.status}`}\n`,
  );
  process.stderr.write(
    "setup: is the npm registry reachable, and is the disk writable and not full? Then run the command again.\n",
  );
  process.exit(1);
}

function works(node) {
  const result = spawnSync(node, ["--version"], { encoding: "utf8" });
  return result.status === 0 && Number(/^v(\d+)/.exec(result.stdout ?? "")?.[1]) >= 24;
}

/**
 * A Node that is not in node_modules. npm scripts run on the one that is there, and an update deletes it while this script runs on it.
 */
function outerNode() {
  const isOutside = (node) => existsSync(node) && !realpathSync(node).startsWith(`${realpathSync(modules)}${sep}`);
  const candidates = [
    process.execPath,
    process.env.npm_node_execpath,
    ...(process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, "node")),
  ];
  const found = candidates.find((node) => node && (!existsSync(modules) || isOutside(node)));
  if (found !== undefined) return found;
  process.stderr.write(
    `setup: the dependencies have to be replaced, and there is no other Node than the one among them (${process.execPath}).\n` +
      "setup: put Node 20 or newer on the PATH, and run the command again.\n",
  );
  process.exit(1);
}

const wanted = fingerprint();
const installed = existsSync(stamp) && readFileSync(stamp, "utf8") === wanted && works(linkedNode);
if (!installed) {
  process.stderr.write("setup: installing the dependencies from the npm registry (once; about half a minute)\n");
  const node = outerNode();
  const npm = process.env.npm_execpath;
  const [command, prefix] = npm && /\.m?js$/.test(npm) ? [node, [npm]] : ["npm", []];
  // Scripts of packages stay off: nothing is compiled and nothing fetched from elsewhere. The one that is needed follows.
  run(command, [...prefix, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], "npm ci");
  // The `node` package puts Node 24 first on the PATH of npm scripts; its script installs the binary's package from the registry.
  // It puts the binary into the folder that it is run in; npm could not link it before it was there.
  if (!works(bundledNode)) {
    run(node, ["installArchSpecificPackage.js"], "the installation of Node 24", join(modules, "node"));
  }
  run(command, [...prefix, "rebuild", "--ignore-scripts", "node"], "npm rebuild node");
  writeFileSync(stamp, wanted);
  process.stderr.write("setup: done\n");
}

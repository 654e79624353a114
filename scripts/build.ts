/**
 * `npm run build [-- --out DIR]`: bundles src/main.ts into dist/ for the published package. matrix-bot-sdk is inside, because npm's
 * `overrides` count only in a root project: a package that merely depended on it would fetch its native crypto and die. What the SDK
 * imports and Docket never calls is replaced by stubs that throw when they are called. Docket's own dependencies stay outside.
 * Writes docket.mjs (asks for the Node version before it loads anything else), its chunks, and THIRD-PARTY-LICENSES.txt.
 */
import { build, type Metafile, type Plugin } from "esbuild";
import { chmodSync, existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";

const root = join(import.meta.dirname, "..");
const { values } = parseArgs({ options: { out: { type: "string" } } });
const outDirectory = resolve(values.out ?? join(root, "dist"));

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

function readManifest(directory: string): Manifest {
  return JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as Manifest;
}

/** Imported by the SDK when it is loaded, never called by Docket. */
const stubbed = [
  "@matrix-org/matrix-sdk-crypto-nodejs",
  "express",
  "html-to-text",
  "lowdb",
  "morgan",
  "postgres",
  "request",
  "request-promise",
  "sanitize-html",
];

const stubs: Plugin = {
  name: "stubs",
  setup({ onResolve, onLoad }) {
    const names = stubbed.map((name) => name.replaceAll(/[/.]/g, "\\$&")).join("|");
    onResolve({ filter: new RegExp(`^(${names})(/|$)`) }, ({ path }) => ({ path, namespace: "stub" }));
    onLoad({ filter: /.*/, namespace: "stub" }, ({ path }) => ({
      contents: `module.exports = require("./notInTheBundle.cjs")(${JSON.stringify(path)});`,
      resolveDir: join(root, "scripts", "stubs"),
    }));
  },
};

const manifest = readManifest(root);
rmSync(outDirectory, { recursive: true, force: true });
const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: { docket: "src/main.ts" },
  outdir: outDirectory,
  outExtension: { ".js": ".mjs" },
  chunkNames: "chunks/[name]-[hash]",
  bundle: true,
  splitting: true,
  platform: "node",
  target: "node22.18",
  format: "esm",
  external: Object.keys(manifest.dependencies ?? {}),
  plugins: [stubs],
  // CommonJS inside the bundle asks for Node's modules with `require`, which an ES module has to make for itself.
  banner: {
    js: 'import { createRequire as makeRequire } from "node:module"; const require = makeRequire(import.meta.url);',
  },
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
});
const entry = join(outDirectory, "docket.mjs");
writeFileSync(entry, `#!/usr/bin/env node\n${readFileSync(entry, "utf8")}`);
chmodSync(entry, 0o755);

/** The folders of the packages whose code is in the bundle. */
function bundledPackages({ outputs }: Metafile): string[] {
  const found = new Set<string>();
  for (const { inputs } of Object.values(outputs)) {
    for (const [input, { bytesInOutput }] of Object.entries(inputs)) {
      const folder = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0];
      if (folder !== undefined && bytesInOutput > 0) found.add(folder);
    }
  }
  return [...found].sort();
}

const packages = bundledPackages(metafile);
const licences = packages.map((folder) => {
  const { name, version, license } = readManifest(join(root, folder));
  const file = readdirSync(join(root, folder)).find((entryName) => /^(licen[cs]e|copying)/i.test(entryName));
  const text =
    file === undefined ? "(The package carries no licence text.)" : readFileSync(join(root, folder, file), "utf8");
  return `${name} ${version} (${license ?? "no licence named"})\n\n${text.trim()}\n`;
});
const rule = `\n${"-".repeat(80)}\n\n`;
const head = `Docket's bundle contains code of these ${packages.length} packages, each under its own licence.\n`;
writeFileSync(join(outDirectory, "THIRD-PARTY-LICENSES.txt"), [head, ...licences].join(rule));

const files = readdirSync(outDirectory, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".mjs"));
const bytes = files.reduce((sum, file) => sum + statSync(join(outDirectory, file)).size, 0);
if (!existsSync(entry)) throw new Error(`the build wrote no ${entry}`);
console.log(
  `build: ${relative(process.cwd(), outDirectory) || "."}: ${files.length} files, ${Math.round(bytes / 1024)} KiB, ${packages.length} packages inside`,
);
if (process.env["DOCKET_BUILD_REPORT"] === "1") {
  const sizes = new Map<string, number>();
  for (const { inputs } of Object.values(metafile.outputs)) {
    for (const [input, { bytesInOutput }] of Object.entries(inputs)) {
      const name = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? input.split(":")[0]!.split("/")[0]!;
      sizes.set(name, (sizes.get(name) ?? 0) + bytesInOutput);
    }
  }
  for (const [name, size] of [...sizes].sort((a, b) => b[1] - a[1]))
    console.log(`  ${String(Math.round(size / 1024)).padStart(5)} KiB  ${name}`);
}

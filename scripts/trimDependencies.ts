/**
 * `node scripts/trimDependencies.ts`: a step of the Dockerfile. Takes out of node_modules/ what only compiling would need, or what is
 * for other systems than this one: half of its size. Whatever it takes, the licences stay: the notices of the C sources, whose code is
 * in the binary, go into a file beside the package's own. Ends with a database in memory, so that an image that could not run is not made.
 */
import { globSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join, resolve } from "node:path";

const modules = resolve(import.meta.dirname, "..", "node_modules");
const sqlite = join(modules, "better-sqlite3-multiple-ciphers");
const require = createRequire(import.meta.url);

/** Comments that speak of rights in the code, each once. SQLite's own files are in the public domain and say so hundreds of times. */
function notices(source: string): string[] {
  const comments = source.match(/\/\*[\s\S]*?\*\/|(?:^[ \t]*\/\/.*\n)+/gm) ?? [];
  const found = comments.filter((comment) => /copyright|licen[cs]e|redistribution|public domain/i.test(comment));
  return [...new Set(found.filter((comment) => !comment.includes("disclaims copyright")).map((text) => text.trim()))];
}

const { getPrebuildPath } = require(join(sqlite, "lib", "binding.js")) as { getPrebuildPath: () => string | null };
const loaded = getPrebuildPath();
if (loaded === null) throw new Error(`there is no SQLite for ${process.platform} on ${process.arch}`);

const sources = globSync("{deps,src}/**/*.{c,h,cpp,hpp}", { cwd: sqlite }).sort();
const texts = [...new Set(sources.flatMap((file) => notices(readFileSync(join(sqlite, file), "utf8"))))];
const licences = join(sqlite, "licences");
mkdirSync(licences);
const head = `Notices from the sources of the binary ${basename(loaded)}:`;
writeFileSync(join(licences, "SQLITE-NOTICES.txt"), [head, ...texts].join("\n\n") + "\n");

for (const file of readdirSync(join(sqlite, "prebuilds"))) {
  if (file !== basename(loaded)) rmSync(join(sqlite, "prebuilds", file));
}
for (const name of ["binding.gyp", "deps", "src"]) rmSync(join(sqlite, name), { recursive: true, force: true });
// Headers for compiling the above; nothing loads it.
rmSync(join(modules, "node-addon-api"), { recursive: true, force: true });

const Database = require(sqlite) as new (file: string) => { close(): void };
new Database(":memory:").close();
console.log(`trimDependencies: ${basename(loaded)} stays, with ${texts.length} notices of its sources`);

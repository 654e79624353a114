/**
 * Prepares packages in a process of its own: `packageCacheChild.ts CACHE ARCHIVE_JSON`. Prints what is said as it is said, and at the
 * end the set as JSON.
 */
import { preparePackages } from "./packageCache.ts";
import { runProgram } from "./smallArchive.ts";

const [folder = "", wanted = "{}"] = process.argv.slice(2);
const set = await preparePackages({
  folder,
  wanted: () => JSON.parse(wanted) as { stanzas: string[]; names: string[] },
  tryOut: (root) => Promise.resolve(runProgram(root)),
  say: (line) => process.stdout.write(`${line}\n`),
});
process.stdout.write(`${JSON.stringify(set)}\n`);

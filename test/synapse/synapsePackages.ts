/**
 * The packages of the Synapse that tests run: from Debian's `sid`, which moves, so nothing is pinned and the version is said.
 * They are kept in `$XDG_CACHE_HOME/docket-synapse` (`~/.cache` without it). With `DOCKET_SYNAPSE_REFRESH=1` the archive is asked
 * again today.
 */
import { homedir } from "node:os";
import { join } from "node:path";
import { readStanzas } from "./aptSources.ts";
import { preparePackages, type PackageSet } from "./packageCache.ts";
import { startSynapseIn } from "./synapseServer.ts";

const SUITE = "sid";
/** The server, and a client library with encryption of its own as an independent peer. */
const PACKAGES = ["matrix-synapse", "python3-matrix-nio", "python3-olm"];

/** @throws Error there is no set of packages that works, and why */
export async function prepareSynapse({
  say = (line: string): void => void process.stderr.write(`synapse: ${line}\n`),
}: { readonly say?: (line: string) => void } = {}): Promise<PackageSet> {
  return await preparePackages({
    folder: join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "docket-synapse"),
    wanted: () => ({ stanzas: readStanzas(SUITE), names: PACKAGES }),
    tryOut,
    say,
    refresh: process.env["DOCKET_SYNAPSE_REFRESH"] === "1",
  });
}

/** A start is the proof: it has answered, and registered a user. */
async function tryOut(root: string): Promise<string> {
  const server = await startSynapseIn(root);
  await server.stop();
  return server.version;
}

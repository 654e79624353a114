/** Looks at the data directory with the doctor's own eyes: is it there, who may read what is in it. */
import { accessSync, constants, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { StoreFailed } from "../../errors.ts";
import { failureOf } from "./asked.ts";
import type { DirectoryFacts, FileFact } from "./facts.ts";

const DATABASE_FILE = "docket.db";
/** Files of the directory itself; what a deeper folder holds is behind its mode. */
const MOST_FILES = 1_000;

/** @returns null where there is a database that may be opened */
export function whyNoDatabase(directory: string): Exclude<DirectoryFacts, { kind: "good" | "older" }> | null {
  for (const path of [directory, join(directory, DATABASE_FILE)]) {
    try {
      statSync(path);
    } catch (error) {
      if (isDenied(error)) return { kind: "denied" };
      const problem = whyNotMade(directory);
      return problem === null ? { kind: "absent" } : { kind: "failed", failure: failureOf(new StoreFailed(problem)) };
    }
  }
  return null;
}

/** @returns why no start could make a database there, in a sentence; null where nothing is in the way */
function whyNotMade(directory: string): string | null {
  let place = directory;
  while (!isThere(place) && dirname(place) !== place) place = dirname(place);
  const failed = `No database can be made in ${directory}`;
  if (!isDirectory(place)) return `${failed}: ${place} is no directory.`;
  try {
    accessSync(place, constants.W_OK | constants.X_OK);
    return null;
  } catch {
    return `${failed}: this user can't write in ${place}.`;
  }
}

/** @param configFile the configuration file; null where it is somebody else's to look at */
export function lookAtFiles(directory: string | null, configFile: string | null): readonly FileFact[] {
  const found: FileFact[] = [];
  const owner = directory === null ? null : ownerOf(directory);
  const look = (path: string, kind: FileFact["kind"]): void => {
    try {
      const { mode, uid } = statSync(path);
      found.push({ path, kind, mode: mode & 0o777, sameOwner: owner === null || uid === owner });
    } catch {
      // It went away, or may not be looked at: then others can't read it either.
    }
  };
  if (configFile !== null) look(configFile, "configuration");
  if (directory === null || owner === null || !isDirectory(directory)) return found;
  look(directory, "data directory");
  for (const name of namesIn(directory).slice(0, MOST_FILES)) look(join(directory, name), "data");
  return found;
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).toSorted();
  } catch {
    return [];
  }
}

function ownerOf(path: string): number | null {
  try {
    return statSync(path).uid;
  } catch {
    return null;
  }
}

function isThere(path: string): boolean {
  return ownerOf(path) !== null;
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function isDenied(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : null;
  return code === "EACCES" || code === "EPERM";
}

/**
 * Which data directory a configuration file names, whatever else is wrong in it: who asks a running bot how it is gets an answer while
 * the file is being edited.
 */
import { dirname, resolve } from "node:path";
import { readFileFromDisk, readText } from "./configFiles.ts";
import { LARGEST_FILE_BYTES, loadConfig, type LoadOptions } from "./loadConfig.ts";
import { readYaml, valueAt } from "./locatedYaml.ts";
import { resolveReferences } from "./references.ts";
import { DEFAULT_DATA_DIRECTORY } from "./schema.ts";
import { pathKey } from "./yamlPath.ts";

/**
 * @param file path of the configuration file, as people gave it
 * @returns absolute
 * @throws ConfigError it can't be told, with all problems of the file
 */
export async function dataDirectoryOf(file: string, options: LoadOptions): Promise<string> {
  const readFile = options.readFile ?? readFileFromDisk;
  const absolute = resolve(file);
  const baseDirectory = dirname(absolute);
  const text = await readText(readFile, absolute, LARGEST_FILE_BYTES, "the configuration file");
  if (text.ok) {
    const document = readYaml(text.text, file);
    const { value, missingPaths } = await resolveReferences(document, {
      file,
      baseDirectory,
      env: options.env,
      readFile,
    });
    const named = valueAt(value, "data", "directory");
    const isCertain =
      named === undefined ? document.problems.length === 0 : !missingPaths.has(pathKey(["data", "directory"]));
    const directory = named === undefined ? DEFAULT_DATA_DIRECTORY : named;
    if (value !== undefined && isCertain && typeof directory === "string" && directory.trim() !== "")
      return resolve(baseDirectory, directory);
  }
  const { data } = await loadConfig(file, options);
  return data.directory;
}

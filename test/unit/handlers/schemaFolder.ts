/** A temporary folder of schema files for the tests of one file. */
import { mkdtempSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

export interface SchemaFolder {
  readonly folder: string;
  /** Writes a schema, or a text as it stands; resolves with the file's name. */
  readonly schemaFile: (schema: unknown) => Promise<string>;
}

export function schemaFolder(): SchemaFolder {
  const folder = mkdtempSync(join(tmpdir(), "docket-validate-"));
  after(() => rm(folder, { recursive: true }));
  let files = 0;
  return {
    folder,
    schemaFile: async (schema) => {
      const name = `schema${(files += 1)}.json`;
      await writeFile(join(folder, name), typeof schema === "string" ? schema : JSON.stringify(schema));
      return name;
    },
  };
}

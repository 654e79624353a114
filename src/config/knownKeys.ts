/** Which keys the configuration knows, and where: from the JSON Schema, so that there is one list. */
import { formatPath } from "./yamlPath.ts";

export interface KnownKeys {
  /** Every key as a dotted path with `[]` for the items of a list: `responses.send_margin`, `handlers[].types`. */
  readonly paths: readonly string[];
  /** @returns the keys of the mapping at this path; empty where there is no such mapping */
  at(path: readonly (string | number)[]): readonly string[];
  /** @returns the paths that end in this key */
  elsewhere(key: string): readonly string[];
}

interface JsonSchemaNode {
  readonly properties?: Readonly<Record<string, JsonSchemaNode>>;
  readonly items?: JsonSchemaNode;
  readonly anyOf?: readonly JsonSchemaNode[];
}

/** @param jsonSchema what `configJsonSchema` returned */
export function knownKeys(jsonSchema: Readonly<Record<string, unknown>>): KnownKeys {
  const byParent = new Map<string, string[]>();
  const visit = (node: JsonSchemaNode, path: string): void => {
    for (const [key, child] of Object.entries(node.properties ?? {})) {
      const siblings = byParent.get(path) ?? [];
      if (!siblings.includes(key)) byParent.set(path, [...siblings, key]);
      visit(child, path === "" ? key : `${path}.${key}`);
    }
    if (node.items !== undefined) visit(node.items, `${path}[]`);
    for (const choice of node.anyOf ?? []) visit(choice, path);
  };
  visit(jsonSchema as JsonSchemaNode, "");
  const paths = [...byParent].flatMap(([parent, keys]) =>
    keys.map((key) => (parent === "" ? key : `${parent}.${key}`)),
  );
  return {
    paths,
    at: (path) => byParent.get(formatPath(path).replace(/\[\d+\]/g, "[]")) ?? [],
    elsewhere: (key) => paths.filter((path) => path === key || path.endsWith(`.${key}`)),
  };
}

/**
 * From the section `network` and the environment to the settings: which proxies, which certificates. Works on whatever could be read,
 * so that its mistakes show beside the others.
 */
import { X509Certificate } from "node:crypto";
import { resolve } from "node:path";
import type { ConfigProblem } from "../errors.ts";
import { readText } from "./configFiles.ts";
import { valueAt, type LocatedYaml } from "./locatedYaml.ts";
import { noProxies, proxyFinder, resolveProxies, type NetworkSettings, type Proxies } from "./network.ts";
import { proxySetting } from "./proxySetting.ts";
import type { ReferenceSources, ResolvedReferences } from "./references.ts";
import { formatPath, pathKey, type YamlPath } from "./yamlPath.ts";

/** The bundle of a whole operating system has a quarter of this. */
const LARGEST_BUNDLE_BYTES = 1_048_576;
const PROXY: YamlPath = ["network", "proxy"];
const AUTHORITIES: YamlPath = ["network", "certificate_authorities"];

export interface ReadNetwork {
  readonly settings: NetworkSettings;
  readonly problems: readonly ConfigProblem[];
  readonly warnings: readonly ConfigProblem[];
}

/** Never throws. What the schema says about the same values is not said again. */
export async function readNetwork(
  { value, missingPaths }: ResolvedReferences,
  document: LocatedYaml,
  sources: ReferenceSources,
): Promise<ReadNetwork> {
  const { file, baseDirectory, env, readFile } = sources;
  const problems: ConfigProblem[] = [];
  const warnings: ConfigProblem[] = [];
  const at = (path: YamlPath, message: string, hint: string): ConfigProblem => {
    const { line, column } = document.placeOf(path);
    return { file, line, column, path: formatPath(path), message, hint };
  };

  const setting = proxySetting("", formatPath(PROXY)).safeParse(valueAt(value, "network", "proxy") ?? "environment");
  const resolved = setting.success ? resolveProxies(setting.data, env) : { proxies: noProxies, mistakes: [] };
  for (const { variable, expected, hint } of resolved.mistakes) {
    const message = `found text that can't be used, expected ${expected}`;
    problems.push({ file: `the environment variable ${variable}`, line: null, column: null, path: "", message, hint });
  }
  const homeserver = valueAt(value, "homeserver");
  const between = typeof homeserver === "string" ? readableProxy(resolved.proxies, homeserver) : null;
  if (between !== null) {
    const message = `http:// sends the access token unencrypted through the proxy ${between.origin} (${between.source})`;
    warnings.push(at(["homeserver"], message, "Use https://, or have NO_PROXY name the homeserver's host."));
  }

  const named = valueAt(value, "network", "certificate_authorities");
  const authorities: { file: string | null; certificates: string[] } = { file: null, certificates: [] };
  if (typeof named === "string" && named.trim() !== "" && !missingPaths.has(pathKey(AUTHORITIES))) {
    authorities.file = resolve(baseDirectory, named);
    const bundle = await readText(readFile, authorities.file, LARGEST_BUNDLE_BYTES, `the file ${authorities.file}`);
    const read = bundle.ok ? certificatesIn(bundle.text) : null;
    const hint =
      "It holds certificates as PEM, each between -----BEGIN CERTIFICATE----- and -----END CERTIFICATE-----.";
    if (!bundle.ok)
      problems.push(at(AUTHORITIES, bundle.message, "Paths are relative to the folder of the configuration file."));
    else if (read === null)
      problems.push(at(AUTHORITIES, `the file ${authorities.file} has a certificate that can't be read`, hint));
    else if (read.length === 0)
      problems.push(
        at(AUTHORITIES, `the file ${authorities.file} has no certificate in it, expected one or more`, hint),
      );
    else authorities.certificates = read;
  }
  return { settings: { proxies: resolved.proxies, certificateAuthorities: authorities }, problems, warnings };
}

/** @returns the proxy that could read all that is sent to this homeserver, itself on another machine; null: none */
function readableProxy(proxies: Proxies, homeserver: string): { origin: string; source: string } | null {
  const url = URL.parse(homeserver);
  const proxy = url?.protocol === "http:" ? proxyFinder(proxies)(url) : null;
  return proxy === null || /^(localhost|127\..*|::1)$/.test(proxy.host) ? null : proxy;
}

/** @returns null where one of them is none */
function certificatesIn(text: string): string[] | null {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*(-----END CERTIFICATE-----)?/g) ?? [];
  try {
    return blocks.map((block) => new X509Certificate(block).toString());
  } catch {
    return null;
  }
}

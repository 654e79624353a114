/**
 * Where apt of this machine gets its packages from, read from its own configuration (deb822 `.sources` files and one-line `.list`
 * files), turned to another suite of the same archive. The repository names no archive: whoever runs the tests has chosen theirs.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** One archive: what a deb822 stanza says of it, beside its suites. */
export interface Source {
  readonly uri: string;
  readonly suites: readonly string[];
  readonly components: readonly string[];
  /** Fields to be kept as they are, such as `Signed-By` and `Trusted`; lines of a value after the first are indented. */
  readonly options: Readonly<Record<string, string>>;
}

/** In one-line files options have names of their own. */
const ONE_LINE_OPTIONS: Readonly<Record<string, string>> = {
  arch: "Architectures",
  "signed-by": "Signed-By",
  trusted: "Trusted",
  "check-valid-until": "Check-Valid-Until",
  "valid-until-max": "Valid-Until-Max",
  "check-date": "Check-Date",
  "allow-insecure": "Allow-Insecure",
};
const OWN_FIELDS: ReadonlySet<string> = new Set(["types", "uris", "suites", "components", "enabled"]);

/** @returns the archives of binary packages in a deb822 file; stanzas that are switched off or miss something are left out */
export function parseDeb822(text: string): Source[] {
  const sources: Source[] = [];
  const lines = text.split(/\r?\n/).filter((line) => !line.startsWith("#"));
  for (const stanza of lines.join("\n").split(/\n[ \t]*\n/)) {
    const fields = new Map<string, { name: string; value: string }>();
    let current: { name: string; value: string } | undefined;
    for (const line of stanza.split("\n")) {
      const start = /^([^\s:]+):[ \t]*(.*)$/.exec(line);
      if (start !== null) {
        current = { name: start[1] ?? "", value: start[2] ?? "" };
        fields.set(current.name.toLowerCase(), current);
      } else if (current !== undefined && /^[ \t]/.test(line)) current.value += `\n${line}`;
    }
    const words = (name: string): string[] =>
      (fields.get(name)?.value ?? "").split(/\s+/).filter((word) => word !== "");
    if (/^(no|false|without|off|disable|0)$/i.test(fields.get("enabled")?.value.trim() ?? "yes")) continue;
    if (!words("types").includes("deb")) continue;
    const options = [...fields.values()].filter(({ name }) => !OWN_FIELDS.has(name.toLowerCase()));
    for (const uri of words("uris")) {
      sources.push({
        uri,
        suites: words("suites"),
        components: words("components"),
        options: Object.fromEntries(options.map(({ name, value }) => [name, value])),
      });
    }
  }
  return sources;
}

/** @returns the archives of binary packages in a file of lines like `deb [signed-by=FILE] URI SUITE COMPONENT...` */
export function parseOneLine(text: string): Source[] {
  const sources: Source[] = [];
  for (const line of text.split(/\r?\n/)) {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)((?:\s+[^\s#]+)*)/.exec(line);
    if (match === null) continue;
    const [, bracket = "", uri = "", suite = "", components = ""] = match;
    const options: Record<string, string> = {};
    for (const setting of bracket.split(/\s+/)) {
      const [name = "", value = ""] = setting.split(/=(.*)/s);
      const field = ONE_LINE_OPTIONS[name.toLowerCase()];
      if (field !== undefined) options[field] = value.replaceAll(",", " ");
    }
    sources.push({ uri, suites: [suite], components: components.split(/\s+/).filter((word) => word !== ""), options });
  }
  return sources;
}

/**
 * @returns for each archive that may have the suite a deb822 stanza for it, the likeliest first: Debian's own archive is the one
 *   with the component `main` under a suite that is named after a release, and not only its updates
 */
export function stanzasFor(suite: string, sources: readonly Source[], codename: string | null): string[] {
  const known = new Set(["stable", "testing", "unstable", "sid", ...(codename === null ? [] : [codename])]);
  const likely = (source: Source): boolean => source.suites.some((name) => known.has(name));
  const whole = sources.filter(
    ({ components, suites }) =>
      components.includes("main") && suites.some((name) => !/[/-](security|updates|backports)/.test(name)),
  );
  const ordered = [...whole.filter(likely), ...whole.filter((source) => !likely(source))];
  const stanzas = ordered.map(({ uri, options }) =>
    [
      "Types: deb",
      `URIs: ${uri}`,
      `Suites: ${suite}`,
      "Components: main",
      ...Object.entries(options).map(([name, value]) => `${name}: ${value}`),
      "",
    ].join("\n"),
  );
  return [...new Set(stanzas)];
}

/**
 * @returns stanzas for the suite, from the configuration of this machine's apt
 * @throws Error there is no apt, or no archive that could have the suite
 */
export function readStanzas(suite: string): string[] {
  const settings = aptSettings();
  const files = [settings["list"] ?? ""];
  const parts = settings["parts"] ?? "";
  if (existsSync(parts))
    files.push(
      ...readdirSync(parts)
        .sort()
        .map((name) => join(parts, name)),
    );
  const sources = files.flatMap((file) => {
    if (!/\.(list|sources)$/.test(file) || !existsSync(file)) return [];
    const text = readFileSync(file, "utf8");
    return file.endsWith(".sources") ? parseDeb822(text) : parseOneLine(text);
  });
  const release = existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "";
  const codename = /^VERSION_CODENAME=["']?([\w-]+)/m.exec(release)?.[1] ?? null;
  const stanzas = stanzasFor(suite, sources, codename);
  if (stanzas.length === 0) throw new Error(`apt's configuration (${parts}) names no archive that could have ${suite}`);
  return stanzas;
}

function aptSettings(): Record<string, string> {
  let text: string;
  try {
    const asked = ["shell", "list", "Dir::Etc::sourcelist/f", "parts", "Dir::Etc::sourceparts/d"];
    text = execFileSync("apt-config", asked, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    throw new Error("this machine has no apt to get Debian's packages with", { cause: error });
  }
  return Object.fromEntries([...text.matchAll(/^(\w+)='(.*)'$/gm)].map(([, name = "", value = ""]) => [name, value]));
}

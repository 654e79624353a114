/** Rules between values, checked on whatever could be read, so that they show beside other mistakes. */
import type { ConfigProblem } from "../errors.ts";
import { valueAt as at, type LocatedYaml, type YamlValue } from "./locatedYaml.ts";
import { contentPath, isCapabilityRequest } from "../protocol/capabilities.ts";
import { parseListenAddress } from "./leaves.ts";
import { formatDuration, parseDuration } from "./units.ts";
import { formatPath, showText, type YamlPath } from "./yamlPath.ts";

export interface CrossChecked {
  readonly problems: readonly ConfigProblem[];
  readonly warnings: readonly ConfigProblem[];
}

const DEFAULT_LIFETIME_MS = 90_000;
const MAX_LIFETIME_MS = 86_400_000;
const SEND_MARGIN_MS = 500;

/**
 * @param value the whole document after references were resolved; anything may stand in it
 * @param recordSteps names of the steps that vouch for the record
 */
export function crossCheck(
  value: YamlValue | undefined,
  document: LocatedYaml,
  file: string,
  recordSteps: readonly string[],
): CrossChecked {
  const problems: ConfigProblem[] = [];
  const warnings: ConfigProblem[] = [];
  const say = (list: ConfigProblem[], path: YamlPath, message: string, hint?: string): void => {
    const { line, column } = document.placeOf(path);
    list.push({ file, line, column, path: formatPath(path), message, ...(hint === undefined ? {} : { hint }) });
  };

  const dialects = list(at(value, "responses", "dialects"));
  for (const [index, dialect] of dialects.entries()) {
    const first = dialects.indexOf(dialect);
    if (typeof dialect === "string" && first !== index) {
      say(
        problems,
        ["responses", "dialects", index],
        `found ${showText(dialect)} a second time, expected each dialect once`,
      );
    }
  }

  const seen = new Map<string, YamlPath>();
  for (const [handler, entry] of list(at(value, "handlers")).entries()) {
    for (const [index, type] of list(at(entry, "types")).entries()) {
      if (typeof type !== "string") continue;
      const path = ["handlers", handler, "types", index];
      const kind = `${type}\n${requirements(at(entry, "match"))}`;
      const first = seen.get(kind);
      if (first !== undefined) {
        const { line } = document.placeOf(first);
        const same = at(entry, "match") === undefined ? "" : " with the same match";
        const message = `found the type ${showText(type)}${same} a second time; the first is ${formatPath(first)} on line ${line}, expected it in one place`;
        say(problems, path, message, "Put all of its steps into one handler.");
        continue;
      }
      seen.set(kind, path);
      const unusual = whatIsUnusual(type);
      if (unusual !== null) say(warnings, path, `the type ${showText(type)} ${unusual}`);
    }
  }

  const recorded = list(at(value, "record", "types") ?? ["*"]).filter(
    (type): type is string => typeof type === "string",
  );
  for (const [handler, entry] of list(at(value, "handlers")).entries()) {
    const steps = list(at(entry, "steps"));
    const step = steps.findIndex((name) => typeof name === "string" && recordSteps.includes(name));
    const left = list(at(entry, "types")).filter(
      (type): type is string => typeof type === "string" && !isCovered(type, recorded),
    );
    if (step === -1 || left.length === 0) continue;
    const message = `found ${left.map((type) => showText(type)).join(", ")}, which record.types leaves out: this step could only answer an error`;
    say(problems, ["handlers", handler, "steps", step], message, "Add the type to record.types, or take the step out.");
  }

  const fallback = (key: string, defaultMs: number): number | null => {
    const found = at(value, "responses", key);
    return found === undefined ? defaultMs : parseDuration(found);
  };
  const lifetime = fallback("default_lifetime", DEFAULT_LIFETIME_MS);
  const longest = fallback("max_lifetime", MAX_LIFETIME_MS);
  const margin = fallback("send_margin", SEND_MARGIN_MS);
  if (lifetime !== null && longest !== null && lifetime > longest) {
    const key = at(value, "responses", "max_lifetime") === undefined ? "default_lifetime" : "max_lifetime";
    say(
      problems,
      ["responses", key],
      `found a default lifetime of ${formatDuration(lifetime)} and a longest of ${formatDuration(longest)}, expected the longest not to be shorter`,
    );
  }
  if (lifetime !== null && margin !== null && 2 * margin >= lifetime) {
    const key = at(value, "responses", "send_margin") === undefined ? "default_lifetime" : "send_margin";
    const message = `found a margin of ${formatDuration(margin)} and a default lifetime of ${formatDuration(lifetime)}, expected the lifetime to be longer than twice the margin`;
    say(problems, ["responses", key], message, "Handlers end twice the margin before the lifetime does.");
  }

  const [all, perRoom] = [at(value, "limits", "handlers") ?? 8, at(value, "limits", "handlers_per_room")];
  if (typeof all === "number" && typeof perRoom === "number" && perRoom > all) {
    say(problems, ["limits", "handlers_per_room"], `found ${perRoom}, expected at most the ${all} of limits.handlers`);
  }

  for (const [index, pattern] of list(at(value, "invites", "accept")).entries()) {
    if (pattern === "*" || pattern === "@*:*")
      say(warnings, ["invites", "accept", index], "everybody on every server can invite the bot");
  }
  const listen = at(value, "operations", "listen");
  const address = typeof listen === "string" ? parseListenAddress(listen) : null;
  if (address !== null && !isLoopback(address.host) && at(value, "operations", "token") === undefined) {
    say(
      problems,
      ["operations", "listen"],
      "found an address that other machines may reach, expected operations.token with it",
      "Add operations.token, or listen on 127.0.0.1.",
    );
  }
  const homeserver = at(value, "homeserver");
  if (typeof homeserver === "string" && /^http:\/\/(?!localhost[:/]|localhost$|127\.|\[::1\])/i.test(homeserver)) {
    say(
      warnings,
      ["homeserver"],
      "http:// sends the access token unencrypted to another machine",
      "Use https:// unless the network between is yours alone.",
    );
  }
  return { problems, warnings };
}

/** The same for the same requirements, in whatever order and spelling. */
function requirements(match: YamlValue | undefined): string {
  const each = list(match).map((entry) => {
    const key = at(entry, "key");
    return JSON.stringify([typeof key === "string" ? contentPath(key) : null, at(entry, "value") ?? null]);
  });
  return [...new Set(each)].sort().join("\n");
}

/** Names other than localhost are not looked up: whom they lead to is not this file's to say. */
function isLoopback(host: string): boolean {
  return /^(localhost|127(\.[0-9]{1,3}){3}|::1)$/i.test(host);
}

function whatIsUnusual(type: string): string | null {
  if (isCapabilityRequest(type)) return "reaches no handler: Docket answers it itself, from what the handlers take";
  if (type === "m.room.encrypted") return "reaches no handler: handlers see the type inside the encryption";
  if (/\s/.test(type)) return "has a space in it; event types usually have none";
  if (!type.includes(".") && !type.includes("*"))
    return "has no dot in it; event types usually look like com.example.report";
  return null;
}

function list(value: YamlValue | undefined): readonly YamlValue[] {
  return Array.isArray(value) ? value : [];
}

/** Whether every type that the pattern means is selected by one of the others. */
function isCovered(pattern: string, by: readonly string[]): boolean {
  return by.some((other) => other === pattern || (other.endsWith("*") && pattern.startsWith(other.slice(0, -1))));
}

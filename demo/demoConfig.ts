/**
 * The demo's configuration: config.sample.yaml as it stands, with only the address, the account, the data directory, the
 * invites and the log level replaced, so that the demo can't drift from what operators are given.
 */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { isScalar, parseDocument, visit } from "yaml";

export interface DemoSettings {
  readonly homeserver: string;
  readonly botUserId: string;
  /** Path of the file with the bot's token. */
  readonly tokenFile: string;
  readonly dataDirectory: string;
  readonly inviters: readonly string[];
  readonly log: string;
  /** The accounts are somebody's, and are to be left as they are. */
  readonly foreign: boolean;
}

/** @returns YAML. @param sampleFile path of config.sample.yaml */
export function demoConfig(sampleFile: string, settings: DemoSettings): string {
  const document = parseDocument(readFileSync(sampleFile, "utf8"));
  if (document.errors.length > 0) throw new Error(`${sampleFile} is not YAML: ${String(document.errors[0])}`);
  document.set("homeserver", settings.homeserver);
  const account = { user: settings.botUserId, token: `\${file:${settings.tokenFile}}` };
  document.set("account", settings.foreign ? { ...account, create_identity: false } : account);
  // No cross-signing identity is made there, for the sender neither: so its device is not signed, and would get no key.
  if (settings.foreign) document.setIn(["encryption", "send_to"], "all");
  document.set("data", { directory: settings.dataDirectory });
  // A proxy of this machine's environment does not lead back to it.
  if (/^http:\/\/(127\.0\.0\.1|localhost)[:/]/.test(settings.homeserver)) document.setIn(["network", "proxy"], false);
  document.setIn(["invites", "accept"], settings.inviters);
  document.setIn(["operations", "listen"], "127.0.0.1:0");
  document.set("log", settings.log);
  // Paths in a configuration are relative to its file, and this one lies elsewhere.
  visit(document.get("handlers", true) as Parameters<typeof visit>[0], {
    Scalar(key, node) {
      if (key === "key" || !isScalar(node) || typeof node.value !== "string") return;
      if (/^\.\.?\//.test(node.value)) node.value = resolve(dirname(sampleFile), node.value);
    },
  });
  return String(document);
}

/** The way out to other servers: which proxy stands before which of them, and which certificate authorities are trusted. */
import { parseNoProxy } from "./noProxy.ts";
import { parseProxyServer, type ProxyServer } from "./proxyServer.ts";

export interface NetworkSettings {
  readonly proxies: Proxies;
  readonly certificateAuthorities: {
    /** Absolute; null where none is named. */
    readonly file: string | null;
    /** Each certificate as PEM; trusted in addition to those of Node. */
    readonly certificates: readonly string[];
  };
}

export interface Proxies {
  /** For `http://` addresses; null: none. */
  readonly http: ProxyServer | null;
  /** For `https://` addresses; null: none. */
  readonly https: ProxyServer | null;
  /** `NO_PROXY` as it stands: hosts that no proxy is asked for. */
  readonly exempt: string;
}

export const noProxies: Proxies = { http: null, https: null, exempt: "" };

export type Environment = Readonly<Record<string, string | undefined>>;

/** A variable that can't be used; no part of its value is in it. */
export interface EnvironmentMistake {
  readonly variable: string;
  readonly expected: string;
  readonly hint: string;
}

/** @returns what names the proxy that stands before an address; null: none does */
export function proxyFinder({ http, https, exempt }: Proxies): (url: URL) => ProxyServer | null {
  const isExempt = parseNoProxy(exempt);
  return (url) => {
    const secure = url.protocol === "https:";
    const proxy = secure ? https : http;
    const port = url.port === "" ? (secure ? 443 : 80) : Number(url.port);
    return proxy === null || isExempt(url.hostname.replace(/^\[|\]$/g, ""), port) ? null : proxy;
  };
}

/**
 * @param setting `environment`: what HTTPS_PROXY and HTTP_PROXY name, each for its scheme alone; null: none; or one for both.
 * NO_PROXY counts in each case.
 */
export function resolveProxies(
  setting: "environment" | ProxyServer | null,
  env: Environment,
): { readonly proxies: Proxies; readonly mistakes: readonly EnvironmentMistake[] } {
  const exempt = variable(env, "NO_PROXY")?.value ?? "";
  if (setting !== "environment") return { proxies: { http: setting, https: setting, exempt }, mistakes: [] };
  const mistakes: EnvironmentMistake[] = [];
  const named = (name: string): ProxyServer | null => {
    const found = variable(env, name);
    if (found === null) return null;
    const parsed = parseProxyServer(found.value, found.name);
    if ("proxy" in parsed) return parsed.proxy;
    mistakes.push({ variable: found.name, ...parsed });
    return null;
  };
  return { proxies: { http: named("HTTP_PROXY"), https: named("HTTPS_PROXY"), exempt }, mistakes };
}

/** The lower-case form goes first, as with curl; an empty one is as good as none. */
function variable(env: Environment, name: string): { readonly name: string; readonly value: string } | null {
  for (const spelling of [name.toLowerCase(), name]) {
    const value = env[spelling]?.trim() ?? "";
    if (value !== "") return { name: spelling, value };
  }
  return null;
}

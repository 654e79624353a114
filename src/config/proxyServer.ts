/**
 * One forward proxy, as an address names it. Pure. The address may hold a password: nothing here puts a part of it into a
 * message, and what is kept for people is scheme, host and port alone.
 */
import { Secret } from "./secret.ts";

export interface ProxyServer {
  /** Scheme, host and port, for people: `http://proxy.example.org:3128`. */
  readonly origin: string;
  /** Whether the connection to the proxy itself is encrypted. */
  readonly secure: boolean;
  /** Name or address, without the brackets of IPv6. */
  readonly host: string;
  readonly port: number;
  /** The value of `Proxy-Authorization` (RFC 7617, in UTF-8); null: the address names no user. */
  readonly authorization: Secret | null;
  /** What names it: `network.proxy`, or the environment variable. */
  readonly source: string;
}

const ENCODING_HINT =
  "In user name and password, characters such as @ : / # ? % are percent-encoded: %40 %3A %2F %23 %3F %25.";

/**
 * @param text `http://USER:PASSWORD@HOST:PORT`; without a scheme `http://` is meant, as everywhere in such variables
 * @param source what names it
 * @returns the proxy, or what is expected instead
 */
export function parseProxyServer(
  text: string,
  source: string,
): { readonly proxy: ProxyServer } | { readonly expected: string; readonly hint: string } {
  const expected = "the address of a proxy such as http://proxy.example.org:3128";
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase();
  if (scheme !== undefined && scheme !== "http" && scheme !== "https")
    return { expected, hint: "Proxies are spoken to over http:// or https://, not over SOCKS or anything else." };
  const url = URL.parse(scheme === undefined ? `http://${text}` : text);
  if (url === null || /\s/.test(text) || url.pathname !== "/" || `${url.search}${url.hash}` !== "")
    return { expected, hint: ENCODING_HINT };
  const user = decoded(url.username);
  const password = decoded(url.password);
  if (user === null || password === null) return { expected, hint: ENCODING_HINT };
  const secure = url.protocol === "https:";
  const named = url.username !== "" || url.password !== "";
  const credentials = Buffer.from(`${user}:${password}`).toString("base64");
  return {
    proxy: {
      origin: url.origin,
      secure,
      host: url.hostname.replace(/^\[|\]$/g, ""),
      port: url.port === "" ? (secure ? 443 : 80) : Number(url.port),
      authorization: named ? new Secret(`Basic ${credentials}`) : null,
      source,
    },
  };
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

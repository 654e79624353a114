/**
 * What goes wrong at a forward proxy before the homeserver hears anything, and what is said about it. The request was never sent:
 * none of this is doubtful. No message has the proxy's user, password or words.
 */
import type { IncomingHttpHeaders } from "node:http";
import type { ProxyServer } from "../config/proxyServer.ts";
import { ServerUnreachable } from "../errors.ts";
import type { RequestName } from "./endpoint.ts";
import { isTlsFailure } from "./failureCode.ts";

export type ProxyTrouble =
  /** No connection to the proxy came about; the system's or undici's code. */
  | { readonly kind: "unreached"; readonly code: string }
  /** It took the connection, and no HTTP answer came; the code says why. */
  | { readonly kind: "unclear"; readonly code: string }
  /** It answered instead of the server, with this status. `schemes`: which credentials it asks for, in lower case. */
  | { readonly kind: "refused"; readonly status: number; readonly schemes: readonly string[] }
  /** The tunnel stood, and TLS with the homeserver did not come about (`cause`). */
  | { readonly kind: "beyond" };

export class ProxyFailure extends Error {
  readonly proxy: ProxyServer;
  /** Host and port of the server beyond the proxy. */
  readonly target: string;
  readonly trouble: ProxyTrouble;

  constructor(proxy: ProxyServer, target: string, trouble: ProxyTrouble, cause?: unknown) {
    super(`the proxy: ${trouble.kind}`, cause === undefined ? {} : { cause });
    this.name = "ProxyFailure";
    this.proxy = proxy;
    this.target = target;
    this.trouble = trouble;
  }
}

/** @returns the failure among an error and its causes; null where there is none */
export function proxyFailureIn(error: unknown): ProxyFailure | null {
  let current = error;
  for (let depth = 0; depth < 8 && current instanceof Error; depth += 1) {
    if (current instanceof ProxyFailure) return current;
    current = current.cause;
  }
  return null;
}

/** @returns which credentials a status 407 asks for, in lower case; nothing else of what the proxy wrote */
export function schemesOf(headers: IncomingHttpHeaders): string[] {
  const known = ["basic", "digest", "ntlm", "negotiate", "bearer"];
  const text = [headers["proxy-authenticate"] ?? ""].flat().join(", ").toLowerCase();
  return known.filter((scheme) => new RegExp(`(^|,)\\s*${scheme}(\\s|,|$)`).test(text));
}

/** @param failure of any kind but `beyond`, where the homeserver's own failure says more */
export function proxyFailed(request: RequestName, { proxy, target, trouble }: ProxyFailure): ServerUnreachable {
  const name = `the proxy ${proxy.origin} (${proxy.source})`;
  const said = ((): string => {
    switch (trouble.kind) {
      case "unreached":
        return `${name} was not reached (${trouble.code}). ${unreachedHint(trouble.code, proxy.source)}`;
      case "unclear":
        return `${name} did not answer as one (${trouble.code}). Check that an HTTP proxy listens there, and its scheme and port`;
      case "refused":
        return `${name} ${refusedHint(trouble.status, trouble.schemes, proxy, target)}`;
      case "beyond":
        return `${target} was not reached through ${name}`;
    }
  })();
  return new ServerUnreachable(`${request.label}: ${request.origin} was not asked: ${said}`, { doubtful: false });
}

function unreachedHint(code: string, source: string): string {
  if (code === "ENOTFOUND" || code === "EAI_AGAIN")
    return `Its name is not found in DNS: check ${source} and the machine's name server`;
  if (code === "ECONNREFUSED") return `Nothing listens there: check that the proxy runs, and the port in ${source}`;
  if (isTlsFailure(code))
    return `TLS with it failed: check its scheme and name in ${source}, and its certificate (own authority: \`network.certificate_authorities\`)`;
  return `Check ${source}, the network and the firewall`;
}

function refusedHint(status: number, schemes: readonly string[], proxy: ProxyServer, target: string): string {
  if (status === 407 && schemes.length > 0 && !schemes.includes("basic")) {
    return `asks for credentials in a way that Docket does not speak (status 407, ${schemes.join(", ")}; Docket: basic). Have its administrator allow basic, or let the bot's machine through`;
  }
  if (status === 407 && proxy.authorization === null) {
    return `asks for credentials (status 407). Put them into ${proxy.source}: ${proxy.secure ? "https" : "http"}://USER:PASSWORD@HOST:PORT, percent-encoded`;
  }
  if (status === 407)
    return `does not take the credentials (status 407). Correct user name and password in ${proxy.source}; special characters are percent-encoded`;
  if (status >= 500)
    return `could not connect to ${target} (status ${status}). Check that the homeserver runs and can be reached and found from there, or have NO_PROXY name it to go without the proxy`;
  return `does not let the bot through to ${target} (status ${status}). Have its administrator allow CONNECT to it, or have NO_PROXY name it to go without the proxy`;
}

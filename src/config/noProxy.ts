/**
 * `NO_PROXY`: which hosts are reached without a proxy. There is no standard; this takes what curl, Go and Python's requests
 * agree on. Pure: no name is looked up, so an address never stands for a name, nor a name for an address.
 */
import { BlockList, isIP } from "node:net";

interface Exemption {
  readonly port: number | null;
  covers(host: string): boolean;
}

/**
 * @param text entries with commas or spaces between them: `example.org` (and all below it; `.example.org` and `*.example.org` mean
 * the same), `10.1.2.3`, `10.0.0.0/8`, `[::1]`, `fd00::/8`, each with a port behind it or not; `*` is every host
 * @returns whether a host (without brackets) and port are exempt; an entry that is none of these never is
 */
export function parseNoProxy(text: string): (host: string, port: number) => boolean {
  const exemptions = text
    .split(/[,\s]+/)
    .filter((entry) => entry !== "")
    .map((entry) => exemption(entry.toLowerCase()));
  return (host, port) =>
    exemptions.some((one) => (one.port === null || one.port === port) && one.covers(canonicalHost(host)));
}

function exemption(entry: string): Exemption {
  if (entry === "*") return { port: null, covers: () => true };
  const whole = hostOrRange(entry);
  if (whole !== null) return { port: null, covers: whole };
  const [, host = entry, port] = /^(.+):(\d{1,5})$/.exec(entry) ?? [];
  return { port: port === undefined ? null : Number(port), covers: hostOrRange(host) ?? named(host) };
}

/** @returns null where it is no IP address and no range of them */
function hostOrRange(entry: string): Exemption["covers"] | null {
  const [, address = "", bits] = /^\[?([0-9a-f.:]+)\]?(?:\/(\d{1,3}))?$/.exec(entry) ?? [];
  const version = isIP(address);
  const most = version === 6 ? 128 : 32;
  if (version === 0 || Number(bits ?? most) > most) return null;
  const family = version === 6 ? "ipv6" : "ipv4";
  const list = new BlockList();
  list.addSubnet(address, Number(bits ?? most), family);
  return (host) => isIP(host) === version && list.check(host, family);
}

function named(entry: string): Exemption["covers"] {
  const name = canonicalHost(entry.replace(/^\*?\./, ""));
  // "0.0.1" must not cover 10.0.0.1.
  return (host) => host === name || (isIP(host) === 0 && host.endsWith(`.${name}`));
}

/** Lower case, without the dot of a fully qualified name. */
function canonicalHost(host: string): string {
  return host.toLowerCase().replace(/(?<=[^.])\.$/, "");
}

/** The section `network` and the variables beside it: which proxy stands before which address, what is trusted, what is wrong. */
import assert from "node:assert/strict";
import { inspect } from "node:util";
import { test } from "node:test";
import { configChanges } from "../../../src/config/configChanges.ts";
import type { Config } from "../../../src/config/config.ts";
import { proxyFinder } from "../../../src/config/network.ts";
import { formatProblem } from "../../../src/errors.ts";
import { authority, serverCertificate } from "../../support/tlsServers.ts";
import { loadText, places, problemsOf, smallest, type World } from "./loadText.ts";

const withProxy = (value: string): string => `${smallest}network:\n  proxy: ${value}\n`;

function proxyOf(config: Config, address: string): string | null {
  const proxy = proxyFinder(config.network.proxies)(new URL(address));
  return proxy === null ? null : `${proxy.origin} ${proxy.source}`;
}

const credentialsOf = (config: Config): string | null => {
  const header = config.network.proxies.https?.authorization?.reveal();
  return header === undefined ? null : Buffer.from(header.replace(/^Basic /, ""), "base64").toString();
};

test("the environment names a proxy for each scheme, the lower-case form first, an empty one never", async () => {
  const env = {
    HTTPS_PROXY: "http://upper:1",
    https_proxy: "http://lower:2",
    HTTP_PROXY: "http://plain:3",
    http_proxy: "",
  };
  const config = await loadText(smallest, { env });
  assert.equal(proxyOf(config, "https://matrix.example.org"), "http://lower:2 https_proxy");
  assert.equal(proxyOf(config, "http://matrix.example.org"), "http://plain:3 HTTP_PROXY");
  const secureOnly = await loadText(smallest, { env: { HTTPS_PROXY: "http://p:1" } });
  assert.equal(proxyOf(secureOnly, "http://matrix.example.org"), null, "the token would go through it in the open");
  const plainOnly = await loadText(smallest, { env: { HTTP_PROXY: "http://p:1" } });
  assert.equal(proxyOf(plainOnly, "https://matrix.example.org"), null);
});

test("the configuration goes before the environment: another proxy, or none; NO_PROXY counts in each case", async () => {
  const env = { HTTPS_PROXY: "http://theirs:1", NO_PROXY: "inner.example.org" };
  const ours = await loadText(withProxy("http://ours:2"), { env });
  assert.equal(proxyOf(ours, "https://matrix.example.org"), "http://ours:2 network.proxy");
  assert.equal(proxyOf(ours, "http://matrix.example.org"), "http://ours:2 network.proxy");
  assert.equal(proxyOf(ours, "https://inner.example.org"), null);
  assert.equal(proxyOf(await loadText(withProxy("false"), { env }), "https://matrix.example.org"), null);
  const same = await loadText(withProxy("environment"), { env });
  assert.equal(proxyOf(same, "https://matrix.example.org"), "http://theirs:1 HTTPS_PROXY");
});

test("an address of a proxy is read as people write it", async () => {
  const cases: [string, string, string | null][] = [
    ["http://proxy.example.org:3128", "http://proxy.example.org:3128", null],
    ["proxy.example.org:3128", "http://proxy.example.org:3128", null],
    ["HTTP://Proxy.example.org", "http://proxy.example.org", null],
    ["https://proxy.example.org/", "https://proxy.example.org", null],
    ["http://[fd00::1]:3128", "http://[fd00::1]:3128", null],
    ["http://docket:secret@p:1", "http://p:1", "docket:secret"],
    ["docket:secret@p:1", "http://p:1", "docket:secret"],
    ["http://docket@p:1", "http://p:1", "docket:"],
    ["http://d%6Fcket:p%40ss%3A%2F%23%C3%B6%25@p:1", "http://p:1", "docket:p@ss:/#ö%"],
  ];
  for (const [text, origin, credentials] of cases) {
    const config = await loadText(withProxy('"${env:P}"'), { env: { P: text } });
    assert.equal(config.network.proxies.https?.origin, origin, text);
    assert.equal(credentialsOf(config), credentials, text);
  }
  const { https } = (await loadText(withProxy("https://[fd00::1]"))).network.proxies;
  assert.deepEqual([https?.host, https?.port, https?.secure], ["fd00::1", 443, true]);
});

test("an address that can't be used is a mistake at its place, and shows nothing of the password", async () => {
  const canary = "c4nary";
  const cases: [string, RegExp][] = [
    [`socks5://u:${canary}@p:1`, /not over SOCKS/],
    [`http://u:${canary}#x@p:1`, /percent-encoded/],
    [`http://u:${canary}/x@p:1`, /percent-encoded/],
    [`http://u:1/${canary}@p:1`, /percent-encoded/],
    [`http://u:${canary}?x@p:1`, /percent-encoded/],
    [`http://u:${canary}%zz@p:1`, /percent-encoded/],
    [`http://u:${canary} x@p:1`, /percent-encoded/],
    [`http://u:${canary}@p:99999`, /percent-encoded/],
    [`http://u:${canary}@p:1/path`, /percent-encoded/],
  ];
  for (const [text, hint] of cases) {
    const written = await problemsOf(withProxy(`"${text}"`));
    assert.deepEqual(places(written), ["6:10 network.proxy"], text);
    assert.match(written[0]?.message ?? "", /found text, expected environment, false, or the address of a proxy/);
    assert.match(written[0]?.hint ?? "", hint, text);
    const referred = await problemsOf(withProxy('"${env:P}"'), { env: { P: text } });
    assert.deepEqual(places(referred), ["6:10 network.proxy"], text);
    const named = await problemsOf(smallest, { env: { https_proxy: text } });
    assert.equal(named[0]?.file, "the environment variable https_proxy");
    assert.match(named[0]?.hint ?? "", hint, text);
    assert.doesNotMatch([...written, ...referred, ...named].map(formatProblem).join("\n"), new RegExp(canary), text);
  }
  for (const value of ["true", "3128", "[]", "{}", '""'])
    assert.deepEqual(places(await problemsOf(withProxy(value))), ["6:10 network.proxy"], value);
});

test("a password of a proxy is never printed, and a change of it is found all the same", async () => {
  const before = await loadText(withProxy("http://docket:c4nary@p:1"));
  const after = await loadText(withProxy("http://docket:another@p:1"));
  const encoded = Buffer.from("docket:c4nary").toString("base64");
  for (const text of [
    inspect(before, { depth: 10 }),
    JSON.stringify(before),
    String(before.network.proxies.https?.authorization),
  ])
    assert.ok(!text.includes("c4nary") && !text.includes(encoded));
  assert.deepEqual(configChanges(before, before, after), { live: [], restart: ["network.proxy"] });
  const named = await loadText(smallest, { env: { HTTPS_PROXY: "http://docket:c4nary@p:1" } });
  assert.deepEqual(configChanges(named, named, await loadText(smallest)).restart, ["network.proxy"]);
});

const bundle = (content: string | Uint8Array): World => ({ files: { "/etc/docket/ca.pem": content } });
const withAuthorities = (value: string): string => `${smallest}network:\n  certificate_authorities: ${value}\n`;

test("a file of authorities is read from beside the configuration, each certificate in it, whatever stands between", async () => {
  const content = `# ours\r\n${authority}\n\nand another\n${serverCertificate.cert}`;
  const { network } = await loadText(withAuthorities("ca.pem"), bundle(content));
  assert.equal(network.certificateAuthorities.file, "/etc/docket/ca.pem");
  assert.equal(network.certificateAuthorities.certificates.length, 2);
  const one = await loadText(withAuthorities("ca.pem"), bundle(authority));
  const two = await loadText(withAuthorities("ca.pem"), bundle(content));
  assert.deepEqual(configChanges(one, one, two).restart, ["network.certificate_authorities"]);
});

test("a file of authorities that is missing, or holds none, is a mistake at its line", async () => {
  const cut = authority.slice(0, authority.indexOf("-----END"));
  const spoilt = authority.replace(/(?<=BEGIN CERTIFICATE-----\n)..../, "AAAA");
  const cases: [string, World, RegExp][] = [
    ["missing.pem", {}, /the file \/etc\/docket\/missing\.pem can't be read: there is no such file/],
    ["ca.pem", bundle(""), /the file \/etc\/docket\/ca\.pem has no certificate in it/],
    ["ca.pem", bundle(serverCertificate.key), /has no certificate in it/],
    ["ca.pem", bundle(Uint8Array.from([0x30, 0x82, 0xff])), /is not UTF-8 text/],
    ["ca.pem", bundle(cut), /has a certificate that can't be read/],
    ["ca.pem", bundle(`${authority}${spoilt}`), /has a certificate that can't be read/],
    ["~/ca.pem", {}, /expected the path of a PEM file/],
    ["5", {}, /expected the path of a PEM file/],
  ];
  for (const [value, world, says] of cases) {
    const problems = (await problemsOf(withAuthorities(value), world)).filter(({ message }) => says.test(message));
    assert.deepEqual(places(problems), ["6:28 network.certificate_authorities"], value);
  }
});

test("its mistakes are told together with all others", async () => {
  const text = `${smallest}network: { proxy: 5, certificate_authorities: missing.pem }\nlog: loud\n`;
  assert.deepEqual(places(await problemsOf(text)), [
    "5:19 network.proxy",
    "5:47 network.certificate_authorities",
    "6:6 log",
  ]);
});

test("a token that would pass a proxy in the open is a warning, on this machine's own homeserver too", async () => {
  const warned = async (homeserver: string, env: Readonly<Record<string, string>>): Promise<string> => {
    const { warnings } = await loadText(smallest.replace("https://matrix.example.org", homeserver), { env });
    return warnings.map(({ path, message }) => `${path}: ${message}`).join("\n");
  };
  const env = { HTTP_PROXY: "http://u:c4nary@proxy.example.org:3128", HTTPS_PROXY: "http://proxy.example.org:3128" };
  const says =
    /^homeserver: http:\/\/ sends the access token unencrypted through the proxy http:\/\/proxy\.example\.org:3128 \(HTTP_PROXY\)$/;
  assert.match(await warned("http://localhost:8008", env), says);
  assert.equal(await warned("http://localhost:8008", { ...env, NO_PROXY: "localhost" }), "");
  assert.equal(await warned("http://localhost:8008", { HTTP_PROXY: "http://127.0.0.1:3128" }), "");
  assert.equal(await warned("https://matrix.example.org", env), "");
});

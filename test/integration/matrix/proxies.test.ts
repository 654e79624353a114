/** Requests through a forward proxy: what it is asked for, what it sees, and how each of its failures is told. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { getCACertificates, rootCertificates, setDefaultCACertificates } from "node:tls";
import { describe, it, type TestContext } from "node:test";
import { fetch } from "undici";
import { resolveProxies, type NetworkSettings } from "../../../src/config/network.ts";
import { Cancelled, ServerRefused, ServerUnreachable } from "../../../src/errors.ts";
import type { DocketClient } from "../../../src/matrix/client.ts";
import { OutwardConnections } from "../../../src/matrix/outwardConnections.ts";
import { proxyFailureIn } from "../../../src/matrix/proxyFailure.ts";
import type { RoomId, SyncToken, TxnId } from "../../../src/protocol/ids.ts";
import { startForwardProxy, type ForwardProxy } from "../../support/forwardProxy.ts";
import { authority, startTlsFront } from "../../support/tlsServers.ts";
import {
  answer,
  clientFor,
  everythingIn,
  never,
  rejection,
  scriptedServer,
  silence,
  TOKEN,
  type Answer,
} from "./scriptedServer.ts";

const PASSWORD = "canary p@ss:w/örd";
const CREDENTIALS = `docket:${PASSWORD}`;
const USER_INFO = `docket:${encodeURIComponent(PASSWORD)}@`;
const NAME = "matrix.docket.test";
const ok: Answer = answer(200, { versions: ["v1.16"] });
const event = { roomId: "!r:x" as RoomId, type: "m.x", content: {} };
const poll = { since: "s1" as SyncToken, filter: {}, timeoutMs: 30_000, stateAfter: true };

function network(
  env: Readonly<Record<string, string>>,
  certificates: readonly string[] = [authority],
): NetworkSettings {
  const { proxies, mistakes } = resolveProxies("environment", env);
  assert.deepEqual(mistakes, []);
  return { proxies, certificateAuthorities: { file: null, certificates } };
}

const withUser = (url: string, userInfo = USER_INFO): string => url.replace("//", `//${userInfo}`);

/** A homeserver behind TLS, under a name that only the proxy can find. */
async function closedNetwork(
  t: TestContext,
  answers: readonly Answer[],
  options: Parameters<typeof startForwardProxy>[1] = {},
): Promise<{ proxy: ForwardProxy; server: Awaited<ReturnType<typeof scriptedServer>>; url: string }> {
  const server = await scriptedServer(t, ...answers);
  const front = await startTlsFront(t, server.url);
  const proxy = await startForwardProxy(t, { credentials: CREDENTIALS, names: { [NAME]: "127.0.0.1" }, ...options });
  return { proxy, server, url: `https://${NAME}:${front.port}` };
}

const clientThrough = (
  t: TestContext,
  { proxy, url }: { proxy: { readonly url: string }; url: string },
  userInfo = USER_INFO,
  certificates = [authority],
): DocketClient =>
  clientFor(t, { url }, { network: network({ HTTPS_PROXY: withUser(proxy.url, userInfo) }, certificates) });

describe("a request through a proxy", () => {
  it("goes through a tunnel to the name that the proxy looks up, and the proxy sees nothing of it", async (t) => {
    const closed = await closedNetwork(t, [ok, answer(200, { event_id: "$e" })]);
    const client = clientThrough(t, closed);
    assert.deepEqual((await client.versions(never)).versions, ["v1.16"]);
    assert.equal(await client.send(event, "t" as TxnId, never), "$e");
    const { proxy, server, url } = closed;
    assert.deepEqual([...new Set(proxy.asked)], [`CONNECT ${new URL(url).host}`]);
    assert.ok(proxy.bytes > 0);
    assert.ok(!proxy.seen.includes(TOKEN) && !proxy.seen.includes("/_matrix/"));
    assert.equal(server.seen[0]?.headers.authorization, `Bearer ${TOKEN}`);
    assert.equal(server.seen[0]?.headers["proxy-authorization"], undefined, "the homeserver has no use for it");
    assert.equal(server.seen[0]?.headers.host, new URL(url).host);
  });

  it("goes through a proxy that is itself behind TLS", async (t) => {
    const closed = await closedNetwork(t, [ok], { secure: true });
    await clientThrough(t, closed).versions(never);
    assert.equal(closed.proxy.asked.length, 1);
    const byName = closed.proxy.url.replace("127.0.0.1", "localhost");
    await clientThrough(t, { ...closed, proxy: { url: byName } }).versions(never);
    assert.equal(closed.proxy.asked.length, 2);
  });

  it("to an http:// address is forwarded in the open, with the whole address and the credentials", async (t) => {
    const server = await scriptedServer(t, ok, answer(200, { event_id: "$e" }));
    const { port } = new URL(server.url);
    const proxy = await startForwardProxy(t, { credentials: CREDENTIALS, names: { [NAME]: "127.0.0.1" } });
    const settings = network({ http_proxy: withUser(proxy.url) });
    const client = clientFor(t, { url: `http://${NAME}:${port}` }, { network: settings });
    await client.versions(never);
    assert.equal(await client.send(event, "t" as TxnId, never), "$e");
    assert.deepEqual(proxy.asked, [
      `GET http://${NAME}:${port}/_matrix/client/versions`,
      `PUT http://${NAME}:${port}/_matrix/client/v3/rooms/!r%3Ax/send/m.x/t`,
    ]);
    assert.equal(server.seen[0]?.headers.host, `${NAME}:${port}`);
    assert.equal(server.seen[0]?.headers["proxy-authorization"], undefined);
    assert.equal(server.seen[1]?.body, "{}");
  });

  it("is not made where NO_PROXY names the host", async (t) => {
    const closed = await closedNetwork(t, [ok]);
    const url = closed.url.replace(NAME, "localhost");
    const settings = network({ HTTPS_PROXY: withUser(closed.proxy.url), NO_PROXY: "other.test, localhost" });
    await clientFor(t, { url }, { network: settings }).versions(never);
    assert.deepEqual(closed.proxy.asked, []);
    await clientThrough(t, { ...closed, url }).versions(never);
    assert.equal(closed.proxy.asked.length, 1, "without NO_PROXY it is");
  });

  it("has a connection of its own for a long poll: other requests do not wait for it", async (t) => {
    const closed = await closedNetwork(t, [silence, answer(200, { event_id: "$e" })]);
    const client = clientThrough(t, closed);
    const polling = rejection(Cancelled, client.sync(poll, never));
    await closed.server.arrived(1);
    assert.equal(await client.send(event, "t" as TxnId, never), "$e");
    assert.equal(closed.proxy.asked.length, 2);
    await client.close();
    await polling;
  });
});

describe("the end of a request through a proxy", () => {
  it("an abort closes its tunnel, and the server hears of it", async (t) => {
    for (const secure of [false, true]) {
      const closed = await closedNetwork(t, [silence], { secure });
      const client = clientThrough(t, closed);
      const stop = new AbortController();
      const polling = rejection(Cancelled, client.sync(poll, stop.signal));
      await closed.server.arrived(1);
      assert.equal(closed.proxy.open, 1);
      stop.abort();
      await polling;
      await closed.server.hungUp(1);
      await closed.proxy.until(({ open }) => open === 0);
    }
  });

  it("close() leaves no tunnel, neither an idle one, nor one that is used, nor one that is still asked for", async (t) => {
    const closed = await closedNetwork(t, [ok, silence]);
    const client = clientThrough(t, closed);
    await client.versions(never);
    const polling = rejection(Cancelled, client.sync(poll, never));
    await closed.server.arrived(2);
    assert.equal(closed.proxy.open, 2);
    await client.close();
    await polling;
    await closed.proxy.until(({ open }) => open === 0);

    const silent = await closedNetwork(t, [ok], { instead: "silence" });
    const waiting = clientThrough(t, silent);
    const asking = rejection(Cancelled, waiting.versions(never));
    await silent.proxy.until(({ asked }) => asked.length === 1);
    await waiting.close();
    await asking;
    // By itself it would end after 15 seconds.
    await silent.proxy.until(({ open }) => open === 0, 10_000);
  });

  it("a tunnel that is cut is doubtful, as any connection is, and the next request opens another", async (t) => {
    const closed = await closedNetwork(t, [silence, answer(200, { event_id: "$e" })]);
    const client = clientThrough(t, closed);
    const sending = rejection(ServerUnreachable, client.send(event, "t" as TxnId, never));
    await closed.server.arrived(1);
    closed.proxy.cut();
    assert.equal((await sending).doubtful, true);
    assert.equal(await client.send(event, "t" as TxnId, never), "$e");
    assert.equal(closed.proxy.asked.length, 2);
  });
});

describe("a proxy that does not let a request through", () => {
  const refused = async (
    t: TestContext,
    options: Parameters<typeof startForwardProxy>[1],
    userInfo = USER_INFO,
  ): Promise<string> => {
    const closed = await closedNetwork(t, [ok], options);
    const client = clientThrough(t, closed, userInfo);
    const error = await rejection(ServerUnreachable, client.send(event, "t" as TxnId, never));
    assert.equal(error.doubtful, false, error.message);
    assert.equal(closed.server.seen.length, 0);
    const all = everythingIn(error);
    for (const secret of [PASSWORD, encodeURIComponent(PASSWORD), Buffer.from(CREDENTIALS).toString("base64"), TOKEN])
      assert.ok(!all.includes(secret));
    assert.match(
      error.message,
      /^PUT \S+: https:\/\/matrix\.docket\.test:\d+ was not asked: the proxy http:\/\/127\.0\.0\.1:\d+ \(HTTPS_PROXY\) /,
    );
    return error.message;
  };

  it("asks for credentials: the error says where to put them", async (t) => {
    assert.match(
      await refused(t, {}, ""),
      /asks for credentials \(status 407\)\. Put them into HTTPS_PROXY: http:\/\/USER:PASSWORD@HOST:PORT/,
    );
  });

  it("does not take the credentials: the error says where to correct them", async (t) => {
    assert.match(
      await refused(t, { credentials: "docket:another" }),
      /does not take the credentials \(status 407\)\. Correct .* in HTTPS_PROXY/,
    );
  });

  it("wants another kind of credentials: the error names it", async (t) => {
    const message = await refused(t, { credentials: "x:y", challenge: "NTLM" });
    assert.match(message, /in a way that Docket does not speak \(status 407, ntlm; Docket: basic\)/);
    assert.match(
      await refused(t, { credentials: "x:y", challenge: "Negotiate, Basic realm=x" }),
      /does not take the credentials/,
    );
  });

  it("refuses the tunnel: the error names host and port that have to be allowed", async (t) => {
    assert.match(
      await refused(t, { instead: 403 }),
      /does not let the bot through to matrix\.docket\.test:\d+ \(status 403\)\. .*CONNECT/,
    );
  });

  it("can't reach the homeserver: the error says that it was not the bot's own connection", async (t) => {
    assert.match(
      await refused(t, { names: { [NAME]: "127.0.0.1" }, instead: 502 }),
      /could not connect to matrix\.docket\.test:\d+ \(status 502\)/,
    );
  });

  it("answers with something that is no HTTP, or hangs up", async (t) => {
    assert.match(
      await refused(t, { instead: Buffer.from("220 mail.docket.test ESMTP\r\n") }),
      /did not answer as one \(HPE_/,
    );
    assert.match(await refused(t, { instead: Buffer.alloc(0) }), /did not answer as one \(ECONNRESET\)/);
  });

  it("keeps silent: it is given up after its time, and no connection is left", async (t) => {
    const silent = await closedNetwork(t, [ok], { instead: "silence" });
    const settings = network({ HTTPS_PROXY: withUser(silent.proxy.url) });
    const limits = { connectTimeoutMs: 60_000, answerTimeoutMs: 20 };
    const connections = new OutwardConnections(settings, { limits });
    t.after(() => connections.close());
    const error: unknown = await fetch(silent.url, { dispatcher: connections.dispatcher }).catch(
      (reason: unknown) => reason,
    );
    assert.deepEqual(proxyFailureIn(error)?.trouble, { kind: "unclear", code: "TIMEOUT" });
    await silent.proxy.until(({ open }) => open === 0);
  });

  it("is not there: the proxy was not reached, and nothing is said of the homeserver", async (t) => {
    const closed = await closedNetwork(t, [ok]);
    const gone = createServer();
    await new Promise<void>((resolve) => gone.listen(0, "127.0.0.1", resolve));
    const { port } = gone.address() as { port: number };
    await new Promise((resolve) => gone.close(resolve));
    const client = clientThrough(t, { ...closed, proxy: { url: `http://127.0.0.1:${port}` } });
    const error = await rejection(ServerUnreachable, client.versions(never));
    assert.match(
      error.message,
      /the proxy http:\S+ \(HTTPS_PROXY\) was not reached \(ECONNREFUSED\)\. Nothing listens there: check that the proxy runs/,
    );
    assert.equal(error.doubtful, false);
    const forwarded = clientFor(
      t,
      { url: "http://matrix.docket.test" },
      { network: network({ HTTP_PROXY: `http://127.0.0.1:${port}` }) },
    );
    const other = await rejection(ServerUnreachable, forwarded.versions(never));
    assert.match(other.message, /the proxy http:\S+ \(HTTP_PROXY\) was not reached \(ECONNREFUSED\)/);
    assert.equal(other.doubtful, false);
  });

  it("asks for credentials for an http:// address: told in the same way", async (t) => {
    const server = await scriptedServer(t, ok);
    const proxy = await startForwardProxy(t, { credentials: CREDENTIALS });
    const client = clientFor(t, server, { network: network({ HTTP_PROXY: proxy.url }) });
    const error = await rejection(ServerUnreachable, client.send(event, "t" as TxnId, never));
    assert.match(error.message, /\(HTTP_PROXY\) asks for credentials \(status 407\)\. Put them into HTTP_PROXY/);
    assert.equal(error.doubtful, false);
    assert.equal(server.seen.length, 0);
  });

  it("forwards an http:// address to nowhere: a refusal that names a proxy", async (t) => {
    const proxy = await startForwardProxy(t, { names: { [NAME]: "127.0.0.1" } });
    const client = clientFor(t, { url: `http://${NAME}:2` }, { network: network({ HTTP_PROXY: proxy.url }) });
    const error = await rejection(ServerRefused, client.request("GET", "/x", { signal: never, retry: "none" }));
    assert.match(error.message, /status 502: a proxy before the homeserver answers/);
  });
});

describe("a private certificate authority", () => {
  it("is trusted where it is named, beside those that Node knows, and nowhere else", async (t) => {
    const closed = await closedNetwork(t, [ok]);
    const url = closed.url.replace(NAME, "127.0.0.1");
    await clientFor(t, { url }, { network: network({}) }).versions(never);
    const error = await rejection(ServerUnreachable, clientFor(t, { url }).versions(never));
    assert.match(
      error.message,
      /was not reached \(UNABLE_TO_VERIFY_LEAF_SIGNATURE\)\. .*`network\.certificate_authorities` or NODE_EXTRA_CA_CERTS/,
    );
    assert.equal(error.doubtful, false);
  });

  it("takes nothing away from what Node trusts, NODE_EXTRA_CA_CERTS included", async (t) => {
    const before = getCACertificates("default");
    setDefaultCACertificates([...before, authority]);
    t.after(() => setDefaultCACertificates(before));
    const closed = await closedNetwork(t, [ok]);
    const [another = ""] = rootCertificates;
    const url = closed.url.replace(NAME, "localhost");
    await clientFor(t, { url }, { network: network({}, [another]) }).versions(never);
  });

  it("that is missing beyond a proxy is told as such: the proxy let the request through", async (t) => {
    const closed = await closedNetwork(t, [ok]);
    const error = await rejection(ServerUnreachable, clientThrough(t, closed, USER_INFO, []).versions(never));
    assert.match(
      error.message,
      /matrix\.docket\.test:\d+ was not reached through the proxy http:\S+ \(HTTPS_PROXY\) \(UNABLE_TO_VERIFY_LEAF_SIGNATURE\)\. TLS failed/,
    );
    assert.equal(error.doubtful, false);
  });

  it("does not make a certificate good that is for another name", async (t) => {
    const closed = await closedNetwork(t, [ok], { names: { "other.docket.test": "127.0.0.1" } });
    const url = closed.url.replace(NAME, "other.docket.test");
    const error = await rejection(ServerUnreachable, clientThrough(t, { ...closed, url }).versions(never));
    assert.match(error.message, /ERR_TLS_CERT_ALTNAME_INVALID/);
    assert.equal(error.doubtful, false);
  });

  it("that is missing for a proxy behind TLS is told as the proxy's", async (t) => {
    const closed = await closedNetwork(t, [ok], { secure: true });
    const error = await rejection(ServerUnreachable, clientThrough(t, closed, USER_INFO, []).versions(never));
    assert.match(
      error.message,
      /the proxy https:\S+ \(HTTPS_PROXY\) was not reached \(UNABLE_TO_VERIFY_LEAF_SIGNATURE\)\. TLS with it failed/,
    );
  });
});

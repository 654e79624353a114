/** The listener at its limits: clients that hang, and those that send too much. Real sockets on this machine. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { Hono } from "hono";
import { silentLogger } from "../../../src/logging.ts";
import { HttpListener } from "../../../src/ops/httpListener.ts";

async function listen(t: TestContext, app = new Hono().get("/", (context) => context.text("well"))) {
  const listener = new HttpListener(app, silentLogger);
  t.after(() => listener.stop());
  const port = await listener.start({ host: "127.0.0.1", port: 0 });
  const client = async (): Promise<Socket> => {
    const socket = connect(port, "127.0.0.1");
    t.after(() => socket.destroy());
    socket.on("error", () => undefined);
    await once(socket, "connect");
    return socket;
  };
  return { listener, port, client };
}

test("a stop closes every connection at once: idle ones, half-sent requests, and those that still wait for their answer", async (t) => {
  const asked = Promise.withResolvers<void>();
  const app = new Hono().get("/never", () => {
    asked.resolve();
    return new Promise<Response>(() => undefined);
  });
  const { listener, client } = await listen(t, app);
  const sockets = [await client(), await client(), await client()];
  sockets[1]?.write("GET / HTTP/1.1\r\nHost: x\r\n");
  sockets[2]?.write("GET /never HTTP/1.1\r\nHost: x\r\n\r\n");
  await asked.promise;
  const closed = Promise.all(sockets.map((socket) => once(socket, "close")));
  await Promise.all([listener.stop(), listener.stop()]);
  await closed;
});

test("headers that are too large are refused", async (t) => {
  const { port } = await listen(t);
  const response = await fetch(`http://127.0.0.1:${port}/`, { headers: { "X-Large": "x".repeat(9_000) } });
  assert.equal(response.status, 431);
});

test("who connects and sends nothing is let go, and holds up nobody meanwhile", async (t) => {
  const { port, client } = await listen(t);
  const idle = await client();
  const gone = once(idle, "close");
  assert.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 200);
  idle.resume();
  await gone;
});

test("an address that is taken is a system error of the start, and the stop after it is none", async (t) => {
  const { port } = await listen(t);
  const second = new HttpListener(new Hono(), silentLogger);
  await assert.rejects(second.start({ host: "127.0.0.1", port }), { code: "EADDRINUSE" });
  await second.stop();
});

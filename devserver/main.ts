/**
 * The development homeserver as a process:
 * `node devserver/main.ts --port 0 --server-name localhost --account NAME:PASSWORD:DEVICE ... [--feature NAME ...] [--stop-with-parent]`.
 * Prints one JSON line `{"url", "accounts": [{userId, accessToken, deviceId}]}` when it is ready.
 */
import { parseArgs } from "node:util";
import { startDevServer } from "./server.ts";

const { values } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    "server-name": { type: "string", default: "localhost" },
    account: { type: "string", multiple: true, default: [] },
    feature: { type: "string", multiple: true, default: [] },
    "room-version": { type: "string", default: "11" },
    "stop-with-parent": { type: "boolean", default: false },
  },
});
const roomVersion = values["room-version"];
if (roomVersion !== "10" && roomVersion !== "11" && roomVersion !== "12")
  throw new Error(`--room-version must be 10, 11 or 12, not ${roomVersion}.`);

const server = await startDevServer({
  port: Number(values.port),
  serverName: values["server-name"],
  defaultRoomVersion: roomVersion,
  unstableFeatures: Object.fromEntries(values.feature.map((name) => [name, true])),
});
const accounts = values.account.map((account) => {
  const [localpart = "", password, deviceId] = account.split(":");
  return server.createAccount(localpart, password, deviceId === undefined ? {} : { deviceId });
});

let stopping = false;
const stop = (): void => {
  if (stopping) return;
  stopping = true;
  process.stdin.destroy();
  void server.stop();
};
process.on("SIGTERM", stop);
process.on("SIGINT", stop);
if (values["stop-with-parent"]) process.stdin.on("close", stop).on("end", stop).resume();

process.stdout.write(`${JSON.stringify({ url: server.url, accounts })}\n`);

/**
 * A Synapse to try things on: `node test/synapse/main.ts [--rate-limits default] [--user NAME:PASSWORD ...]`. Prints its address and
 * its accounts, and runs until Ctrl-C; nothing of it is kept.
 */
import { parseArgs } from "node:util";
import { startSynapse } from "./synapse.ts";

const { values } = parseArgs({
  options: {
    "rate-limits": { type: "string", default: "raised" },
    "server-name": { type: "string", default: "localhost" },
    user: { type: "string", multiple: true, default: ["docket:docket", "alice:alice"] },
  },
});
const rateLimits = values["rate-limits"];
if (rateLimits !== "raised" && rateLimits !== "default") {
  throw new Error(`--rate-limits must be raised or default, not ${rateLimits}`);
}

const interrupted = new Promise<void>((resolve) => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => resolve());
});
const server = await startSynapse({ rateLimits, serverName: values["server-name"] });
try {
  console.log(`Synapse ${server.version} is at ${server.baseUrl}, server name ${server.serverName}`);
  console.log(`  log    ${server.logFile}`);
  console.log(`  admin  @admin:${server.serverName}, token ${server.adminToken}`);
  for (const user of values.user) {
    const [name = "", password = ""] = user.split(/:(.*)/s);
    const { userId, deviceId, accessToken } = await server.registerUser(name, password);
    console.log(`  user   ${userId}, password ${password}, device ${deviceId}, token ${accessToken}`);
  }
  console.log("Ctrl-C ends it and deletes its data.");
  await interrupted;
} finally {
  await server.stop();
}

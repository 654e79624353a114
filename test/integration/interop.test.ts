/** The suites of test/interop/ before the development homeserver. */
import { startDevServer } from "../../devserver/server.ts";
import { describeInterop, describePeerAlone } from "../interop/interopSuite.ts";
import type { InteropHomeserver } from "../interop/interopScene.ts";

async function start(): Promise<InteropHomeserver> {
  const server = await startDevServer();
  return {
    url: server.url,
    serverName: server.serverName,
    createAccount: (localpart, password) => Promise.resolve(server.createAccount(localpart, password)),
    stop: () => server.stop(),
  };
}

describeInterop(start);
describePeerAlone(start);

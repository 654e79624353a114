/** The suite of test/faults/ before the development homeserver. */
import { startDevServer } from "../../devserver/server.ts";
import { describeFaults } from "../faults/faultSuite.ts";

describeFaults(async () => {
  const server = await startDevServer();
  return {
    url: server.url,
    serverName: "localhost",
    createAccount: (localpart, password) => Promise.resolve(server.createAccount(localpart, password)),
    stop: () => server.stop(),
  };
});

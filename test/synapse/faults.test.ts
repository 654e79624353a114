/** The suite of test/faults/ before a real Synapse. */
import { describeFaults } from "../faults/faultSuite.ts";
import { startSynapse } from "./synapse.ts";

describeFaults(async () => {
  const server = await startSynapse();
  return {
    url: server.baseUrl,
    serverName: server.serverName,
    createAccount: (localpart, password) => server.registerUser(localpart, password),
    stop: () => server.stop(),
  };
});

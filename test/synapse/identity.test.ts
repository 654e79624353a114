/** The suite of test/identity/ before a real Synapse. */
import { signInByPassword } from "../identity/identityJudge.ts";
import { describeIdentity } from "../identity/identitySuite.ts";
import { startSynapse } from "./synapse.ts";

describeIdentity(async () => {
  const server = await startSynapse();
  return {
    url: server.baseUrl,
    createAccount: (localpart, password) => server.registerUser(localpart, password),
    signIn: (userId, password) => signInByPassword(server.baseUrl, userId, password),
    stop: () => server.stop(),
    // The development homeserver has them all.
    killStep: 3,
  };
});

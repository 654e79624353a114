/** The suite of test/verification/ before a real Synapse. */
import { signInByPassword } from "../identity/identityJudge.ts";
import { describeVerification } from "../verification/verificationSuite.ts";
import { startSynapse } from "./synapse.ts";

describeVerification(async () => {
  const server = await startSynapse();
  return {
    url: server.baseUrl,
    createAccount: (localpart, password) => server.registerUser(localpart, password),
    signIn: (userId, password) => signInByPassword(server.baseUrl, userId, password),
    stop: () => server.stop(),
  };
});

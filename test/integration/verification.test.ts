/** The suite of test/verification/ before the development homeserver. */
import { startDevServer } from "../../devserver/server.ts";
import { describeVerification } from "../verification/verificationSuite.ts";

describeVerification(async () => {
  const server = await startDevServer();
  return {
    url: server.url,
    createAccount: async (localpart, password) => server.createAccount(localpart, password),
    signIn: async (userId) => server.signIn(userId),
    stop: () => server.stop(),
  };
});

/** The suite of test/identity/ before the development homeserver. */
import { startDevServer } from "../../devserver/server.ts";
import { describeIdentity } from "../identity/identitySuite.ts";
import { signInByPassword } from "../identity/identityJudge.ts";

describeIdentity(async () => {
  const server = await startDevServer();
  return {
    url: server.url,
    createAccount: async (localpart, password) => server.createAccount(localpart, password),
    signIn: (userId, password) => signInByPassword(server.url, userId, password),
    stop: () => server.stop(),
  };
});

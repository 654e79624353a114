/** The suite of test/identity/ before a real Synapse. */
import { call } from "../identity/identityJudge.ts";
import { describeIdentity } from "../identity/identitySuite.ts";
import { startSynapse } from "./synapse.ts";

describeIdentity(async () => {
  const server = await startSynapse();
  return {
    url: server.baseUrl,
    createAccount: (localpart, password) => server.registerUser(localpart, password),
    async signIn(user, password) {
      const identifier = { type: "m.id.user", user };
      const body = { type: "m.login.password", identifier, password };
      const {
        user_id: userId,
        device_id: deviceId,
        access_token: accessToken,
      } = await call(server.baseUrl, "", "POST", "/login", body);
      return { userId: String(userId), deviceId: String(deviceId), accessToken: String(accessToken) };
    },
    stop: () => server.stop(),
  };
});

import { startDevServer } from "../../../devserver/server.ts";
import { describeContract } from "../../contract/contract.ts";
import { DEFAULT_MESSAGE_LIMIT, LARGEST_UPLOAD_BYTES, SHORT_TOKEN_LIFETIME_MS } from "../../contract/homeserver.ts";

describeContract("the development homeserver", async () => {
  const server = await startDevServer({
    serverName: "dev.example",
    rateLimit: DEFAULT_MESSAGE_LIMIT,
    largestUploadBytes: LARGEST_UPLOAD_BYTES,
    unstableFeatures: { "org.matrix.msc4222": true },
  });
  server.setSignIn({ tokenLifetimeMs: SHORT_TOKEN_LIFETIME_MS });
  return {
    url: server.url,
    serverName: server.serverName,
    createAccount: (localpart, password) => Promise.resolve(server.createAccount(localpart, password)),
    limitMessages: (userId, limit) => Promise.resolve(server.setRateLimit(userId, limit)),
    stop: () => server.stop(),
  };
});

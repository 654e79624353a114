/** A homeserver, who asks, and Alice who may answer, in one room: requests without a bot. */
import type { TestContext } from "node:test";
import { Sender } from "../../demo/sender/sender.ts";
import { startDevServer, type DevServer } from "../../devserver/server.ts";
import { asker, type Asker } from "./requesterCommand.ts";

export interface RequestScene {
  readonly server: DevServer;
  readonly alice: Sender;
  readonly who: Asker;
  readonly roomId: string;
}

export async function requestScene(t: TestContext, encrypted: boolean): Promise<RequestScene> {
  const server = await startDevServer();
  t.after(() => server.stop());
  const alice = await Sender.withToken({ baseUrl: server.url, ...server.createAccount("alice", "not a secret") });
  t.after(() => alice.stop());
  await alice.start();
  const who = asker(t, server);
  const roomId = await alice.createRoom({ encrypted, invite: [who.account.userId] });
  server.join(roomId, who.account.userId);
  await alice.waitForJoin(roomId, who.account.userId);
  return { server, alice, who, roomId };
}

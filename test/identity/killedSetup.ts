/** The first start of an identity in this process, killed after a certain request: from then on nothing leaves it. */
import { IdentityDrafts } from "../../src/journal/identityDrafts.ts";
import { silentLogger } from "../../src/logging.ts";
import type { Homeserver } from "../../src/matrix/homeserver.ts";
import type { Standing } from "../../src/session/identityStanding.ts";
import { AccountIdentity } from "../../src/session/accountIdentity.ts";
import { CryptoPeer, type PeerOptions } from "../support/cryptoPeer.ts";

class Killed extends Error {}

/** Requests that change something: after any other one the world is as it was before it. */
const changes = (method: string, endpoint: string): boolean => method !== "GET" && !endpoint.endsWith("/keys/query");

/**
 * @param killAfter the number of the change that is the last to reach the homeserver, counted from 1; 0: none does; null: it is not killed
 * @returns how it ended, and how many changes were made
 */
export async function setUpIdentity(
  options: Pick<PeerOptions, "server" | "account"> & { directory: string; recoveryFile: string },
  killAfter: number | null,
): Promise<{ standing: Standing | "killed"; changes: number }> {
  const { server, account, directory, recoveryFile } = options;
  let made = 0;
  const dead = (): boolean => killAfter !== null && made >= killAfter;
  const between = (client: Homeserver): Homeserver => {
    const request: Homeserver["request"] = async (method, endpoint, rest) => {
      if (!changes(method, endpoint)) {
        if (dead()) throw new Killed();
        return await client.request(method, endpoint, rest);
      }
      if (dead()) throw new Killed();
      made += 1;
      const answer = await client.request(method, endpoint, rest);
      // It has taken effect, and its answer is lost.
      if (dead()) throw new Killed();
      return answer;
    };
    return new Proxy(client, { get: (target, name) => (name === "request" ? request : Reflect.get(target, name)) });
  };
  const peer = await CryptoPeer.open({ server, account, directory, between });
  const { engine, database, userId } = peer;
  if (database === null) throw new Error("the peer has no database");
  let standing: Standing | "killed" = "killed";
  try {
    await engine.start();
    const homeserver = between(peer.client);
    const { crossSigning, backup } = engine;
    const drafts = new IdentityDrafts(database);
    const own = new AccountIdentity({ userId, homeserver, crossSigning, backup, drafts, log: silentLogger });
    const means = { recoveryKey: null, recoveryFile, password: null, mayCreate: true };
    standing = await own.settle(means, AbortSignal.timeout(60_000));
  } catch (error) {
    if (!(error instanceof Killed)) throw error;
  } finally {
    await peer.abandon();
  }
  return { standing, changes: made };
}

/** What the kill tests of a first contact share: where a process may die, and a reception as intake does it. */
import type { KeyStoreHooks } from "../../src/crypto/keyStore.ts";
import { Gaps } from "../../src/journal/gaps.ts";
import { Inbox } from "../../src/journal/inbox.ts";
import { Invites } from "../../src/journal/invites.ts";
import { Outbox } from "../../src/journal/outbox.ts";
import { RoomStates } from "../../src/journal/roomStates.ts";
import { systemClock } from "../../src/clock.ts";
import { readSyncResponse } from "../../src/session/syncResponse.ts";
import type { CryptoPeer } from "./cryptoPeer.ts";

/** Counts the moments at which a process may die, and dies at one of them. */
export class KillPoints {
  private passed = 0;
  private readonly killAt: number;
  private readonly kill: () => void;

  constructor(killAt: number, kill: () => void) {
    this.killAt = killAt;
    this.kill = kill;
  }

  /** Before and after every commit of the key store, held ones included. */
  readonly hooks: KeyStoreHooks = { beforeCommit: () => this.pass(), afterCommit: () => this.pass() };

  pass(): void {
    this.passed += 1;
    if (this.passed === this.killAt) this.kill();
  }
}

export function journalOf(peer: CryptoPeer): Inbox {
  const { database } = peer;
  if (database === null) throw new Error("the peer has no data directory");
  const clock = systemClock;
  return new Inbox({
    database,
    clock,
    rooms: new RoomStates(database),
    gaps: new Gaps(database),
    invites: new Invites(database, clock),
    outbox: new Outbox(database, clock),
    ownUser: peer.userId,
  });
}

/** One sync from where the journal stands, committed together with its keys. @param point called around the commit */
export async function receiveIntoJournal(peer: CryptoPeer, point: () => void = () => undefined): Promise<void> {
  const inbox = journalOf(peer);
  const since = inbox.position();
  const request = { since, filter: {}, timeoutMs: 0, stateAfter: false };
  const read = readSyncResponse(await peer.client.sync(request, AbortSignal.timeout(60_000)), peer.userId);
  if (!read.ok) throw new Error(read.problem);
  const { nextBatch, crypto, rooms, invites, malformed } = read.contents;
  point();
  await peer.engine.receive(crypto, async ({ newSessions, withheldSessions, held }) => {
    point();
    const heldWrites = {
      apply: () => {
        point();
        held.apply();
        point();
      },
    };
    const receivedAt = systemClock.now();
    const added = await inbox.accept({
      since,
      nextBatch,
      receivedAt,
      heldWrites,
      newSessions,
      withheldSessions,
      rooms,
      invites,
      malformed,
    });
    point();
    return added;
  });
  point();
}

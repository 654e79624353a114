/**
 * What the bot relies on in a homeserver: one suite of promises, held against the development homeserver and against Synapse.
 * Synapse is the reference. Where the specification says something else, a comment in the test says so.
 *
 * A subject is a file here with one function that declares its tests. What only one of the servers does (faults, delivery
 * receipts) is no part of the contract.
 */
import { after, before, describe } from "node:test";
import { accountsContract } from "./accounts.ts";
import { crossSigningContract } from "./crossSigning.ts";
import { deviceListsContract } from "./deviceLists.ts";
import { historyContract } from "./history.ts";
import type { Homeserver } from "./homeserver.ts";
import { invitationsContract } from "./invitations.ts";
import { keyBackupContract } from "./keyBackup.ts";
import { keysContract } from "./keys.ts";
import { mediaContract } from "./media.ts";
import { membershipContract } from "./membership.ts";
import { messageLimitContract } from "./messageLimit.ts";
import { permissionsContract } from "./permissions.ts";
import { profilesContract } from "./profiles.ts";
import { readReceiptsContract } from "./readReceipts.ts";
import { redactionsContract } from "./redactions.ts";
import { refreshingContract } from "./refreshing.ts";
import { refusalsContract } from "./refusals.ts";
import { relationsContract } from "./relations.ts";
import { roomsContract } from "./rooms.ts";
import { Scene } from "./scene.ts";
import { sendingContract } from "./sending.ts";
import { syncFiltersContract } from "./syncFilters.ts";
import { syncingContract } from "./syncing.ts";
import { toDeviceContract } from "./toDevice.ts";

const SUBJECTS: Readonly<Record<string, (scene: Scene) => void>> = {
  "accounts and devices": accountsContract,
  "tokens that expire": refreshingContract,
  refusals: refusalsContract,
  profiles: profilesContract,
  rooms: roomsContract,
  permissions: permissionsContract,
  sending: sendingContract,
  redactions: redactionsContract,
  relations: relationsContract,
  history: historyContract,
  syncing: syncingContract,
  "filters of a sync": syncFiltersContract,
  invitations: invitationsContract,
  membership: membershipContract,
  "read receipts": readReceiptsContract,
  keys: keysContract,
  "device lists": deviceListsContract,
  "cross-signing": crossSigningContract,
  "key backup": keyBackupContract,
  media: mediaContract,
  "to-device messages": toDeviceContract,
  "the message limit": messageLimitContract,
};

/**
 * Declares the tests of the whole contract.
 * @param start starts the server before the first test; it is stopped after the last
 */
export function describeContract(name: string, start: () => Promise<Homeserver>): void {
  describe(`the client-server contract on ${name}`, () => {
    let homeserver: Homeserver | undefined;
    const scene = new Scene(() => {
      if (homeserver === undefined) throw new Error(`${name} has not started.`);
      return homeserver;
    });
    before(async () => {
      homeserver = await start();
    });
    after(() => homeserver?.stop());
    for (const [subject, declare] of Object.entries(SUBJECTS)) describe(subject, () => declare(scene));
  });
}

/** All work on the signed-in device that a running bot can be asked for. New operations are plugged in here. */
import type { AnyDeviceOperation } from "./deviceOperations.ts";
import { importRoomKeys } from "./importRoomKeys.ts";
import { restoreBackup } from "./restoreBackup.ts";
import { handOverRecoveryKey } from "./handOverRecoveryKey.ts";
import { createIdentity, resetIdentity } from "./makeIdentity.ts";
import { showIdentity } from "./showIdentity.ts";
import { verifyIdentity } from "./verifyIdentity.ts";

export const deviceOperations = [
  showIdentity,
  verifyIdentity,
  handOverRecoveryKey,
  createIdentity,
  resetIdentity,
  importRoomKeys,
  restoreBackup,
] as unknown as readonly AnyDeviceOperation[];

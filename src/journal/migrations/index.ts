/** The schema, as the list of steps that led to it; `user_version` counts the steps a database has taken. Never edit a released one. */
import { identityDrafts } from "./identityDrafts.ts";
import { keyStoreTables } from "./keyStoreTables.ts";
import { journalTables } from "./journalTables.ts";
import { receiptsAndRooms } from "./receiptsAndRooms.ts";
import { sentIndexes } from "./sentIndexes.ts";
import { signedInDevices } from "./signedInDevices.ts";
import { trust } from "./trust.ts";

export const migrations: readonly string[] = [
  journalTables,
  keyStoreTables,
  receiptsAndRooms,
  signedInDevices,
  identityDrafts,
  trust,
  sentIndexes,
];

/** Looks for the account's recovery key. Reads none of it. */
import { existsSync } from "node:fs";
import type { Config } from "../../config/config.ts";
import type { Database } from "../../journal/database.ts";
import { IdentityDrafts } from "../../journal/identityDrafts.ts";
import { ask } from "./asked.ts";
import type { RecoveryFacts } from "./facts.ts";

/** @param config null where it has mistakes; @param database null where there is none that could be read */
export async function lookForRecoveryKey(config: Config | null, database: Database | null): Promise<RecoveryFacts> {
  const kept = database === null ? null : await ask(async () => new IdentityDrafts(database).kept() !== null);
  return { isKept: kept?.kind === "known" ? kept.value : null, configured: configuredKey(config) };
}

/** A running bot has read its configuration before it wrote the file. */
function configuredKey(config: Config | null): RecoveryFacts["configured"] {
  const recoveryKey = config?.account.recoveryKey ?? null;
  if (recoveryKey === null) return "not_configured";
  if (recoveryKey.file === null) return recoveryKey.value === null ? "not_configured" : "there";
  return existsSync(recoveryKey.file) ? "there" : "absent";
}

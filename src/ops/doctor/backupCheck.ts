/** The check of the account's key backup: what the running bot makes of it, or else whether there is one. */
import { printable } from "../../protocol/printable.ts";
import type { Facts as VitalFacts } from "../../vitals.ts";
import { asSentence, ifKnown, type Check } from "./check.ts";
import type { Facts } from "./facts.ts";
import { off, ok, unknown, warning, type Verdict } from "./finding.ts";

export const backupCheck: Check = { name: "key_backup", judge: judgeBackup };

const ALONE = "room keys are in the data directory alone, and lost with it";

function judgeBackup(facts: Facts): Verdict {
  if (facts.bot.kind === "running" && facts.bot.vitals.backup.kind !== "unknown")
    return facts.bot.vitals.backup.kind === "absent" ? judgeNone(facts) : judgeFound(facts.bot.vitals.backup);
  return ifKnown(facts, facts.server.backup, (isThere) =>
    isThere
      ? unknown("The account has a key backup. Whether it is one that the bot trusts, a running bot tells.")
      : judgeNone(facts),
  );
}

function judgeNone({ configuration }: Facts): Verdict {
  const found = `The account has no key backup: ${ALONE}.`;
  const isWanted = configuration.kind === "good" && configuration.config.account.createIdentity;
  return isWanted
    ? warning(found, "`docket identity create` makes one, if the homeserver keeps backups.")
    : off(`${found} None is wanted (account.create_identity).`);
}

function judgeFound({ kind, version, counts, trouble }: VitalFacts["backup"]): Verdict {
  const named = `The account's key backup (version ${JSON.stringify(printable(version ?? "").slice(0, 40))})`;
  switch (kind) {
    case "unknown":
    case "absent":
      return unknown("The bot has not looked for the account's key backup yet.");
    case "unsupported":
      return warning(
        `${named} is of a kind that Docket does not know: ${ALONE}.`,
        "Make one of the usual kind (m.megolm_backup.v1.curve25519-aes-sha2) in another session of the account.",
      );
    case "untrusted":
      return warning(
        `${named} is not trusted: neither the account's cross-signing identity nor this device signed it, and its key is not here; ${ALONE}.`,
        "Find out who made it. If it is the account's own, `docket identity restore` with the recovery key makes it the bot's, too.",
      );
    case "upload_only":
      return warning(
        `${named} takes the bot's room keys, but its own key is not here: nothing can be taken from it.`,
        "Give the bot the recovery key, once: `docket identity restore`.",
      );
    case "in_use": {
      const has = counts === null ? "" : ` ${counts.backedUp} of ${counts.total} room keys are in it.`;
      if (trouble === null) return ok(`${named} is the bot's.${has}`);
      const problem = trouble.problem === null ? `something failed (${trouble.code}).` : asSentence(trouble.problem);
      return warning(
        `${named} is the bot's, but the last upload failed: ${problem}${has}`,
        "It is tried again. If it stays so, look at the homeserver.",
      );
    }
  }
}

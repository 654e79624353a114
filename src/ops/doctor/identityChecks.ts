/** Checks of the account's identity: whether it signs the bot's device, and whether it could be had back. */
import { configFileOf, ifKnown, withConfig, type Check } from "./check.ts";
import type { Facts, PublishedKeys } from "./facts.ts";
import { off, ok, unknown, warning, wrong, type Verdict } from "./finding.ts";

export const identityChecks: readonly Check[] = [
  {
    name: "cross_signing",
    judge: (facts) => ifKnown(facts, facts.server.keys, (keys) => judgeSignature(facts, keys)),
  },
  { name: "recovery_key", judge: withConfig((facts) => judgeRecovery(facts)) },
];

const EFFECT = "Clients that trust signed devices alone (MSC4153) give it no keys, and do not show its answers";
const WAYS_OUT =
  "Put the account's recovery key into account.recovery_key and start again; or verify the device from another session (`docket identity verify`). " +
  "Where both are lost, `docket identity reset --i-know` gives the account a new identity.";

function judgeSignature({ configuration, bot }: Facts, { signature, ed25519 }: PublishedKeys): Verdict {
  if (ed25519 === null) return unknown("The homeserver has no keys of the bot's device that could be signed.");
  // The bot says best what keeps it from it.
  const noted = bot.kind === "running" ? (bot.noted.get("identity") ?? null) : null;
  switch (signature) {
    case "signed":
      return ok("The bot's device is signed by its account; the signatures are good.");
    case "no_keys":
      if (configuration.kind === "good" && !configuration.config.account.createIdentity)
        return off(
          `The bot's account has no cross-signing keys, and none are made (account.create_identity). ${EFFECT}.`,
        );
      return warning(
        `The bot's account has no cross-signing keys, so its device is signed by nobody. ${EFFECT}.`,
        noted ?? "The bot makes them when it starts; if it runs for a while, its log says why they are not there.",
      );
    case "unsigned":
      return warning(`The bot's device is not signed by its account. ${EFFECT}.`, noted ?? WAYS_OUT);
    case "broken":
      return wrong(
        `A signature of the bot's device, or of the key that signs it, is not good. ${EFFECT}.`,
        "Sign the device again from a session that has the account's keys.",
      );
  }
}

function judgeRecovery({ recovery, server, configuration }: Facts): Verdict {
  const { isKept, configured } = recovery;
  if (isKept === true)
    return {
      ...warning(
        "The account's recovery key is in docket.db alone: who loses the data directory loses the identity and the backed-up room keys with it.",
        "Have it shown on a terminal, and keep it elsewhere.",
      ),
      command: `docket identity show --recovery-key --config ${configFileOf(configuration)}`,
    };
  if (configured === "there")
    return ok(
      "account.recovery_key is set: a new device of the bot gets the identity and the room keys back by itself.",
    );
  if (server.keys.kind === "known" && server.keys.value.signature === "no_keys")
    return off("There is no identity that could be recovered.");
  if (configured === "absent")
    return warning(
      "The file that account.recovery_key names is not there: a new device of the bot could not get the identity and the room keys back.",
      "Put the account's recovery key into that file, with mode 600. If it is lost, `docket identity reset --i-know` makes a new one, with a new identity.",
    );
  return off(
    "account.recovery_key is not set: for a new device of the bot, somebody has to bring the recovery key or verify the device.",
  );
}

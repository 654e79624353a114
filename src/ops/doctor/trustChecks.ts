/** Checks of trust: who gives the bot no keys, whose requests wait, and who can't read what the bot says. */
import type { Config } from "../../config/config.ts";
import type { TrustCensus } from "../../journal/trustCensus.ts";
import { fromJournal, several, withConfig, type Check } from "./check.ts";
import type { Facts } from "./facts.ts";
import { ok, unknown, warning, type Detail, type Verdict } from "./finding.ts";

export const trustChecks: readonly Check[] = [
  { name: "withheld_keys", judge: fromJournal(({ trust }) => judgeWithheld(trust)) },
  { name: "untrusted", judge: fromJournal(({ trust }) => judgeUntrusted(trust)) },
  { name: "unread_answers", judge: withConfig(judgeUnreadable) },
  { name: "new_identities", judge: fromJournal(({ trust }) => judgeIdentities(trust)) },
];

const WHY: Readonly<Record<string, string>> = {
  "m.unverified": "because it is unverified (m.unverified)",
  "m.blacklisted": "because the sender has blocked it (m.blacklisted)",
  "m.unauthorised": "because it may not read them (m.unauthorised)",
  "m.unavailable": "because the sender does not have them (m.unavailable)",
  "m.no_olm": "because no secure channel to it could be made (m.no_olm)",
  "m.history_not_shared": "because what was said before the bot came is not shared (m.history_not_shared)",
};

function judgeWithheld({ withheld }: TrustCensus): Verdict {
  if (withheld.length === 0) return ok("Nobody withholds keys from the bot's device.");
  const details = withheld.map(({ about, count, senders }): Detail => {
    const why = WHY[about] ?? "for a reason that no specification names";
    return {
      about,
      found: `Keys were withheld from this device ${why}: ${several(count, "event")} of ${several(senders, "sender")}.`,
    };
  });
  const [first] = details;
  const found =
    details.length === 1 && first !== undefined
      ? first.found
      : `Keys were withheld from this device, for ${withheld.map(({ about, count }) => `${about} ${count}`).join(", ")} events.`;
  const unverified = withheld.some(({ about }) => about === "m.unverified");
  return warning(
    found,
    unverified
      ? "Have the bot's device signed by its account: the finding cross_signing says what is missing. What is withheld already stays unread."
      : "Ask the senders: only their clients can give the bot the keys.",
    details.length === 1 ? {} : { details },
  );
}

function judgeUntrusted({ untrusted: { count, senders } }: TrustCensus): Verdict {
  if (count === 0) return ok("No event waits for its sender's device to be cross-signed.");
  return warning(
    `${several(count, "event")} of ${several(senders, "sender")} ${count === 1 ? "waits" : "wait"}, because the device that sent ${count === 1 ? "it" : "them"} is not cross-signed (encryption.decrypt_from). They are in the record, and are not answered.`,
    "Have the senders verify their devices; the events are then taken up by themselves.",
  );
}

function judgeUnreadable({ bot }: Facts, { encryption }: Config): Verdict {
  if (bot.kind !== "running") return unknown("Only a running bot knows who can't read what it said last.");
  const { unreadable } = bot.vitals;
  if (unreadable.length === 0)
    return ok(
      encryption.sendTo === "all"
        ? "Every device gets the keys of what the bot says (encryption.send_to)."
        : "Every member whom the bot has sent something to has a device that may read it.",
    );
  const members = [...new Set(unreadable.map(({ userId }) => userId))];
  const details = unreadable.map(({ userId, roomId, reason }): Detail => {
    const why =
      reason === "unsigned"
        ? "has no cross-signed device"
        : "has another identity than the one that the bot has verified";
    return { about: userId, found: `${userId} ${why}, and can't read what is said in ${roomId}.` };
  });
  return warning(
    `The answers to these members can't be read by them: ${named(members)}.`,
    "They have to set up cross-signing and verify their devices, and those whose identity has changed have to be verified anew; or have encryption.send_to be all, and the keys go to every device.",
    { details },
  );
}

function judgeIdentities({ identityChanges }: TrustCensus): Verdict {
  if (identityChanges.length === 0) return ok("Nobody's identity has become another one since yesterday.");
  const users = identityChanges.map(({ about }) => about);
  return warning(
    `Since yesterday ${several(users.length, "user has another identity", "users have another identity")} than before: ${named(users)}.`,
    "Ask them whether it was they: people who lose all their devices start anew so, and somebody who takes over an account does too.",
    {
      details: identityChanges.map(({ about, changes, wasVerified }) => ({
        about,
        found: `It has changed ${several(changes, "time")}${wasVerified ? "; the bot had verified the one before, and gives this one no keys" : ""}.`,
      })),
    },
  );
}

const MOST_NAMED = 5;

function named(users: readonly string[]): string {
  const rest = users.length - MOST_NAMED;
  return users.slice(0, MOST_NAMED).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}

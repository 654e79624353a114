/** Checks of the bot's device and of its keys on the homeserver. */
import { backupCheck } from "./backupCheck.ts";
import { FEW_KEYS } from "../../vitals.ts";
import { ifKnown, sentence, type Check } from "./check.ts";
import type { Facts, KeyCounts, PublishedKeys } from "./facts.ts";
import { identityChecks } from "./identityChecks.ts";
import { ok, unknown, warning, wrong, type Verdict } from "./finding.ts";

export const deviceChecks: readonly Check[] = [
  { name: "device", judge: judgeDevice },
  { name: "device_keys", judge: (facts) => ifKnown(facts, facts.server.keys, (keys) => judgeKeys(facts, keys)) },
  ...identityChecks,
  backupCheck,
  { name: "one_time_keys", judge: (facts) => ifKnown(facts, facts.server.oneTimeKeys, judgeCounts) },
];

function judgeDevice(facts: Facts): Verdict {
  return ifKnown(facts, facts.server.device, (device) => {
    if (device === null)
      return wrong("The homeserver does not know the bot's device.", "Sign in again, which makes a new one.");
    if (device.displayName === null)
      return ok("The homeserver knows the bot's device. It has no name, which people would see in a list of devices.");
    return ok(`The homeserver knows the bot's device, and calls it ${quoted(device.displayName)}.`);
  });
}

/** A name is somebody's text. */
function quoted(name: string): string {
  return JSON.stringify(name.slice(0, 100)).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\u{fffd}");
}

function judgeKeys({ identity, bot }: Facts, keys: PublishedKeys): Verdict {
  if (identity.kind === "failed")
    return wrong(
      `The device's keys in the data directory could not be read: ${sentence(identity.failure)}`,
      "See data_directory.",
    );
  if (keys.ed25519 === null && bot.kind === "running" && bot.vitals.ownKeys === "none")
    return wrong(
      "The homeserver does not show the keys of the bot's device any more: the device was deleted there, and nobody can encrypt for the bot.",
      "Sign in again with a new, empty data.directory; keep this one, which holds the record.",
    );
  if (keys.ed25519 === null) {
    const advice = "It uploads them when it starts; if it runs for a while, its log says why they are not there.";
    const hadTime = bot.kind === "running" && bot.health.phase === "running";
    return (hadTime ? wrong : warning)("The homeserver has no keys of the bot's device.", advice);
  }
  if (identity.kind === "not_asked") return unknown(identity.why);
  if (keys.ed25519 !== identity.value.ed25519 || keys.curve25519 !== identity.value.curve25519)
    return wrong(
      "The homeserver has other keys of the bot's device than the data directory: nobody can encrypt for the bot.",
      "Use the data directory with the keys of this device; or, if it is gone, sign in again and give the new device an empty data.directory.",
    );
  return ok("The homeserver has the keys of the bot's device, as they stand in the data directory.");
}

function judgeCounts({ oneTimeKeys, hasFallback }: KeyCounts): Verdict {
  const advice =
    "The bot uploads new ones while it runs. If it stays so, look at the homeserver, and at the bot's log for key requests that fail.";
  const fallback = hasFallback === true ? ", and a fallback key" : "";
  if (oneTimeKeys === 0 && hasFallback === false)
    return wrong(
      "The homeserver has no one-time key and no fallback key: new devices can't give the bot their keys.",
      advice,
    );
  if (oneTimeKeys < FEW_KEYS)
    return warning(`The homeserver has only ${oneTimeKeys} one-time keys of the bot${fallback}.`, advice);
  return ok(`The homeserver has ${oneTimeKeys} one-time keys of the bot${fallback}.`);
}

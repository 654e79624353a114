/** Checks of the rooms that the bot is in. */
import type { Config } from "../../config/config.ts";
import { fromJournal, ifKnown, sentence, several, withConfig, type Check } from "./check.ts";
import type { Facts, RoomPower } from "./facts.ts";
import { off, ok, unknown, warning, wrong, type Detail, type Verdict } from "./finding.ts";
import { neededFor } from "./powerLevels.ts";
import { sendTypes } from "./sendTypes.ts";

export const roomChecks: readonly Check[] = [
  {
    name: "rooms",
    judge: withConfig((facts, config) => fromJournal(({ joined }) => judgeRooms(joined.length, config))(facts)),
  },
  { name: "power_levels", judge: withConfig(judgePower) },
];

function judgeRooms(count: number, { invites }: Config): Verdict {
  const found = `The bot is in ${several(count, "room")}`;
  if (count >= invites.maxRooms)
    return warning(`${found}, as many as invites.max_rooms allows.`, "Raise it, or let the bot leave rooms.");
  if (count === 0)
    return ok(
      invites.accept.length === 0
        ? `${found}, and accepts invitations from nobody (invites.accept).`
        : `${found}. Invite it into one.`,
    );
  return ok(`${found}.`);
}

function judgePower(facts: Facts, config: Config): Verdict {
  const { rooms, whoami } = facts.server;
  if (sendTypes(config, false).length === 0) return off("The configuration wants nothing sent into rooms.");
  if (facts.journal.kind !== "known") return unknown("Which rooms the bot is in is not known.");
  if (whoami.kind !== "known") return ifKnown(facts, whoami, () => ok(""));
  if (rooms.length === 0) return ok("The bot is in no room that could keep it from answering.");
  const silenced = rooms.flatMap((room) => whatIsMissing(room, config));
  if (silenced.length > 0)
    return wrong(
      `In ${several(silenced.length, "room")} of ${rooms.length} the bot may not send what it has to.`,
      "Have an administrator of the room raise the bot's power level, or lower what these event types need.",
      { details: silenced },
    );
  const unanswered = rooms.flatMap(({ roomId, levels }): Detail[] =>
    levels.kind === "failed" ? [{ about: roomId, found: sentence(levels.failure) }] : [],
  );
  if (unanswered.length > 0)
    return unknown(`Of ${several(unanswered.length, "room")} the homeserver did not tell who may send what.`, null, {
      details: unanswered,
    });
  return ok(`The bot may answer in ${rooms.length === 1 ? "the room" : `all ${rooms.length} rooms`} that it is in.`);
}

function whatIsMissing({ roomId, encrypted, levels }: RoomPower, config: Config): Detail[] {
  if (levels.kind !== "known") return [];
  const refused = sendTypes(config, encrypted).filter((type) => neededFor(type, levels.value) > levels.value.own);
  if (refused.length === 0) return [];
  const needed = refused.map((type) => `${type} needs ${neededFor(type, levels.value)}`).join(", ");
  return [{ about: roomId, found: `The bot's power level is ${levels.value.own}; ${needed}.` }];
}

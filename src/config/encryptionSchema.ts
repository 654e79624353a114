/** The part of the configuration's schema about encrypted rooms: whose devices are trusted with what. */
import { z } from "zod";
import { duration, userId } from "./leaves.ts";

const YEAR_MS = 365 * 86_400_000;

export const encryption = z
  .strictObject({
    decrypt_from: z.enum(["any", "cross_signed"]).default("any").meta({
      description:
        "Whose events are handled: those of any device, or only of devices that their owners have cross-signed. What was known of the device is recorded either way.",
    }),
    send_to: z.enum(["all", "cross_signed"]).default("cross_signed").meta({
      description:
        "Which devices of the members can read the answers: all, or only those that their owners have cross-signed (MSC4153).",
    }),
    verifiers: z.array(userId("A user ID, in quotes.")).default([]).meta({
      description: "Users who may verify the bot, beside the account's own other sessions.",
      uniqueItems: true,
    }),
    plain_in_encrypted_room: z.enum(["accept", "warn", "refuse"]).default("warn").meta({
      description:
        "What to do with a request that was sent unencrypted into an encrypted room: accept it, answer with a warning, or refuse it.",
    }),
    wait_for_keys: duration("How long an event that can't be decrypted yet waits for its key.", {
      minMs: 0,
      maxMs: 10 * YEAR_MS,
    }).prefault("7d"),
  })
  .prefault({})
  .meta({ description: "Encrypted rooms." });

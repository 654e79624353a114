/**
 * Takes over room keys that another client has exported, for `docket keys import`. The command reads and decrypts the file, and hands
 * over one batch for each question: so the bot needs neither the file, which it may not be able to see, nor its passphrase, and holds
 * no more than a batch. Guarantee: what was taken stays, and wakes what is parked for it, however this ends; so it may be repeated.
 */
import { z } from "zod";
import { unpark } from "../../journal/parking.ts";
import type { JsonValue } from "../../protocol/json.ts";
import type { DeviceOperation } from "./deviceOperation.ts";

const taken = z.object({
  /** New, or better than what was there. */
  imported: z.number(),
  /** There already. */
  known: z.number(),
  /** No room keys. */
  refused: z.number(),
});
export type TakenRoomKeys = z.output<typeof taken>;

export const importRoomKeys: DeviceOperation<null, TakenRoomKeys, TakenRoomKeys, "next", readonly JsonValue[]> = {
  name: "keys-import",
  input: z.null(),
  report: taken,
  result: taken,
  question: z.literal("next"),
  /** An empty one is the end. */
  reply: z.array(z.json()) as unknown as z.ZodType<readonly JsonValue[]>,
  async run({ session: { engine }, database }, _, talk) {
    let sum: TakenRoomKeys = { imported: 0, known: 0, refused: 0 };
    for (;;) {
      const keys = await talk.ask("next");
      talk.signal.throwIfAborted();
      if (keys.length === 0) return sum;
      const { sessions, ...batch } = await engine.roomKeyImport.take(keys);
      // What was there before too: a kill may have come between the keys and this, and then it is repeated.
      database.transaction(() => unpark(database, sessions));
      sum = {
        imported: sum.imported + batch.imported,
        known: sum.known + batch.known,
        refused: sum.refused + batch.refused,
      };
      talk.tell(sum);
    }
  },
};

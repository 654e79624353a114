/** `docket identity show --recovery-key`: gives the recovery key that nobody has yet to the person at the terminal. */
import { z } from "zod";
import { IdentityDrafts } from "../../journal/identityDrafts.ts";
import type { DeviceOperation } from "./deviceOperation.ts";
import { identityQuestion, identityReply, type IdentityQuestion, type IdentityReply } from "./identityTalk.ts";
import { handOver } from "./makeIdentity.ts";

const handedOver = z.object({
  /** `none`: there is no key that nobody has. */
  recoveryKey: z.enum(["none", "file", "shown", "kept"]),
});
export type HandedOver = z.output<typeof handedOver>;

export const handOverRecoveryKey: DeviceOperation<null, never, HandedOver, IdentityQuestion, IdentityReply> = {
  name: "identity-recovery-key",
  input: z.null(),
  report: z.never(),
  result: handedOver,
  question: identityQuestion,
  reply: identityReply,
  async run({ database, log }, _input, talk) {
    return { recoveryKey: (await handOver(new IdentityDrafts(database), null, talk, log)) ?? "none" };
  },
};

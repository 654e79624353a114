/** What work on the account's identity asks the person at the terminal. What is answered may be a secret: it goes nowhere else. */
import { z } from "zod";

export const identityQuestion = z.discriminatedUnion("kind", [
  /** `again`: the homeserver did not accept the last one. */
  z.object({ kind: z.literal("password"), userId: z.string(), again: z.boolean() }),
  /** `problem`: why the last one is none, in a sentence. */
  z.object({ kind: z.literal("recovery_key"), problem: z.string().nullable() }),
  /** To be shown, once. Any text in reply says that it was. */
  z.object({ kind: z.literal("show"), recoveryKey: z.string() }),
]);
export type IdentityQuestion = z.output<typeof identityQuestion>;

/** Null: nobody is there to ask, or nothing was given. */
export const identityReply = z.object({ text: z.string().nullable() });
export type IdentityReply = z.output<typeof identityReply>;

/** Somebody has to open it in a browser; null where the homeserver does not say where. */
export const identityReport = z.object({ approvalUrl: z.string().nullable() });
export type IdentityReport = z.output<typeof identityReport>;

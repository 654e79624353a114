/** The step `acknowledge`: success, with a message if the operator gave one. Says "received and understood", no more. */
import { z } from "zod";
import type { StepKind, Verdict } from "./step.ts";

const options = z
  .strictObject({
    message: z.string().min(1).max(1000).describe("What the sender is told, as a message of type `info`."),
  })
  .optional();

export const acknowledge: StepKind<z.infer<typeof options>> = {
  name: "acknowledge",
  description: "Answers success, with an optional message.",
  options,
  prepare: async (chosen) => {
    const verdict: Verdict =
      chosen === undefined
        ? { status: "success" }
        : { status: "success", messages: [{ type: "info", text: chosen.message }] };
    return { run: async () => verdict };
  },
};

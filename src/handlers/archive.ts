/**
 * The step `archive`: success once the event is durably in the record. It does not write: the recorder has kept every selected
 * event before any handler runs; this step waits for that and vouches for it.
 */
import { z } from "zod";
import type { StepKind } from "./step.ts";

const options = z.never({ error: "archive takes no options: write just `- archive`" }).optional();

export const archive: StepKind<undefined> = {
  name: "archive",
  description: "Answers success once the event is durably in the record.",
  needsRecord: true,
  options,
  prepare: async () => ({
    run: async (_event, context) => {
      const receipt = await context.recorded();
      if (receipt !== null) return { status: "success" };
      // The configuration is at fault, but a success would be a lie, and silence would not be noticed.
      return {
        status: "error",
        code: "handler_failed",
        messages: [
          { type: "error", text: "Events of this type are not selected for the record, so this one was not kept" },
        ],
      };
    },
  }),
};

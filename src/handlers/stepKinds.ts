/** All kinds of steps that a configuration can name. The configuration's schema is made from this list. */
import { acknowledge } from "./acknowledge.ts";
import { archive } from "./archive.ts";
import type { StepKind } from "./step.ts";
import { validate } from "./validate.ts";

export const stepKinds: readonly StepKind[] = [acknowledge, archive, validate];

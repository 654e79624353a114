/** All checks, in the order in which they are told. A new one is one more entry here, or in the list of its kind. */
import type { Check } from "./check.ts";
import { deviceChecks } from "./deviceChecks.ts";
import type { Facts } from "./facts.ts";
import type { Finding } from "./finding.ts";
import { installationChecks } from "./installationChecks.ts";
import { messageChecks } from "./messageChecks.ts";
import { roomChecks } from "./roomChecks.ts";
import { serverChecks } from "./serverChecks.ts";
import { trustChecks } from "./trustChecks.ts";

export const doctorChecks: readonly Check[] = [
  ...installationChecks,
  ...serverChecks,
  ...deviceChecks,
  ...messageChecks,
  ...trustChecks,
  ...roomChecks,
];

export function examine(facts: Facts): readonly Finding[] {
  return doctorChecks.map(({ name, judge }) => ({ check: name, ...judge(facts) }));
}

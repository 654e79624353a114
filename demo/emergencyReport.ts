/** A report that schemas/emergency-report.json accepts, and one that it does not. No real person or place is in them. */
import type { JsonObject } from "../src/protocol/json.ts";

/** @param canary text that must not show up in a log or an answer */
export function emergencyReport(canary: string): JsonObject {
  return {
    incident: { place: `Bridge Street 3, ${canary}`, time: "2026-01-31T09:15:00Z", keyword: "breathing" },
    patient: { count: 1, age: 71, conscious: true },
    crew: { call_sign: "Ambulance 3" },
    remarks: canary,
  };
}

/** What the real use fears: the place of the incident is missing. And a number that is none. */
export function reportWithoutPlace(canary: string): JsonObject {
  const incident = { time: "2026-01-31T09:15:00Z", keyword: "breathing" };
  return { ...emergencyReport(canary), incident, patient: { count: canary } };
}

/** What the demo asks of the bot, and what must come back: data only. */
import type { JsonObject, JsonValue } from "../src/protocol/json.ts";
import { emergencyReport, reportWithoutPlace } from "./emergencyReport.ts";
import type { Dialect } from "./sender/seenEvent.ts";

export type Expected =
  | { readonly kind: "nothing" }
  | { readonly kind: "success" }
  /** A success that lists these events, as they stood in the question. */
  | { readonly kind: "understands"; readonly events: readonly JsonValue[] }
  /** `says`: what its message must contain, so that people know what to mend. */
  | { readonly kind: "error"; readonly code: string; readonly says: string };

export interface Ask {
  /** In plain words. */
  readonly asked: string;
  readonly type: string;
  readonly content: JsonObject;
  /** In which dialect it asks for a status; null when it asks for nothing. */
  readonly dialect: Dialect | null;
  readonly expected: Expected;
  /** `late key`: the room key is handed out only after the event. `replay`: the bytes of the ask before it, once more. */
  readonly how?: "late key" | "replay";
}

export interface Cast {
  readonly senderDevice: string;
  readonly botDevice: string;
  /** Stands in every body, and must never be seen in the bot's log. */
  readonly canary: string;
  /** Of requests, in milliseconds. */
  readonly lifetimeMs: number;
}

const REQUEST: Readonly<Record<Dialect, string>> = {
  stable: "m.request.status",
  msc4300: "de.gematik.msc4300.request.status",
  gematik: "de.gematik.request.status",
};
/** MSC4301. */
const CAPABILITIES = "m.request.event_capability";
const REPORT = "de.divi.notfalleinsatzprotokoll.v1";

export function scenario(cast: Cast, room: "encrypted" | "plain"): readonly Ask[] {
  const report = emergencyReport(cast.canary);
  const message = { msgtype: "m.text", body: `Ambulance 3 is on its way. ${cast.canary}` };
  const block = { from_device: cast.senderDevice, lifetime: cast.lifetimeMs };
  const ask = (
    asked: string,
    type: string,
    content: JsonObject,
    request: JsonValue,
    expected: Expected,
    dialect: Dialect = "stable",
  ): Ask => ({ asked, type, content: { ...content, [REQUEST[dialect]]: request }, dialect, expected });

  const success: Expected = { kind: "success" };
  const nothing: Expected = { kind: "nothing" };
  const understood = [{ type: REPORT }, { type: "m.room.message", content: [{ key: "msgtype", value: "m.notice" }] }];
  const inQuestion = [{ type: `org.example.unheard_of.${room}` }, ...understood];
  const unknownType = `org.example.unheard_of.${room}`;
  const asks: Ask[] = [
    ask("a valid emergency report", REPORT, report, block, success),
    ask("an emergency report without its place", REPORT, reportWithoutPlace(cast.canary), block, {
      kind: "error",
      code: "invalid_content",
      says: "incident.place",
    }),
    ask("a type that nobody handles", unknownType, { note: cast.canary }, block, {
      kind: "error",
      code: "unknown_type",
      says: unknownType,
    }),
    ask(
      "a malformed request (no from_device)",
      REPORT,
      report,
      { lifetime: cast.lifetimeMs, note: cast.canary },
      {
        kind: "error",
        code: "malformed_request",
        says: "from_device",
      },
    ),
    ask(
      "a message, addressed to this bot",
      "m.room.message",
      message,
      { ...block, to_device: cast.botDevice },
      success,
    ),
    ask("a report for another device", REPORT, report, { ...block, to_device: "SOMEBODYELSE" }, nothing),
    ask("an expired report (lifetime 0)", REPORT, report, { ...block, lifetime: 0 }, nothing),
    ask("the same in MSC4300's words", REPORT, report, block, success, "msc4300"),
    ask("the same in the health network's words", REPORT, report, block, success, "gematik"),
    ask("which of these events it understands", CAPABILITIES, { [CAPABILITIES]: { events: inQuestion } }, block, {
      kind: "understands",
      events: understood,
    }),
    { asked: "an ordinary message", type: "m.room.message", content: message, dialect: null, expected: nothing },
  ];
  if (room === "encrypted") {
    asks.push(
      { ...ask("a report whose key comes late", REPORT, report, block, success), how: "late key" },
      { ...ask("the same ciphertext once more", REPORT, report, block, nothing), how: "replay" },
    );
  }
  return asks;
}

/** A request that is always answered: when its answer is there, what was asked before it had its chance. */
export function fence(cast: Cast): Ask {
  const block = { from_device: cast.senderDevice, lifetime: cast.lifetimeMs };
  const content = { msgtype: "m.text", body: `Are you there? ${cast.canary}`, [REQUEST.stable]: block };
  return { asked: "a fence", type: "m.room.message", content, dialect: "stable", expected: { kind: "success" } };
}

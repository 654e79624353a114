/** What the independent sender knows of a room: members, encryption, history visibility; fed from state events only. */
import type { JsonObject } from "../../src/protocol/json.ts";

export class SenderRoom {
  readonly id: string;
  readonly members = new Map<string, string>();
  /** Once true it stays true, whatever the server says later. */
  encrypted = false;
  historyVisibility = "shared";
  rotationPeriodMs: number | null = null;
  rotationPeriodMessages: number | null = null;

  constructor(id: string) {
    this.id = id;
  }

  /** Takes a state event; ignores those that say nothing about recipients or encryption. */
  applyState(event: JsonObject): void {
    const { type, state_key: stateKey } = event;
    const content = (event["content"] ?? {}) as JsonObject;
    if (typeof stateKey !== "string") return;
    if (type === "m.room.member" && typeof content["membership"] === "string") {
      this.members.set(stateKey, content["membership"]);
    } else if (type === "m.room.history_visibility" && typeof content["history_visibility"] === "string") {
      this.historyVisibility = content["history_visibility"];
    } else if (type === "m.room.encryption" && content["algorithm"] === "m.megolm.v1.aes-sha2") {
      this.encrypted = true;
      this.rotationPeriodMs = numberOrNull(content["rotation_period_ms"]);
      this.rotationPeriodMessages = numberOrNull(content["rotation_period_msgs"]);
    }
  }

  /** Members who may read what is sent now: the joined ones, and the invited ones unless history is for the joined only. */
  recipients(): readonly string[] {
    const readers = this.historyVisibility === "joined" ? ["join"] : ["join", "invite"];
    return [...this.members].filter(([, membership]) => readers.includes(membership)).map(([userId]) => userId);
  }
}

function numberOrNull(value: unknown): number | null {
  return typeof value === "number" ? value : null;
}

/** Which event types the bot wants to send in a room. Pure. */
import type { Config } from "../../config/config.ts";
import { dialects } from "../../protocol/dialects.ts";

/** Answers in the dialects of the configuration, and the notice; in an encrypted room all of them go as one type. */
export function sendTypes(config: Pick<Config, "responses" | "invites">, encrypted: boolean): readonly string[] {
  const answers = config.responses.dialects.map((dialect) => dialects[dialect].responseType);
  const types = [...answers, ...(config.invites.notice === null ? [] : ["m.room.message"])];
  return encrypted && types.length > 0 ? ["m.room.encrypted"] : types;
}

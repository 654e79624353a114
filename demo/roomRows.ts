/** Rows about what the bot does in rooms without being asked: it joins where it may, says what it does there, and stays away elsewhere. */
import type { JsonValue } from "../src/protocol/json.ts";
import type { Sender } from "./sender/sender.ts";
import { asArray, asObject, type SeenEvent } from "./sender/seenEvent.ts";
import type { Row } from "./wire.ts";

const row = (where: string, asked: string, expected: string, rest: Partial<Row>): Row => ({
  ok: (rest.problems ?? []).length === 0,
  where,
  asked,
  answer: "",
  expected,
  problems: [],
  tookMs: null,
  receivedBy: [],
  eventId: null,
  ...rest,
});

/** What can't be shown on this homeserver. @param why in words */
export function notHereRow(where: string, asked: string, why: string): Row {
  return row(where, asked, "", { ok: null, answer: `not here: ${why}` });
}

export function joinRow(where: string, tookMs: number): Row {
  return row(where, "an invitation to a private room", "joined", { answer: "joined", tookMs });
}

/** Every notice of the bot in a room, in order of arrival. */
export function noticesOf(sender: Sender, roomId: string, botUserId: string): readonly SeenEvent[] {
  return [...sender.events.values()].filter(
    (event) => event.roomId === roomId && event.sender === botUserId && event.content["msgtype"] === "m.notice",
  );
}

/** Waits for the bot's notice. @param timeoutMs milliseconds */
export async function noticeRow(
  sender: Sender,
  at: { readonly where: string; readonly roomId: string; readonly botUserId: string; readonly encrypted: boolean },
  timeoutMs: number,
): Promise<Row> {
  const { where, roomId, botUserId, encrypted } = at;
  const look = (): SeenEvent | undefined => noticesOf(sender, roomId, botUserId)[0];
  const notice = await sender.waitFor(look, timeoutMs, "the notice").catch(() => undefined);
  const problems: string[] = [];
  if (notice === undefined) problems.push("nothing was said");
  else if (notice.encrypted !== encrypted) problems.push(encrypted ? "it was said in the clear" : "it is encrypted");
  return row(where, "nothing, on joining", "what it does there", {
    answer: notice === undefined ? "nothing" : `"${String(notice.content["body"]).trim()}"`,
    problems,
    eventId: notice?.eventId ?? null,
  });
}

/** The bot's profile says ahead of any question what it understands (MSC4401), under a key that ends in its device's ID. */
export async function profileRow(
  sender: Sender,
  bot: { readonly userId: string; readonly deviceId: string },
  timeoutMs: number,
): Promise<Row> {
  const asked = "its profile: what it understands";
  const { versions, unstableFeatures } = await sender.versions();
  const since16 = versions.some((version) => Number(/^v1\.(\d+)$/.exec(version)?.[1]) >= 16);
  if (!since16 && unstableFeatures["uk.tcpip.msc4133.stable"] !== true)
    return notHereRow("bot", asked, "this homeserver keeps no such profile fields (MSC4133)");
  const key = `de.gematik.msc4401.client_capability.${bot.deviceId}`;
  const look = async (): Promise<JsonValue | undefined> => (await sender.profileField(bot.userId, key)) ?? undefined;
  const field = await sender.waitFor(look, timeoutMs, "the profile field").catch(() => null);
  const types = asArray(asObject(field ?? undefined)["events"]).map((event) => String(asObject(event)["type"]));
  return row("bot", asked, "the event types of its handlers", {
    answer: field === null ? "nothing" : [...new Set(types)].join(", "),
    problems: types.includes("m.room.message") ? [] : ["m.room.message is not among them"],
  });
}

export function publicRoomRow(membership: string | null): Row {
  const problems = membership === "invite" ? [] : ["the bot went there"];
  return row("public", "an invitation to a public room", "not joined", {
    answer: membership === "invite" ? "not joined" : String(membership),
    problems,
  });
}

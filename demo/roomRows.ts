/** Rows about what the bot does in rooms without being asked: it joins where it may, says what it does there, and stays away elsewhere. */
import type { Sender } from "./sender/sender.ts";
import type { SeenEvent } from "./sender/seenEvent.ts";
import type { Row } from "./wire.ts";

const NOTICE_MS = 10_000;

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

export function joinRow(where: string, tookMs: number): Row {
  return row(where, "an invitation to a private room", "joined", { answer: "joined", tookMs });
}

/** Every notice of the bot in a room, in order of arrival. */
export function noticesOf(sender: Sender, roomId: string, botUserId: string): readonly SeenEvent[] {
  return [...sender.events.values()].filter(
    (event) => event.roomId === roomId && event.sender === botUserId && event.content["msgtype"] === "m.notice",
  );
}

/** Waits for the bot's notice. */
export async function noticeRow(
  sender: Sender,
  at: { readonly where: string; readonly roomId: string; readonly botUserId: string; readonly encrypted: boolean },
): Promise<Row> {
  const { where, roomId, botUserId, encrypted } = at;
  const look = (): SeenEvent | undefined => noticesOf(sender, roomId, botUserId)[0];
  const notice = await sender.waitFor(look, NOTICE_MS, "the notice").catch(() => undefined);
  const problems: string[] = [];
  if (notice === undefined) problems.push("nothing was said");
  else if (notice.encrypted !== encrypted) problems.push(encrypted ? "it was said in the clear" : "it is encrypted");
  return row(where, "nothing, on joining", "what it does there", {
    answer: notice === undefined ? "nothing" : `"${String(notice.content["body"]).trim()}"`,
    problems,
    eventId: notice?.eventId ?? null,
  });
}

export function publicRoomRow(membership: string | null): Row {
  const problems = membership === "invite" ? [] : ["the bot went there"];
  return row("public", "an invitation to a public room", "not joined", {
    answer: membership === "invite" ? "not joined" : String(membership),
    problems,
  });
}

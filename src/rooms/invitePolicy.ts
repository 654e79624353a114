/** Who may invite the bot. */
import type { UserId } from "../protocol/ids.ts";

/**
 * @param accept patterns of user IDs, with `*` for any run of characters; empty accepts nobody
 * @returns whether an invitation from this user is accepted
 */
export function invitePolicy(accept: readonly string[]): (inviter: UserId) => boolean {
  const patterns = accept.map((pattern) => new RegExp(`^${pattern.split("*").map(escaped).join(".*")}$`, "s"));
  return (inviter) => patterns.some((pattern) => pattern.test(inviter));
}

function escaped(text: string): string {
  return text.replace(/[\\^$.+?()[\]{}|/-]/g, "\\$&");
}

/** The server part of a user ID: what a room without a server part in its own ID is joined through. */
export function serverOf(userId: UserId): string | null {
  const colon = userId.indexOf(":");
  return colon === -1 || colon === userId.length - 1 ? null : userId.slice(colon + 1);
}

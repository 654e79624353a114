/** Who may invite the bot. */
import type { UserId } from "../protocol/ids.ts";

/**
 * @param accept patterns of user IDs, with `*` for any run of characters; empty accepts nobody
 * @returns whether an invitation from this user is accepted
 */
export function invitePolicy(accept: readonly string[]): (inviter: UserId) => boolean {
  const patterns = accept.map((pattern) => halves(pattern).map(wildcard));
  return (inviter) => {
    // Half by half: a wildcard in the name must not reach into the server, or the reverse.
    const parts = halves(inviter);
    return patterns.some((pattern) => pattern.every((half, place) => half.test(parts[place] ?? "")));
  };
}

/** Name and server; the server may hold a port, so the first colon counts. */
function halves(id: string): [string, string] {
  const colon = id.indexOf(":");
  return colon === -1 ? [id, ""] : [id.slice(0, colon), id.slice(colon + 1)];
}

function wildcard(pattern: string): RegExp {
  return new RegExp(`^${pattern.split("*").map(escaped).join(".*")}$`, "s");
}

function escaped(text: string): string {
  return text.replace(/[\\^$.+?()[\]{}|/-]/g, "\\$&");
}

/** The server part of a user ID: what a room without a server part in its own ID is joined through. */
export function serverOf(userId: UserId): string | null {
  return halves(userId)[1] || null;
}

/** Which invitations are accepted, and what is said to the others. Pure. */
import type { EpochMs } from "../clock.ts";
import type { UserId } from "../protocol/ids.ts";

/** The operator's choices (`invites` in the configuration). */
export interface InvitePolicy {
  /** Patterns of user IDs, with `*` for any run of characters; empty accepts nobody. */
  readonly accept: readonly string[];
  readonly publicRooms: boolean;
  readonly maxRooms: number;
  readonly maxPerHour: number;
}

/** How things stand when an invitation is judged. */
export interface Residency {
  readonly now: EpochMs;
  /** Rooms that the bot is in, and those that it is joining now. */
  readonly rooms: number;
  readonly joining: number;
  /** When invitations were accepted within the last hour, newest first. */
  readonly accepted: readonly EpochMs[];
}

export type InviteRefusal = "inviter_not_allowed" | "public_room" | "too_many_rooms";

export type InviteVerdict =
  | { readonly kind: "accept" }
  | { readonly kind: "refuse"; readonly refusal: InviteRefusal }
  /** There is no place for it now. */
  | { readonly kind: "wait"; readonly until: EpochMs }
  /** There is a place for it only if a join that is under way fails. */
  | { readonly kind: "busy" };

export const HOUR_MS = 3_600_000;

/** @param invite.joinRule null where the invitation does not show it: then it is looked at after the join */
export function judgeInvite(
  invite: { readonly inviter: UserId; readonly joinRule: string | null },
  policy: InvitePolicy,
  at: Residency,
): InviteVerdict {
  if (!isListed(invite.inviter, policy.accept)) return { kind: "refuse", refusal: "inviter_not_allowed" };
  if (invite.joinRule === "public" && !policy.publicRooms) return { kind: "refuse", refusal: "public_room" };
  if (at.rooms >= policy.maxRooms) return { kind: "refuse", refusal: "too_many_rooms" };
  if (at.rooms + at.joining >= policy.maxRooms) return { kind: "busy" };
  const oldest = at.accepted[policy.maxPerHour - 1];
  if (oldest !== undefined) return { kind: "wait", until: oldest + HOUR_MS };
  if (at.accepted.length + at.joining >= policy.maxPerHour) return { kind: "busy" };
  return { kind: "accept" };
}

/** What an inviter is told, as the reason of the refusal. */
export const refusalTexts: Readonly<Record<InviteRefusal, string>> = {
  inviter_not_allowed: "I join rooms only when somebody invites me whom my operator has listed.",
  public_room: "I do not join rooms that anybody may join.",
  too_many_rooms: "I am in as many rooms as my operator allows.",
};

/** @param accept patterns of user IDs */
export function isListed(inviter: UserId, accept: readonly string[]): boolean {
  // Half by half: a wildcard in the name must not reach into the server, or the reverse.
  const parts = halves(inviter);
  return accept.some((pattern) => halves(pattern).every((half, place) => wildcard(half).test(parts[place] ?? "")));
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

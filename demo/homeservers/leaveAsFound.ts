/**
 * Accounts that are somebody's are left as they were found: the rooms of the demo are left and forgotten, what the bot put into
 * its profile is taken away, and both devices are signed out, their keys with them. The rooms are known by a mark in their creation, so that
 * those of a run that was killed are found too.
 */
import type { JsonObject } from "../../src/protocol/json.ts";
import { HttpRefused, MatrixHttp, segment } from "../sender/matrixHttp.ts";
import { asArray, asObject } from "../sender/seenEvent.ts";
import type { SignedIn } from "./signIn.ts";

/** Stands in the creation of each room that the demo makes. */
export const ROOM_MARK: JsonObject = { "io.github.matrix-docket.demo": true };

/** An account, and the rooms that it was in before. */
export interface Guest extends SignedIn {
  readonly roomsBefore: readonly string[];
}

const V3 = "/_matrix/client/v3";

/**
 * Never throws; tries all of it, whatever fails.
 * @param signal ends it early
 * @returns what could not be done, in sentences that say what is left to do by hand
 */
export async function leaveAsFound(baseUrl: string, guests: readonly Guest[], signal: AbortSignal): Promise<string[]> {
  const problems: string[] = [];
  const rooms = new Set<string>();
  for (const guest of guests) {
    for (const roomId of await demoRooms(httpOf(baseUrl, guest), guest, signal).catch(() => [])) rooms.add(roomId);
  }
  await Promise.all(
    guests.map(async (guest) => {
      const http = httpOf(baseUrl, guest);
      for (const roomId of rooms) {
        await leave(http, roomId, signal).catch((error: unknown) => {
          problems.push(`${guest.userId} could not leave the room ${roomId} (${words(error)}): leave it by hand.`);
        });
      }
      await clearProfile(http, guest, signal).catch(() => undefined);
      await signOut(http, signal).catch((error: unknown) => {
        problems.push(
          `${guest.userId} could not be signed out (${words(error)}): remove the device ${guest.deviceId} by hand.`,
        );
      });
    }),
  );
  return problems;
}

/** @returns rooms that the account is joined to */
export async function joinedRooms(http: MatrixHttp, signal?: AbortSignal): Promise<readonly string[]> {
  const answer = await http.call("GET", `${V3}/joined_rooms`, withSignal(signal));
  return asArray(answer["joined_rooms"]).map(String);
}

/** Whether the demo made the room; the account must be in it. */
export async function isDemoRoom(http: MatrixHttp, roomId: string, signal?: AbortSignal): Promise<boolean> {
  return isMarked(await http.call("GET", `${V3}/rooms/${segment(roomId)}/state/m.room.create/`, withSignal(signal)));
}

/** The account's open invitations, as the homeserver shows them: `marked` are those into rooms of the demo. */
export async function openInvites(
  http: MatrixHttp,
  userId: string,
): Promise<readonly { readonly roomId: string; readonly inviter: string | null; readonly marked: boolean }[]> {
  const filter = JSON.stringify({ presence: { types: [] }, account_data: { types: [] } });
  const sync = await http.call("GET", `${V3}/sync`, { query: { timeout: "0", filter } });
  return Object.entries(asObject(asObject(sync["rooms"])["invite"])).map(([roomId, room]) => {
    const events = asArray(asObject(asObject(room)["invite_state"])["events"]).map(asObject);
    const create = events.find(({ type }) => type === "m.room.create");
    const own = events.find((event) => event["type"] === "m.room.member" && event["state_key"] === userId);
    const inviter = own?.["sender"];
    return {
      roomId,
      inviter: typeof inviter === "string" ? inviter : null,
      marked: isMarked(asObject(create?.["content"])),
    };
  });
}

/** Leaves and forgets; declines where it is invited only. Where it is no member, there is nothing to do. */
export async function leave(http: MatrixHttp, roomId: string, signal?: AbortSignal): Promise<void> {
  for (const what of ["leave", "forget"]) {
    const body = { body: {}, ...withSignal(signal) };
    await http.call("POST", `${V3}/rooms/${segment(roomId)}/${what}`, body).catch((error: unknown) => {
      const notThere = error instanceof HttpRefused && ["M_FORBIDDEN", "M_NOT_FOUND"].includes(error.errcode ?? "");
      if (!notThere) throw error;
    });
  }
}

function isMarked(creation: JsonObject): boolean {
  return Object.entries(ROOM_MARK).every(([key, value]) => creation[key] === value);
}

async function demoRooms(http: MatrixHttp, guest: Guest, signal: AbortSignal): Promise<string[]> {
  const rooms: string[] = [];
  for (const roomId of await joinedRooms(http, signal)) {
    if (!guest.roomsBefore.includes(roomId) && (await isDemoRoom(http, roomId, signal))) rooms.push(roomId);
  }
  return rooms;
}

/** Fields that are named after the device (MSC4401) say nothing once it is gone. */
async function clearProfile(http: MatrixHttp, { userId, deviceId }: Guest, signal: AbortSignal): Promise<void> {
  const profile = await http.call("GET", `${V3}/profile/${segment(userId)}`, { signal });
  for (const key of Object.keys(profile).filter((name) => name.endsWith(`.${deviceId}`))) {
    const field = `profile/${segment(userId)}/${segment(key)}`;
    await http.call("DELETE", `${V3}/${field}`, { signal }).catch(async (error: unknown) => {
      if (!(error instanceof HttpRefused) || error.errcode !== "M_UNRECOGNIZED") throw error;
      await http.call("DELETE", `/_matrix/client/unstable/uk.tcpip.msc4133/${field}`, { signal });
    });
  }
}

async function signOut(http: MatrixHttp, signal: AbortSignal): Promise<void> {
  await http.call("POST", `${V3}/logout`, { body: {}, signal }).catch((error: unknown) => {
    if (!(error instanceof HttpRefused) || error.status !== 401) throw error;
  });
}

function httpOf(baseUrl: string, guest: Guest): MatrixHttp {
  return new MatrixHttp(baseUrl, guest.accessToken);
}

function withSignal(signal: AbortSignal | undefined): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

function words(error: unknown): string {
  if (error instanceof HttpRefused) return error.errcode ?? `status ${error.status}`;
  return error instanceof Error ? error.message : String(error);
}

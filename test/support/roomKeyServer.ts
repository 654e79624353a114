/** The key backup endpoints of a homeserver, in memory, as far as the specification goes: for what is tested without a whole server. */
import { ServerRefused } from "../../src/errors.ts";
import type { Homeserver, RequestOptions } from "../../src/matrix/homeserver.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../../src/protocol/json.ts";

interface Version {
  readonly version: string;
  readonly algorithm: JsonValue;
  readonly authData: JsonValue;
  /** By room, then by session. */
  readonly rooms: Map<string, Map<string, JsonValue>>;
}

export class RoomKeyServer {
  /** The last one is current. */
  readonly versions: Version[] = [];
  /** Method and path below `room_keys/`, of each request. */
  readonly asked: string[] = [];
  /** Runs before a request is looked at: may wait, or throw what the caller is to see. */
  before: (asked: string, signal: AbortSignal) => void | Promise<void> = () => undefined;
  /** Runs when a request has had its effect: may throw what the caller is to see. */
  after: (asked: string) => void = () => undefined;

  readonly homeserver: Homeserver = new Proxy({} as Homeserver, {
    get: (_, name) => {
      if (name === "request") return this.request.bind(this);
      throw new Error(`a key backup must not use ${String(name)}`);
    },
  });

  get current(): Version {
    const last = this.versions.at(-1);
    if (last === undefined) throw new Error("there is no version");
    return last;
  }

  /** Somebody makes a version. */
  make(authData: JsonValue, algorithm: JsonValue = "m.megolm_backup.v1.curve25519-aes-sha2"): Version {
    const made = { version: String(this.versions.length + 1), algorithm, authData, rooms: new Map() };
    this.versions.push(made);
    return made;
  }

  /** Session IDs in the current version. */
  sessions(): string[] {
    return [...this.current.rooms.values()].flatMap((sessions) => [...sessions.keys()]);
  }

  private async request(method: string, endpoint: string, options: RequestOptions): Promise<JsonObject> {
    const path = endpoint.replace("/_matrix/client/v3/room_keys/", "");
    const asked = `${method} ${path.split("/").slice(0, 1).join("/")}`;
    this.asked.push(asked);
    await this.before(asked, options.signal);
    const answer = this.answer(method, path.split("/").map(decodeURIComponent), options);
    this.after(asked);
    // As it comes over a wire.
    return JSON.parse(JSON.stringify(answer)) as JsonObject;
  }

  private answer(method: string, [what, roomId, sessionId]: string[], { query, body }: RequestOptions): JsonObject {
    if (what === "version" && method === "POST" && isJsonObject(body)) {
      return { version: this.make(body["auth_data"] ?? null, body["algorithm"] ?? null).version };
    }
    if (what === "version" && method === "GET") {
      const { version, algorithm, authData, rooms } = this.versions.at(-1) ?? notFound();
      const count = [...rooms.values()].reduce((sum, sessions) => sum + sessions.size, 0);
      return { version, algorithm, auth_data: authData, count, etag: "0" };
    }
    if (what !== "keys") throw new Error(`no endpoint for ${method} ${what}`);
    const named = this.versions.find(({ version }) => version === query?.["version"]) ?? notFound();
    if (method === "PUT" && isJsonObject(body) && isJsonObject(body["rooms"])) {
      if (named !== this.current) throw wrongVersion();
      for (const [room, { sessions }] of Object.entries(body["rooms"] as Record<string, { sessions: JsonObject }>)) {
        const there = named.rooms.get(room) ?? new Map<string, JsonValue>();
        named.rooms.set(room, there);
        for (const [session, entry] of Object.entries(sessions)) there.set(session, entry);
      }
      return { count: this.sessions().length, etag: "1" };
    }
    if (roomId === undefined || sessionId === undefined) {
      const rooms = [...named.rooms].map(([room, sessions]) => [room, { sessions: Object.fromEntries(sessions) }]);
      return { rooms: Object.fromEntries(rooms) as JsonObject };
    }
    return (named.rooms.get(roomId)?.get(sessionId) as JsonObject | undefined) ?? notFound();
  }
}

function notFound(): never {
  throw new ServerRefused("not found", { status: 404, errcode: "M_NOT_FOUND" });
}

export function wrongVersion(): ServerRefused {
  return new ServerRefused("another version", { status: 403, errcode: "M_WRONG_ROOM_KEYS_VERSION" });
}

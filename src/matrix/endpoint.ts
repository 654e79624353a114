/**
 * Paths of the client-server API: built from segments that can't escape their place, and described for logs and errors
 * without the identifiers in them. Pure.
 */

/** What a message may say about a request: `label` is the method and the endpoint without identifiers and query. */
export interface RequestName {
  readonly label: string;
  /** Scheme, host and port. */
  readonly origin: string;
}

/**
 * Joins `prefix` and the percent-encoded segments: `endpointPath("/_matrix/client/v3/rooms", roomId, "members")`.
 * Works for room version 12 (no server part) and for old event IDs with slashes in them.
 * @throws TypeError for a segment that a URL would swallow (empty, `.`, `..`) or can't carry (half a surrogate pair)
 */
export function endpointPath(prefix: string, ...segments: readonly string[]): string {
  return [prefix, ...segments.map(encodeSegment)].join("/");
}

function encodeSegment(segment: string): string {
  // A URL parser removes dot segments, percent-encoded ones too, and the request would go to another endpoint.
  if (segment === "" || segment === "." || segment === ".." || !segment.isWellFormed()) {
    throw new TypeError(
      "a part of a Matrix API path is empty, a dot segment or not valid Unicode: no request was sent",
    );
  }
  return encodeURIComponent(segment);
}

const SIGILS: Readonly<Record<string, string>> = {
  "!": "{roomId}",
  $: "{eventId}",
  "@": "{userId}",
  "#": "{roomAlias}",
};

/** Words of endpoints and event types (`rooms`, `v3`, `org.matrix.msc3814`, `m.room.encrypted`); anything else is an identifier. */
const WORD = /^[a-z_][a-zA-Z_]*\d{0,4}(\.[a-z_][a-zA-Z_]*\d{0,4})*$/;

/** `/_matrix/client/v3/rooms/!abc/send/m.x/t1` becomes `/_matrix/client/v3/rooms/{roomId}/send/m.x/{id}`; the query is dropped. */
export function describeEndpoint(endpoint: string): string {
  const path = endpoint.split(/[?#]/, 1)[0] ?? "";
  const segments = path.split("/");
  return segments
    .map((segment, index) => {
      if (segments[index - 2] === "send") return "{txnId}";
      if (segments[index - 1] === "download") return "{serverName}";
      return segments[index - 2] === "download" ? "{mediaId}" : describeSegment(segment);
    })
    .join("/");
}

function describeSegment(segment: string): string {
  let decoded = segment;
  try {
    decoded = decodeURIComponent(segment);
  } catch {
    return "{id}";
  }
  const sigil = SIGILS[decoded.charAt(0)];
  if (sigil !== undefined) return sigil;
  return decoded === "" || (decoded.length <= 64 && WORD.test(decoded)) ? decoded : "{id}";
}

/** What a metric tells apart: a closed set, so that no server, room or event type can make it grow. `*` is any one segment. */
const NAMED_SHAPES: readonly (readonly [shape: string, name: string])[] = [
  ["versions", "versions"],
  ["account/whoami", "account/whoami"],
  ["capabilities", "capabilities"],
  ["sync", "sync"],
  ["rooms/*/send/*/*", "rooms/send"],
  ["rooms/*/state", "rooms/state"],
  ["rooms/*/state/*", "rooms/state"],
  ["rooms/*/state/*/*", "rooms/state"],
  ["rooms/*/receipt/*/*", "rooms/receipt"],
  ["rooms/*/join", "rooms/join"],
  ["rooms/*/leave", "rooms/leave"],
  ["rooms/*/members", "rooms/members"],
  ["rooms/*/joined_members", "rooms/joined_members"],
  ["rooms/*/messages", "rooms/messages"],
  ["join/*", "join"],
  ["keys/upload", "keys/upload"],
  ["keys/query", "keys/query"],
  ["keys/claim", "keys/claim"],
  ["keys/signatures/upload", "keys/signatures"],
  ["keys/device_signing/upload", "keys/device_signing"],
  ["room_keys/version", "room_keys/version"],
  ["room_keys/keys", "room_keys/keys"],
  ["room_keys/keys/*/*", "room_keys/keys"],
  ["media/download/*/*", "media/download"],
  ["sendToDevice/*/*", "sendToDevice"],
  ["profile/*", "profile"],
  ["profile/*/*", "profile"],
];
const OTHER = "other";
const VERSION_PREFIX = /^\/_matrix\/client\/((v\d+|r0|unstable(\/[\w.]+\.[\w.]+)?)\/)?/;

/** Every name that `nameEndpoint` gives. */
export const endpointNames: readonly string[] = [...new Set(NAMED_SHAPES.map(([, name]) => name)), OTHER];

/** @returns the endpoint's name for a metric, such as `rooms/send`; `other` for a shape that has none */
export function nameEndpoint(endpoint: string): string {
  const segments = (endpoint.split(/[?#]/, 1)[0] ?? "").replace(VERSION_PREFIX, "").split("/");
  const fits = (shape: string): boolean => {
    const parts = shape.split("/");
    return parts.length === segments.length && parts.every((part, place) => part === "*" || part === segments[place]);
  };
  return NAMED_SHAPES.find(([shape]) => fits(shape))?.[1] ?? OTHER;
}

/** Asks a homeserver what anybody may ask: whether it is there, and what time it is there (RFC 9110, "Date"). */
import type { Clock } from "../clock.ts";
import { isJsonObject } from "../protocol/json.ts";
import type { Greeting, RequestOptions } from "./homeserver.ts";
import type { HttpTransport } from "./http.ts";
import { readVersions } from "./readVersions.ts";

const MAX_REPLY_BYTES = 1024 * 1024;

/** One attempt, without the access token. @throws ServerRefused | ServerUnreachable | Cancelled */
export async function greet(
  transport: HttpTransport,
  baseUrl: string,
  clock: Clock,
  { signal, timeoutMs }: Required<Pick<RequestOptions, "signal" | "timeoutMs">>,
): Promise<Greeting> {
  const sentAt = clock.now();
  const { headers, body } = await transport.send({
    method: "GET",
    url: `${baseUrl}/_matrix/client/versions`,
    query: {},
    body: null,
    contentType: null,
    signal,
    timeoutMs,
    maxReplyBytes: MAX_REPLY_BYTES,
    longPoll: false,
    expect: "json",
    anonymous: true,
  });
  const receivedAt = clock.now();
  // A reply with an age was made earlier than it came.
  const date = headers["age"] === undefined ? Date.parse(headers["date"] ?? "") : Number.NaN;
  const versions = readVersions(isJsonObject(body) ? body : {});
  return { versions, date: Number.isNaN(date) ? null : date, sentAt, receivedAt };
}

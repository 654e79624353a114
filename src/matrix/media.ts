/**
 * Downloads from the media repository of our own homeserver, as the account (client-server API, "Content repository": authenticated
 * media, since v1.11). Guarantees: no more than the limit is ever held; nobody but the homeserver is asked, whatever the URI names.
 */
import { ServerUnreachable } from "../errors.ts";
import { endpointPath } from "./endpoint.ts";
import type { MediaLimits } from "./homeserver.ts";
import type { HttpTransport } from "./http.ts";

/** `mxc://SERVER/ID` (client-server API, "Matrix Content (`mxc://`) URIs"; appendices, "Server name"). */
const MXC = /^mxc:\/\/([A-Za-z0-9.\-[\]:]{1,255})\/([A-Za-z0-9_-]{1,255})$/;

/**
 * One attempt. @param baseUrl of the homeserver
 * @throws TypeError it is no `mxc` URI
 * @throws ReplyTooLong | ServerRefused | ServerUnreachable | Cancelled
 */
export async function downloadMedia(
  transport: HttpTransport,
  baseUrl: string,
  uri: string,
  { maxBytes, timeoutMs, signal }: MediaLimits,
): Promise<Uint8Array> {
  const [, server, id] = MXC.exec(uri) ?? [];
  if (server === undefined || id === undefined) throw new TypeError("what is to be downloaded is no mxc URI");
  const { body } = await transport.send({
    method: "GET",
    url: `${baseUrl}${endpointPath("/_matrix/client/v1/media/download", server, id)}`,
    // How long our homeserver may wait for another one: so long that we hear of it.
    query: { timeout_ms: Math.floor(timeoutMs / 2) },
    body: null,
    contentType: null,
    signal,
    timeoutMs,
    maxReplyBytes: maxBytes,
    longPoll: false,
    expect: "bytes",
  });
  if (body instanceof Uint8Array) return body;
  throw new ServerUnreachable("The media repository answered with something else than bytes.", { doubtful: false });
}

/**
 * The one place that knows matrix-bot-sdk: its `MatrixClient`, with our own HTTP underneath and its sync, storage and crypto out
 * of use. Everything above talks to the `Homeserver` that this class implements.
 *
 * The SDK's sync saves its token before events are handled and takes random transaction IDs, so nothing here starts it: our loop
 * calls `sync()`, which has no other effect. The SDK logs bodies and addresses, so its log goes nowhere; `HttpTransport` logs
 * one line for each request instead.
 */
import "./quietSdkImport.ts";
import { LogService, MatrixClient, setRequestFn } from "matrix-bot-sdk";
import type { Clock } from "../clock.ts";
import type { NetworkSettings } from "../config/network.ts";
import { Cancelled } from "../errors.ts";
import type { Logger } from "../logging.ts";
import type { Metrics } from "../metrics.ts";
import type { DeviceId, EventId, RoomId, TxnId, UserId } from "../protocol/ids.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../protocol/json.ts";
import { describeEndpoint, endpointPath } from "./endpoint.ts";
import { greet } from "./greet.ts";
import type {
  EventRef,
  Greeting,
  Homeserver,
  MediaLimits,
  OutgoingEvent,
  RequestOptions,
  ServerVersions,
  SyncRequest,
} from "./homeserver.ts";
import { canonicalBaseUrl, HttpTransport, type TokenProvider } from "./http.ts";
import { downloadMedia } from "./media.ts";
import { readVersions } from "./readVersions.ts";
import { readWhoami } from "./readWhoami.ts";
import { unusableReply } from "./refusals.ts";
import { nextAttemptIn, standardRetries, type RetryLimits } from "./retries.ts";
import { calls, sdkRequest, type Call } from "./sdkRequest.ts";
import { syncQuery } from "./syncQuery.ts";

export interface DocketClientOptions {
  /** Address of the client-server API; may have a path. */
  readonly homeserverUrl: string;
  readonly tokenProvider: TokenProvider;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics?: Metrics;
  /** Proxies and certificate authorities. */
  readonly network: NetworkSettings;
  /** For one attempt of anything but a sync, in milliseconds. */
  readonly timeoutMs?: number;
  /** What a sync may take longer than its long poll, in milliseconds. */
  readonly syncMarginMs?: number;
  /** For `retry: "standard"`. */
  readonly retries?: RetryLimits;
  /** From 0 to 1, for the jitter of the waits. */
  readonly random?: () => number;
}

const DEFAULT_TIMEOUT_MS = 30_000;
const SYNC_MARGIN_MS = 30_000;
/** A first sync of an account in many rooms takes the server minutes. */
const FIRST_SYNC_MARGIN_MS = 300_000;
const MAX_REPLY_BYTES = 64 * 1024 * 1024;
const MAX_SYNC_BYTES = 256 * 1024 * 1024;

// For the whole process: the SDK has one of each.
setRequestFn(sdkRequest);
const nowhere = (): void => undefined;
LogService.setLogger({ info: nowhere, warn: nowhere, error: nowhere, debug: nowhere, trace: nowhere });

export class DocketClient extends MatrixClient implements Homeserver {
  private readonly transport: HttpTransport;
  private readonly clock: Clock;
  private readonly log: Logger;
  private readonly timeoutMs: number;
  private readonly syncMarginMs: number | null;
  private readonly retries: RetryLimits;
  private readonly random: () => number;
  /** Ends polls at `stop()`. */
  private readonly polling = new AbortController();

  /** @throws TypeError for an address that no request could be sent to */
  constructor(options: DocketClientOptions) {
    const baseUrl = canonicalBaseUrl(options.homeserverUrl);
    // No token for the SDK: the transport asks for it, request by request.
    super(baseUrl, "");
    this.transport = new HttpTransport({ ...options, baseUrl });
    this.clock = options.clock;
    this.log = options.log;
    this.timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.syncMarginMs = options.syncMarginMs ?? null;
    this.retries = options.retries ?? standardRetries;
    this.random = options.random ?? Math.random;
  }

  async versions(signal: AbortSignal): Promise<ServerVersions> {
    return readVersions(await this.request("GET", "/_matrix/client/versions", { signal, retry: "none" }));
  }

  async greet(options: Pick<RequestOptions, "signal" | "timeoutMs">): Promise<Greeting> {
    const limits = { signal: options.signal, timeoutMs: options.timeoutMs ?? this.timeoutMs };
    return await greet(this.transport, this.homeserverUrl, this.clock, limits);
  }

  async whoami(
    signal: AbortSignal,
    timeoutMs = this.timeoutMs,
  ): Promise<{ userId: UserId; deviceId: DeviceId | null }> {
    const endpoint = "/_matrix/client/v3/account/whoami";
    const body = await this.request("GET", endpoint, { signal, timeoutMs, retry: "none" });
    const read = readWhoami(body);
    if (read === null) throw this.unusable("GET", endpoint, "`user_id` or `device_id` is missing, or is no identifier");
    return read;
  }

  async sync(request: SyncRequest, signal: AbortSignal): Promise<unknown> {
    const marginMs = this.syncMarginMs ?? (request.since === null ? FIRST_SYNC_MARGIN_MS : SYNC_MARGIN_MS);
    // Not AbortSignal.any: it would hang one more listener on the caller's long-lived signal with every poll.
    const poll = new AbortController();
    const abort = (): void => poll.abort();
    for (const source of [signal, this.polling.signal]) {
      if (source.aborted) abort();
      source.addEventListener("abort", abort, { once: true });
    }
    try {
      return await this.attempt("GET", "/_matrix/client/v3/sync", syncQuery(request), undefined, {
        transport: this.transport,
        signal: poll.signal,
        timeoutMs: request.timeoutMs + marginMs,
        maxReplyBytes: MAX_SYNC_BYTES,
        longPoll: true,
      });
    } finally {
      for (const source of [signal, this.polling.signal]) source.removeEventListener("abort", abort);
    }
  }

  async send(event: OutgoingEvent, txnId: TxnId, signal: AbortSignal): Promise<EventId> {
    const endpoint = endpointPath("/_matrix/client/v3/rooms", event.roomId, "send", event.type, txnId);
    const body = await this.request("PUT", endpoint, { body: event.content, signal, retry: "none" });
    const eventId = body["event_id"];
    if (typeof eventId !== "string" || eventId === "") throw this.unusable("PUT", endpoint, "`event_id` is missing");
    return eventId as EventId;
  }

  async join(roomId: RoomId, via: readonly string[], signal: AbortSignal): Promise<void> {
    // `via` since v1.12 of the specification; `server_name` is its name for older servers.
    const query = { via, server_name: via };
    await this.request("POST", endpointPath("/_matrix/client/v3/join", roomId), {
      query,
      body: {},
      signal,
      retry: "none",
    });
  }

  async leave(roomId: RoomId, reason: string, signal: AbortSignal): Promise<void> {
    const endpoint = endpointPath("/_matrix/client/v3/rooms", roomId, "leave");
    await this.request("POST", endpoint, { body: { reason }, signal, retry: "none" });
  }

  async joinedMembers(roomId: RoomId, signal: AbortSignal): Promise<readonly UserId[]> {
    const endpoint = endpointPath("/_matrix/client/v3/rooms", roomId, "joined_members");
    const { joined } = await this.request("GET", endpoint, { signal, retry: "none" });
    if (!isJsonObject(joined)) throw this.unusable("GET", endpoint, "`joined` is missing");
    return Object.keys(joined) as UserId[];
  }

  async roomState(roomId: RoomId, signal: AbortSignal): Promise<readonly JsonValue[]> {
    const isList = (body: unknown): body is readonly JsonValue[] => Array.isArray(body);
    const endpoint = endpointPath("/_matrix/client/v3/rooms", roomId, "state");
    return await this.repeated("GET", endpoint, { signal }, isList, "it is not a list");
  }

  async receipt({ roomId, eventId }: EventRef, type: string, signal: AbortSignal): Promise<void> {
    const endpoint = endpointPath("/_matrix/client/v3/rooms", roomId, "receipt", type, eventId);
    await this.request("POST", endpoint, { body: {}, signal, retry: "none" });
  }

  async download(uri: string, limits: MediaLimits): Promise<Uint8Array> {
    return await downloadMedia(this.transport, this.homeserverUrl, uri, limits);
  }

  async request(
    method: "GET" | "POST" | "PUT" | "DELETE",
    endpoint: string,
    options: RequestOptions,
  ): Promise<JsonObject> {
    return await this.repeated(method, endpoint, options, isJsonObject, "it is not a JSON object");
  }

  private async repeated<Body>(
    method: string,
    endpoint: string,
    options: RequestOptions,
    fits: (body: unknown) => body is Body,
    otherwise: string,
  ): Promise<Body> {
    const call: Call = {
      transport: this.transport,
      signal: options.signal,
      timeoutMs: options.timeoutMs ?? this.timeoutMs,
      maxReplyBytes: options.maxReplyBytes ?? MAX_REPLY_BYTES,
      longPoll: false,
    };
    const startedAt = this.clock.now();
    for (let attempts = 1; ; attempts += 1) {
      try {
        const body = await this.attempt(method, endpoint, options.query ?? {}, options.body, call);
        if (!fits(body)) throw this.unusable(method, endpoint, otherwise);
        return body;
      } catch (error) {
        const soFar = { attempts, elapsedMs: this.clock.now() - startedAt, random: this.random() };
        const waitMs = options.retry === "none" ? null : nextAttemptIn(error, soFar, this.retries);
        if (waitMs === null) throw error;
        const code = error instanceof Error ? error.name : null;
        this.log.warn(
          { request: `${method} ${describeEndpoint(endpoint)}`, code, attempts, waitMs },
          "a request failed and will be repeated",
        );
        await this.clock.sleep(waitMs, options.signal);
        if (options.signal.aborted)
          throw new Cancelled(`${method} ${describeEndpoint(endpoint)}: cancelled while waiting to repeat it`);
      }
    }
  }

  /** One attempt through the SDK; also what the SDK's own methods use. Errors are ours. */
  override async doRequest(...parameters: Parameters<MatrixClient["doRequest"]>): Promise<unknown> {
    const send = (): Promise<unknown> => super.doRequest(...parameters);
    if (calls.getStore()?.transport === this.transport) return await send();
    const { transport, timeoutMs } = this;
    return await calls.run(
      { transport, timeoutMs, signal: this.polling.signal, maxReplyBytes: MAX_REPLY_BYTES, longPoll: false },
      send,
    );
  }

  /** Ends polls at once; other requests go on, so that what is queued can still leave. Idempotent. */
  override stop(): void {
    super.stop();
    this.polling.abort();
  }

  /** `stop()`, and every other request is cancelled too; resolves when no socket is left. Idempotent. */
  async close(): Promise<void> {
    this.stop();
    await this.transport.close();
  }

  /** The SDK's sync is never used; see the head of this file. */
  override start(): Promise<never> {
    return Promise.reject(new Error("matrix-bot-sdk's own sync is not part of Docket: use sync()"));
  }

  protected override startSyncInternal(): Promise<never> {
    return this.start();
  }

  protected override startSync(): Promise<never> {
    return this.start();
  }

  protected override doSync(): Promise<never> {
    return this.start();
  }

  protected override processSync(): Promise<never> {
    return this.start();
  }

  private attempt(
    method: string,
    endpoint: string,
    query: Readonly<Record<string, unknown>>,
    body: JsonValue | undefined,
    call: Call,
  ): Promise<unknown> {
    return calls.run(call, () => this.doRequest(method, endpoint, query, body ?? null, call.timeoutMs));
  }

  private unusable(method: string, endpoint: string, what: string): Error {
    return unusableReply(
      { label: `${method} ${describeEndpoint(endpoint)}`, origin: new URL(this.homeserverUrl).origin },
      what,
    );
  }
}

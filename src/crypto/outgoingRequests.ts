/**
 * Single-flight sender of the library's own requests: key uploads, device list queries, signatures, and to-device messages
 * that are not room keys.
 *
 * A pass asks the library once what is to be sent. Passes never overlap: each call to `outgoingRequests` makes the library
 * forget the queries that it handed out before. Who comes during a pass shares the next one. A pass ends with its queries;
 * other requests go on by themselves, each at most once at a time. Each request is marked only after the server's answer;
 * what fails is handed out again by the next pass, and the background (keyUpkeep.ts) sees to it that there is one.
 */
import { RequestType, type OutgoingRequest } from "@matrix-org/matrix-sdk-crypto-wasm";
import type { Clock } from "../clock.ts";
import { Cancelled, ServerRefused } from "../errors.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import { isFinalRefusal } from "../matrix/retries.ts";
import { isJsonObject, type JsonObject } from "../protocol/json.ts";
import { readKeyRequest, sendKeyRequest, type KeyRequest, type RoomMessage } from "./keyRequest.ts";
import type { Machine } from "./machine.ts";
import { usersAsked, type MemberDevices } from "./memberDevices.ts";
import type { RoomMessages } from "./roomMessages.ts";
import { markAnswered } from "./serverAnswers.ts";
import { UploadPause } from "./uploadPause.ts";

export interface OutgoingRequestsOptions {
  readonly machine: Machine;
  readonly homeserver: Homeserver;
  readonly devices: MemberDevices;
  readonly roomMessages: RoomMessages;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Told of each failure to send; the background repeats it. */
  readonly onFailure: (error: unknown) => void;
  /** Told how each upload of our own keys ended: null where the server took them. */
  readonly onUpload?: (error: unknown) => void;
  /** Told when the server refuses our one-time keys for good: it has others under their IDs. */
  readonly onKeysRefused: () => void;
  /** There may be something to send again. */
  readonly onDue: () => void;
  /** Who gets answers about verification. */
  readonly mayVerify: (userId: string) => boolean;
}

/** Queries end a pass; claims, which the library lists here too, belong to sessionClaims.ts and its lock. */
const LEFT_TO_OTHERS: ReadonlySet<RequestType> = new Set([RequestType.KeysQuery, RequestType.KeysClaim]);

const VERIFICATION = "m.key.verification.";

/** The library wants an event ID. */
const NOT_SENT = "$not-sent";

interface Pass {
  /** Resolves when the pass' queries are answered or given up; rejects only for a failure of the library. */
  readonly queries: Promise<void>;
  /** As `queries`, and every other request of the pass has been tried. */
  readonly all: Promise<void>;
}

export class OutgoingRequests {
  private readonly options: OutgoingRequestsOptions;
  private running: Pass | null = null;
  private waiting: Promise<Pass> | null = null;
  private readonly inFlight = new Map<string, Promise<void>>();
  private readonly uploadPause: UploadPause;

  constructor(options: OutgoingRequestsOptions) {
    this.options = options;
    this.uploadPause = new UploadPause(options.clock, options.onKeysRefused);
  }

  /** Tries everything that the library wants to send now. Never rejects for a server's failure. */
  async sendAll(): Promise<void> {
    await (
      await this.pass()
    ).all;
  }

  /**
   * Waits until the device lists of `users` are fresh, but no longer than `maxWaitMs` milliseconds.
   * @returns whether a whole pass has been made; if not, nothing is known about who is fresh
   * @throws Cancelled
   */
  async refreshDevices(maxWaitMs: number, signal: AbortSignal): Promise<boolean> {
    const waited = new AbortController();
    const sleep = this.options.clock.sleep(maxWaitMs, AbortSignal.any([signal, waited.signal])).then(() => false);
    const pass = (async () => {
      await (
        await this.pass()
      ).queries;
      return true;
    })();
    try {
      const whole = await Promise.race([pass, sleep]);
      if (signal.aborted) throw new Cancelled("Cancelled while the members' devices were queried.");
      return whole;
    } finally {
      waited.abort();
      pass.catch(this.options.onFailure);
    }
  }

  /** Resolves when nothing is in flight. */
  async settled(): Promise<void> {
    await this.running?.all.catch(() => undefined);
    await Promise.all(this.inFlight.values());
  }

  /** A pass that starts after this call. */
  private pass(): Promise<Pass> {
    if (this.waiting !== null) return this.waiting;
    if (this.running === null) return Promise.resolve(this.start());
    this.waiting = this.running.queries.then(
      () => this.startWaiting(),
      () => this.startWaiting(),
    );
    return this.waiting;
  }

  private startWaiting(): Pass {
    this.waiting = null;
    return this.start();
  }

  private start(): Pass {
    const { machine, signal } = this.options;
    const listed = machine.use("outgoingRequests", (olm) => olm.outgoingRequests(), signal).then(readAll);
    const others = listed.then((requests) =>
      requests
        .filter(({ type }) => !LEFT_TO_OTHERS.has(type) && !(type === RequestType.KeysUpload && this.uploadPause.isOn))
        .map((request) => this.sendOnce(request)),
    );
    const queries = this.runQueries(listed, others);
    const all = queries.then(async () => void (await Promise.all(await others)));
    // The rejections below are those of `queries` and `all`, which whoever asked for the pass awaits.
    others.catch(() => undefined);
    all.catch(() => undefined);
    this.running = { queries, all };
    return this.running;
  }

  private async runQueries(listed: Promise<KeyRequest[]>, others: Promise<Promise<void>[]>): Promise<void> {
    try {
      const requests = await listed;
      // A query before our own keys are up would find us without a device.
      if (requests.some((request) => request.type === RequestType.KeysUpload && "device_keys" in request.body))
        await Promise.all(await others);
      const queries = requests.filter((request) => request.type === RequestType.KeysQuery);
      this.options.devices.keepOnly(new Set(queries.flatMap(usersAsked)));
      await Promise.all(queries.map((request) => this.options.devices.query(request)));
    } finally {
      this.running = null;
    }
  }

  private sendOnce(request: KeyRequest): Promise<void> {
    // Two uploads at once would carry the same keys under different request IDs.
    const key = request.type === RequestType.KeysUpload ? "upload" : request.id;
    const before = this.inFlight.get(key);
    if (before !== undefined) return before;
    const isUpload = request.type === RequestType.KeysUpload;
    const sending = this.send(request).then(
      () => {
        this.inFlight.delete(key);
        if (!isUpload) return;
        this.uploadPause.noteTaken();
        this.options.onUpload?.(null);
      },
      (error: unknown) => {
        this.inFlight.delete(key);
        if (isUpload) this.options.onUpload?.(error);
        const pauseMs = isUpload && "one_time_keys" in request.body ? this.uploadPause.noteFailure(error) : null;
        if (pauseMs === null) return this.options.onFailure(error);
        // A timer may fire a little before the clock says so.
        void this.options.clock.sleep(pauseMs + 100, this.options.signal).then(this.options.onDue);
      },
    );
    this.inFlight.set(key, sending);
    return sending;
  }

  private async send(request: KeyRequest): Promise<void> {
    const { homeserver, machine, signal } = this.options;
    const { message } = request;
    if (this.isForStrangers(request)) return await markAnswered(machine, request, {});
    const response =
      message === null ? await sendKeyRequest(homeserver, request, { signal, retry: "none" }) : await this.say(message);
    await markAnswered(machine, request, response);
  }

  /**
   * What the library would tell of a verification to somebody whose events it should never have seen: they were encrypted from device to
   * device, which nobody can tell before they are decrypted. Each would cost a request, however many come.
   */
  private isForStrangers({ path, body }: KeyRequest): boolean {
    const { messages } = body;
    if (path === null || !path.startsWith(VERIFICATION) || !isJsonObject(messages)) return false;
    return !Object.keys(messages).every((userId) => this.options.mayVerify(userId));
  }

  /** What a room does not take, or no room is there for, is given up: the library would hand it out again for ever. */
  private async say(message: RoomMessage): Promise<JsonObject> {
    const { roomMessages, signal } = this.options;
    try {
      return { event_id: (await roomMessages.send(message, signal)) ?? NOT_SENT };
    } catch (error) {
      if (error instanceof ServerRefused && isFinalRefusal(error)) return { event_id: NOT_SENT };
      throw error;
    }
  }
}

function readAll(requests: readonly OutgoingRequest[]): KeyRequest[] {
  return requests.flatMap((request) => {
    const { id } = request;
    return id === undefined ? [] : [readKeyRequest(request as typeof request & { id: string })];
  });
}

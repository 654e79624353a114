/**
 * An independent peer in a process of its own, as a test has it: gives orders, and waits for what the peer sees. The process ends
 * with the test; if this process dies, the end of its standard input ends it too.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { JsonObject } from "../../../src/protocol/json.ts";
import { readResponse, type StatusResponse } from "../../../demo/sender/seenEvent.ts";
import type { Orders, PeerAccount, PeerEvent, PeerLine } from "./peerWire.ts";

/** Far more than anything takes on a busy machine. */
const PATIENCE_MS = 60_000;

const JS_SDK = fileURLToPath(new URL("jsSdkPeer.ts", import.meta.url));

/** matrix-js-sdk, on the Node that runs this. */
export function launchJsSdk(): ChildProcess {
  return spawn(process.execPath, [JS_SDK], { stdio: ["pipe", "pipe", "pipe"] });
}

export class PeerProcess {
  readonly account: PeerAccount;
  readonly #child: ChildProcess;
  readonly #open = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>();
  /** By event ID, in order of first sight; an event that was told again has its latest form. */
  readonly #events = new Map<string, PeerEvent>();
  readonly #ended: Promise<void>;
  #waiters: (() => void)[] = [];
  #hasEnded = false;
  #stderr = "";
  #orders = 0;

  private constructor(account: PeerAccount, child: ChildProcess) {
    this.account = account;
    this.#child = child;
    const { stdin, stdout, stderr } = child;
    if (stdin === null || stdout === null || stderr === null) throw new Error("the peer's streams are not piped");
    // Its end is told by "close".
    stdin.on("error", () => undefined);
    stderr.setEncoding("utf8").on("data", (text: string) => (this.#stderr = (this.#stderr + text).slice(-20_000)));
    createInterface({ input: stdout }).on("line", (line) => this.#take(JSON.parse(line) as PeerLine));
    this.#ended = new Promise((resolve) => {
      const end = (): void => {
        this.#hasEnded = true;
        for (const { reject } of this.#open.values()) reject(this.#failure("it ended"));
        this.#open.clear();
        this.#wake();
        resolve();
      };
      child.on("close", end).on("error", end);
    });
  }

  /** @param launch starts the program with all three streams piped */
  static async start(account: PeerAccount, launch: () => ChildProcess): Promise<PeerProcess> {
    const peer = new PeerProcess(account, launch());
    try {
      await peer.order("start", account);
    } catch (error) {
      await peer.kill();
      throw error;
    }
    return peer;
  }

  get running(): boolean {
    return !this.#hasEnded;
  }

  /** Gives an order. @returns its result @throws Error with the peer's own words, or after a minute */
  async order<Name extends keyof Orders>(name: Name, order: Orders[Name]["order"]): Promise<Orders[Name]["result"]> {
    const id = (this.#orders += 1);
    return await new Promise<Orders[Name]["result"]>((resolve, reject) => {
      if (this.#hasEnded) {
        reject(this.#failure(`it had ended before "${name}"`));
        return;
      }
      const timer = setTimeout(() => {
        this.#open.delete(id);
        reject(this.#failure(`it did not finish "${name}"`));
      }, PATIENCE_MS);
      this.#open.set(id, {
        resolve: (result) => {
          clearTimeout(timer);
          resolve(result as Orders[Name]["result"]);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
      this.#child.stdin?.write(`${JSON.stringify({ ...order, id, do: name })}\n`);
    });
  }

  /** Resolves with the event once this peer can read it. */
  async readable(eventId: string): Promise<PeerEvent> {
    return await this.#waitFor(() => {
      const event = this.#events.get(eventId);
      return event?.undecryptable === null ? event : undefined;
    }, `${eventId} to be readable`);
  }

  /** Resolves with the event once this peer has found that it can't read it, or can't any more. */
  async unreadable(eventId: string): Promise<PeerEvent> {
    return await this.#waitFor(() => {
      const event = this.#events.get(eventId);
      return event === undefined || event.undecryptable === null ? undefined : event;
    }, `${eventId} to be undecryptable`);
  }

  /** The event as this peer sees it now, readable or not. */
  sight(eventId: string): PeerEvent | undefined {
    return this.#events.get(eventId);
  }

  /** Every status response to the event that this peer has read, in order of arrival. */
  answersTo(eventId: string): readonly StatusResponse<PeerEvent>[] {
    return [...this.#events.values()].flatMap((event) => readResponse(event, eventId) ?? []);
  }

  /** Resolves with the first answer to the event. */
  async answerTo(eventId: string): Promise<StatusResponse<PeerEvent>> {
    return await this.#waitFor(() => this.answersTo(eventId)[0], `an answer to ${eventId}`);
  }

  /** Sends an event with this content. @returns its ID */
  async send(roomId: string, type: string, content: JsonObject): Promise<string> {
    return await this.order("send", { roomId, type, content });
  }

  /** Stops it in good order, its store written. */
  async stop(): Promise<void> {
    await this.order("stop", {});
    await this.#ended;
  }

  /** Lets go of it, as the kernel does when the test's process is killed. Resolves when the peer has ended by itself. */
  async abandon(): Promise<void> {
    this.#child.stdin?.destroy();
    await this.#ended;
  }

  /** Ends it at once. Does nothing to one that has ended. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  #take(line: PeerLine): void {
    if ("seen" in line) {
      this.#events.set(line.seen.eventId, line.seen);
      this.#wake();
      return;
    }
    const open = this.#open.get(line.answer);
    this.#open.delete(line.answer);
    if ("error" in line) open?.reject(this.#failure(line.error));
    else open?.resolve(line.result);
  }

  async #waitFor<Found>(probe: () => Found | undefined, what: string): Promise<Found> {
    const endsAt = performance.now() + PATIENCE_MS;
    for (;;) {
      const found = probe();
      if (found !== undefined) return found;
      const leftMs = endsAt - performance.now();
      if (this.#hasEnded || leftMs <= 0) throw this.#failure(`it waited in vain for ${what}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#waiters.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter();
  }

  #failure(what: string): Error {
    const seen = [...this.#events.values()]
      .slice(-10)
      .map(({ eventId, type, undecryptable }) => ({ eventId, type, undecryptable }));
    return new Error(
      `peer ${this.account.userId} ${this.account.deviceId}: ${what}\n${JSON.stringify(seen)}\n${this.#stderr.slice(-4000)}`,
    );
  }
}

/** One Synapse, one bot on it, and independent peers: what the tests with peers start from. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { MatrixHttp, segment } from "../../../demo/sender/matrixHttp.ts";
import { asObject } from "../../../demo/sender/seenEvent.ts";
import type { JsonObject } from "../../../src/protocol/json.ts";
import { BotProcess } from "../../support/botProcess.ts";
import { docket } from "../../support/docketCommand.ts";
import { startSynapse } from "../synapse.ts";
import type { Account, Synapse } from "../synapseServer.ts";
import { startPython } from "../unpackedPython.ts";
import { launchJsSdk, PeerProcess } from "../../support/peers/peerProcess.ts";
import type { PeerAccount, PeerEvent } from "../../support/peers/peerWire.ts";

export const LIBRARIES = ["matrix-nio", "matrix-js-sdk"] as const;
export type Library = (typeof LIBRARIES)[number];

const NIO = fileURLToPath(new URL("nioPeer.py", import.meta.url));
const PASSWORD = "not a secret";
const SCHEMA = { type: "object", properties: { place: { type: "string" } }, required: ["place"] };
/** matrix-nio can't sign its device, and would be given no key of an answer. */
const YAML = `
encryption:
  send_to: all
invites:
  accept: ["@*:localhost"]
  notice: false
handlers:
  - types: [org.example.report]
    steps: [{ validate: ./report.json }, archive]
`;

export class Stage {
  readonly server: Synapse;
  readonly bot: Account;
  readonly #directory: string;
  #process: BotProcess;
  readonly #peers = new Map<Library, PeerProcess>();

  private constructor(server: Synapse, bot: Account, directory: string) {
    this.server = server;
    this.bot = bot;
    this.#directory = directory;
    writeFileSync(join(directory, "report.json"), JSON.stringify(SCHEMA));
    this.#process = this.#run();
  }

  /** The caller stops it. */
  static async start(): Promise<Stage> {
    const server = await startSynapse();
    let stage: Stage | null = null;
    try {
      const bot = await server.registerUser("docket", PASSWORD, { deviceId: "docketbot" });
      stage = new Stage(server, bot, mkdtempSync(join(tmpdir(), "docket-peers-")));
      await stage.#process.running();
      return stage;
    } catch (error) {
      await (stage ?? server).stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    for (const peer of this.#peers.values()) await peer.kill();
    await this.#process.kill();
    await this.server.stop();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** Stops the bot in good order and starts it again on its data. */
  async restartBot(): Promise<void> {
    assert.equal(await this.#process.stop(), 0);
    this.#process = this.#run();
    await this.#process.running();
  }

  /** Resolves when the bot has said that the event waits for its key. */
  async parked(eventId: string): Promise<void> {
    const waits = (line: { readonly [name: string]: unknown }): boolean =>
      line["eventId"] === eventId && line["reason"] === "no_session";
    await this.#process.line(waits, `${eventId} was parked`);
  }

  /** Resolves when the bot has decided about the event, and so has recorded it as it could read it. */
  async decided(eventId: string): Promise<void> {
    await this.#process.line((line) => line["eventId"] === eventId && line.msg === "decided", `${eventId} was decided`);
  }

  /** The library's own device: one process for all tests, since each start costs a second. */
  async peer(library: Library): Promise<PeerProcess> {
    const running = this.#peers.get(library);
    if (running?.running === true) return running;
    if (running === undefined) await this.server.registerUser(library, PASSWORD);
    return await this.#keep(library, running?.account ?? (await this.#signIn(library)));
  }

  /** Stops the library's own device in good order and starts it again on what it left in its store. */
  async restartPeer(library: Library): Promise<PeerProcess> {
    const peer = await this.peer(library);
    await peer.stop();
    return await this.#keep(library, peer.account);
  }

  /** The one device of an account that nobody else uses. Its process ends with the test. */
  async newcomer(t: TestContext, library: Library, localpart: string): Promise<PeerProcess> {
    await this.server.registerUser(localpart, PASSWORD);
    const peer = await this.#startPeer(library, await this.#signIn(localpart));
    t.after(() => peer.kill());
    return peer;
  }

  /** A further device of the library's account. Its process ends with the test. */
  async secondDevice(t: TestContext, library: Library): Promise<PeerProcess> {
    const peer = await this.#startPeer(library, await this.#signIn(library));
    t.after(() => peer.kill());
    return peer;
  }

  /** An encrypted room that the peer made and that the bot has joined; the peer has the keys of the bot's device. */
  async room(
    peer: PeerProcess,
    settings: { invite?: readonly string[]; encryption?: JsonObject } = {},
  ): Promise<string> {
    const { invite = [], encryption = {} } = settings;
    const roomId = await peer.order("createRoom", { invite: [this.bot.userId, ...invite], encryption });
    await this.meet(peer, roomId);
    return roomId;
  }

  /** The peer sees the bot in the room, and has the keys of its device. */
  async meet(peer: PeerProcess, roomId: string): Promise<void> {
    const { userId, deviceId } = this.bot;
    await peer.order("waitForMember", { roomId, userId });
    await peer.order("waitForDevice", { roomId, userId, deviceId });
  }

  /** The event as the server has it: what went over the wire. */
  async onTheWire(peer: PeerProcess, roomId: string, eventId: string): Promise<{ type: string; content: JsonObject }> {
    const http = new MatrixHttp(this.server.baseUrl, peer.account.accessToken);
    const event = await http.call("GET", `/_matrix/client/v3/rooms/${segment(roomId)}/event/${segment(eventId)}`);
    return { type: String(event["type"]), content: asObject(event["content"]) };
  }

  /** What the bot's record has of the event in the clear: type and content, or why it has none. */
  async recorded(eventId: string): Promise<JsonObject> {
    return asObject((await this.#record("show", eventId))[0]?.["clear"]);
  }

  /** The same for every event of the room, by event ID. */
  async recordOf(roomId: string): Promise<ReadonlyMap<string, JsonObject>> {
    const entries = await this.#record("list", "--room", roomId, "--json");
    return new Map(entries.map((entry) => [String(asObject(entry["original"])["event_id"]), asObject(entry["clear"])]));
  }

  /** Fails unless the event was encrypted on the wire, by the bot's device in the eyes of the peer. */
  async assertEncryptedByBot(peer: PeerProcess, event: PeerEvent): Promise<void> {
    assert.deepEqual(
      { sender: event.sender, encrypted: event.encrypted, device: event.senderDevice },
      { sender: this.bot.userId, encrypted: true, device: this.bot.deviceId },
    );
    const wire = await this.onTheWire(peer, event.roomId, event.eventId);
    assert.equal(wire.type, "m.room.encrypted");
    assert(!("m.response.status" in wire.content));
  }

  /** Asks as an operator does, while the bot runs. */
  async #record(...args: readonly string[]): Promise<readonly JsonObject[]> {
    const { code, stdout, stderr } = await docket("record", ...args, "--config", join(this.#directory, "config.yaml"));
    assert.equal(code, 0, stderr);
    const texts = args[0] === "list" ? stdout.trim().split("\n") : [stdout];
    return texts.map((text) => JSON.parse(text) as JsonObject);
  }

  async #signIn(user: string): Promise<PeerAccount> {
    const answer = await new MatrixHttp(this.server.baseUrl).call("POST", "/_matrix/client/v3/login", {
      body: { type: "m.login.password", identifier: { type: "m.id.user", user }, password: PASSWORD },
    });
    const deviceId = String(answer["device_id"]);
    const store = join(this.#directory, deviceId);
    mkdirSync(store);
    return {
      homeserver: this.server.baseUrl,
      userId: String(answer["user_id"]),
      deviceId,
      accessToken: String(answer["access_token"]),
      store,
    };
  }

  async #keep(library: Library, account: PeerAccount): Promise<PeerProcess> {
    const peer = await this.#startPeer(library, account);
    this.#peers.set(library, peer);
    return peer;
  }

  #startPeer(library: Library, account: PeerAccount): Promise<PeerProcess> {
    const launchNio = () => startPython(this.server.root, { args: [NIO], stdin: "pipe" });
    return PeerProcess.start(account, library === "matrix-nio" ? launchNio : launchJsSdk);
  }

  #run(): BotProcess {
    const { userId, accessToken } = this.bot;
    const homeserver = this.server.baseUrl;
    return new BotProcess({ homeserver, userId, accessToken, directory: this.#directory, yaml: YAML });
  }
}

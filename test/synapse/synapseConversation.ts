/** A bot in its own process, and people who talk to it, all on one Synapse: each conversation has accounts of its own there. */
import type { TestContext } from "node:test";
import { MatrixHttp, segment } from "../../demo/sender/matrixHttp.ts";
import { Sender, type NewRoom } from "../../demo/sender/sender.ts";
import { BotProcess, type LogLine } from "../support/botProcess.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";
import type { Account, Synapse } from "./synapseServer.ts";

let conversations = 0;

export class SynapseConversation {
  readonly server: Synapse;
  readonly account: Account;
  readonly alice: Sender;
  /** Of the bot. */
  readonly directory: string;
  /** The one that runs now, or ran last. */
  bot: BotProcess;
  readonly #test: TestContext;
  readonly #number: number;
  readonly #yaml: string;

  private constructor(parts: Pick<SynapseConversation, "server" | "account" | "alice" | "directory">, rest: Rest) {
    this.server = parts.server;
    this.account = parts.account;
    this.alice = parts.alice;
    this.directory = parts.directory;
    this.#test = rest.test;
    this.#number = rest.number;
    this.#yaml = rest.yaml;
    this.bot = this.#run();
  }

  /** @param yaml the configuration beside homeserver and account, for the user ID of the only one who may invite the bot */
  static async start(t: TestContext, server: Synapse, yaml: (alice: string) => string): Promise<SynapseConversation> {
    const number = (conversations += 1);
    const account = await server.registerUser(`docket${number}`, "not a secret", { deviceId: "docketbot" });
    const alice = await signIn(t, server, `alice${number}`);
    const parts = { server, account, alice, directory: temporaryDirectory(t) };
    const conversation = new SynapseConversation(parts, { test: t, number, yaml: yaml(alice.userId) });
    await conversation.bot.running();
    return conversation;
  }

  /** Another bot process on the same data; the one before it has ended. */
  async restart(): Promise<BotProcess> {
    this.bot = this.#run();
    await this.bot.running();
    return this.bot;
  }

  /** Somebody else on the server. */
  async sender(name: string): Promise<Sender> {
    return await signIn(this.#test, this.server, `${name}${this.#number}`);
  }

  /** A room that Alice made and that the bot has joined by her invitation. */
  async room(room: NewRoom = {}): Promise<string> {
    const roomId = await this.alice.createRoom({ ...room, invite: [this.account.userId] });
    await this.alice.waitForJoin(roomId, this.account.userId);
    if (room.encrypted === true) await this.alice.waitForDevice(this.account.userId, this.account.deviceId);
    return roomId;
  }

  /** Alice sends a report and asks for its status. @returns its event ID */
  async ask(roomId: string, lifetime = 90_000): Promise<string> {
    const request = { from_device: this.alice.deviceId, lifetime };
    return await this.alice.send(roomId, "org.example.report", { "m.request.status": request });
  }

  /** Alice throws the bot out of the room, or calls it back into it. */
  async moderate(roomId: string, action: "kick" | "invite"): Promise<void> {
    const path = `/_matrix/client/v3/rooms/${segment(roomId)}/${action}`;
    await this.alice.http.call("POST", path, { body: { user_id: this.account.userId } });
  }

  /** The administrator exempts an account from the limits for messages. */
  async exempt(userId: string): Promise<void> {
    const path = `/_synapse/admin/v1/users/${segment(userId)}/override_ratelimit`;
    const body = { messages_per_second: 0, burst_count: 0 };
    await new MatrixHttp(this.server.baseUrl, this.server.adminToken).call("POST", path, { body });
  }

  /** How the bot decided about the event, as its log says it. */
  async decided(eventId: string): Promise<LogLine> {
    return await this.bot.line(
      (line) => line.msg === "decided" && line["eventId"] === eventId,
      `${eventId} was decided`,
    );
  }

  #run(): BotProcess {
    const { userId, accessToken } = this.account;
    const homeserver = this.server.baseUrl;
    const bot = new BotProcess({ homeserver, userId, accessToken, directory: this.directory, yaml: this.#yaml });
    this.#test.after(() => bot.kill());
    return bot;
  }
}

interface Rest {
  readonly test: TestContext;
  readonly number: number;
  readonly yaml: string;
}

async function signIn(t: TestContext, server: Synapse, name: string): Promise<Sender> {
  const account = await server.registerUser(name, "not a secret");
  const sender = await Sender.withToken({ baseUrl: server.baseUrl, ...account });
  t.after(() => sender.stop());
  await sender.start();
  return sender;
}

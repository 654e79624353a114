/** One homeserver, matrix-js-sdk and the bot on it in processes of their own: what the tests of test/interop start from. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { MatrixHttp } from "../../demo/sender/matrixHttp.ts";
import { BotProcess, DEFAULT_YAML } from "../support/botProcess.ts";
import { launchJsSdk, PeerProcess } from "../support/peers/peerProcess.ts";
import type { PeerAccount } from "../support/peers/peerWire.ts";

/** What these tests need of a homeserver. */
export interface InteropHomeserver {
  /** Without a slash at the end. */
  readonly url: string;
  readonly serverName: string;
  /** Makes an account that signs in with a password. */
  createAccount(localpart: string, password: string): Promise<unknown>;
  stop(): Promise<void>;
}

export interface InteropBot {
  readonly account: PeerAccount;
  readonly bot: BotProcess;
  /** Of the recovery key. */
  readonly keyFile: string;
  readonly configFile: string;
}

export const PASSWORD = "not a secret";

export class InteropScene {
  readonly server: InteropHomeserver;
  readonly directory = mkdtempSync(join(tmpdir(), "docket-interop-"));
  #accounts = 0;

  constructor(server: InteropHomeserver) {
    this.server = server;
  }

  async stop(): Promise<void> {
    await this.server.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** A new account. @returns its localpart */
  async account(name: string): Promise<string> {
    const localpart = `${name}${(this.#accounts += 1)}`;
    await this.server.createAccount(localpart, PASSWORD);
    return localpart;
  }

  /** matrix-js-sdk on a new device of that account. Its process ends with the test. */
  async device(t: TestContext, localpart: string): Promise<PeerProcess> {
    const peer = await PeerProcess.start(await this.#signIn(localpart), launchJsSdk);
    t.after(() => peer.kill());
    return peer;
  }

  /**
   * The bot on a new device of that account, with an empty data directory. Its process ends with the test.
   * @param recoveryKey is in the file of `account.recovery_key`; where there is none, that file does not exist
   */
  async bot(t: TestContext, localpart: string, recoveryKey: string | null): Promise<InteropBot> {
    const account = await this.#signIn(localpart);
    const directory = account.store;
    const keyFile = join(directory, "recovery_key");
    if (recoveryKey !== null) writeFileSync(keyFile, recoveryKey, { mode: 0o600 });
    const bot = new BotProcess({
      ...account,
      directory,
      accountYaml: '  recovery_key: "${file:./recovery_key}"\n',
      yaml: DEFAULT_YAML.replace("@*:localhost", `@*:${this.server.serverName}`),
    });
    t.after(() => bot.kill());
    await bot.running();
    return { account, bot, keyFile, configFile: join(directory, "config.yaml") };
  }

  async #signIn(localpart: string): Promise<PeerAccount> {
    const answer = await new MatrixHttp(this.server.url).call("POST", "/_matrix/client/v3/login", {
      body: { type: "m.login.password", identifier: { type: "m.id.user", user: localpart }, password: PASSWORD },
    });
    const deviceId = String(answer["device_id"]);
    const store = join(this.directory, deviceId);
    mkdirSync(store);
    return {
      homeserver: this.server.url,
      userId: String(answer["user_id"]),
      deviceId,
      accessToken: String(answer["access_token"]),
      store,
    };
  }
}

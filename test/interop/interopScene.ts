/** One homeserver, and matrix-js-sdk on it in processes of its own: what the tests of test/interop start from. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { MatrixHttp } from "../../demo/sender/matrixHttp.ts";
import { launchJsSdk, PeerProcess } from "../support/peers/peerProcess.ts";

/** What these tests need of a homeserver. */
export interface InteropHomeserver {
  /** Without a slash at the end. */
  readonly url: string;
  readonly serverName: string;
  /** Makes an account that signs in with a password. */
  createAccount(localpart: string, password: string): Promise<unknown>;
  stop(): Promise<void>;
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
    const answer = await new MatrixHttp(this.server.url).call("POST", "/_matrix/client/v3/login", {
      body: { type: "m.login.password", identifier: { type: "m.id.user", user: localpart }, password: PASSWORD },
    });
    const deviceId = String(answer["device_id"]);
    const store = join(this.directory, deviceId);
    mkdirSync(store);
    const peer = await PeerProcess.start(
      {
        homeserver: this.server.url,
        userId: String(answer["user_id"]),
        deviceId,
        accessToken: String(answer["access_token"]),
        store,
      },
      launchJsSdk,
    );
    t.after(() => peer.kill());
    return peer;
  }
}

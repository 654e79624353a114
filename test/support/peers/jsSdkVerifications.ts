/** Interactive verification by matrix-js-sdk, as an application on it would handle it: see verificationWire.ts. */
import type { MatrixClient } from "matrix-js-sdk";
import {
  CryptoEvent,
  VerificationPhase,
  VerificationRequestEvent,
  type CryptoApi,
  type ShowSasCallbacks,
  type VerificationRequest,
} from "matrix-js-sdk/lib/crypto-api/index.js";
import type { VerificationOrders } from "./verificationWire.ts";

const SAS = "m.sas.v1";

type Order<Name extends keyof VerificationOrders> = VerificationOrders[Name]["order"];
type Result<Name extends keyof VerificationOrders> = Promise<VerificationOrders[Name]["result"]>;

export class JsSdkVerifications {
  readonly #crypto: CryptoApi;
  readonly #until: (probe: () => boolean) => Promise<void>;
  readonly #wake: () => void;
  readonly #requests = new Map<string, VerificationRequest>();
  /** Those that have come and that no order has asked for, by ID. */
  readonly #incoming = new Set<string>();

  constructor(parts: {
    readonly client: MatrixClient;
    readonly crypto: CryptoApi;
    /** Probes again whenever something has come, and when woken. */
    readonly until: (probe: () => boolean) => Promise<void>;
    readonly wake: () => void;
  }) {
    this.#crypto = parts.crypto;
    this.#until = parts.until;
    this.#wake = parts.wake;
    parts.client.on(CryptoEvent.VerificationRequestReceived, (request) => {
      this.#incoming.add(this.#keep(request));
      this.#wake();
    });
  }

  async requestVerification(order: Order<"requestVerification">): Promise<string> {
    const { userId } = order;
    // What is not known yet can't be asked.
    await this.#crypto.getUserDeviceInfo([userId], true);
    return this.#keep(
      "roomId" in order
        ? await this.#crypto.requestVerificationDM(userId, order.roomId)
        : await this.#crypto.requestDeviceVerification(userId, order.deviceId),
    );
  }

  async incomingVerification({ userId }: Order<"incomingVerification">): Result<"incomingVerification"> {
    let id: string | undefined;
    await this.#until(() => {
      id = [...this.#incoming].find((each) => this.#request(each).otherUserId === userId);
      return id !== undefined;
    });
    this.#incoming.delete(id ?? "");
    const { otherDeviceId, roomId } = this.#request(id ?? "");
    return { verification: id ?? "", deviceId: otherDeviceId ?? null, roomId: roomId ?? null };
  }

  async acceptVerification({ verification }: Order<"acceptVerification">): Promise<null> {
    await this.#request(verification).accept();
    return null;
  }

  async sas({ verification, start }: Order<"sas">): Result<"sas"> {
    const request = this.#request(verification);
    await this.#until(() => request.phase >= (start ? VerificationPhase.Ready : VerificationPhase.Started));
    if (request.phase === VerificationPhase.Ready) await request.startVerification(SAS);
    // Ends with the verification, which `verificationResult` tells of.
    request.verifier?.verify().catch(() => undefined);
    await this.#until(() => this.#shown(request) !== null || request.phase > VerificationPhase.Started);
    const shown = this.#shown(request);
    if (shown === null) throw new Error(`the verification was cancelled: ${request.cancellationCode}`);
    return { emoji: shown.sas.emoji ?? [], decimals: shown.sas.decimal ?? [] };
  }

  async answerSas({ verification, answer }: Order<"answerSas">): Promise<null> {
    const request = this.#request(verification);
    if (answer === "cancel") {
      await request.cancel();
      return null;
    }
    const shown = this.#shown(request);
    if (shown === null) throw new Error("there is nothing to compare");
    if (answer === "match") await shown.confirm();
    else shown.mismatch();
    return null;
  }

  async verificationResult({ verification }: Order<"verificationResult">): Result<"verificationResult"> {
    const request = this.#request(verification);
    await this.#until(() => request.phase > VerificationPhase.Started);
    if (request.phase === VerificationPhase.Done) return null;
    return { code: request.cancellationCode ?? "", by: request.cancellingUserId ?? "" };
  }

  #shown(request: VerificationRequest): ShowSasCallbacks | null {
    return request.verifier?.getShowSasCallbacks() ?? null;
  }

  #keep(request: VerificationRequest): string {
    const id = request.transactionId;
    if (id === undefined) throw new Error("the verification has no ID");
    this.#requests.set(id, request);
    request.on(VerificationRequestEvent.Change, this.#wake);
    return id;
  }

  #request(id: string): VerificationRequest {
    const request = this.#requests.get(id);
    if (request === undefined) throw new Error(`no verification ${id}`);
    return request;
  }
}

/** A cross-signing identity with real keys, and a device that can sign: their signatures are checked by the homeserver. */
import { generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { canonicalJson, unsigned, withSignatures } from "../../devserver/signedJson.ts";
import type { JsonObject } from "../../src/protocol/json.ts";
import type { HttpClient } from "../support/httpClient.ts";

export class SigningKey {
  readonly publicKey: string;
  readonly #secret: KeyObject;

  constructor() {
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    const { x = "" } = publicKey.export({ format: "jwk" });
    this.publicKey = Buffer.from(x, "base64url").toString("base64").replaceAll("=", "");
    this.#secret = privateKey;
  }

  /** @param version the device ID; for a cross-signing key its public key */
  sign(object: JsonObject, userId: string, version = this.publicKey): JsonObject {
    const made = sign(null, Buffer.from(canonicalJson(unsigned(object))), this.#secret);
    return withSignatures(object, userId, { [`ed25519:${version}`]: made.toString("base64").replaceAll("=", "") });
  }
}

/** The three keys of a user; what is uploaded and what can be signed with them. */
export class Identity {
  readonly userId: string;
  readonly master = new SigningKey();
  readonly selfSigning = new SigningKey();
  readonly userSigning = new SigningKey();

  constructor(userId: string) {
    this.userId = userId;
  }

  get masterKey(): JsonObject {
    return crossSigningKey(this.userId, "master", this.master);
  }

  /** The body of the upload. */
  get body(): Record<"master_key" | "self_signing_key" | "user_signing_key", JsonObject> {
    return {
      master_key: this.masterKey,
      self_signing_key: this.byMaster("self_signing", this.selfSigning),
      user_signing_key: this.byMaster("user_signing", this.userSigning),
    };
  }

  byMaster(usage: string, key: SigningKey): JsonObject {
    return this.master.sign(crossSigningKey(this.userId, usage, key), this.userId);
  }
}

/** A device whose keys are uploaded and can sign. */
export class SigningDevice {
  readonly key = new SigningKey();
  readonly keys: JsonObject;

  private constructor({ userId, deviceId }: HttpClient) {
    this.keys = this.key.sign(
      {
        user_id: userId,
        device_id: deviceId,
        algorithms: ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
        keys: { [`curve25519:${deviceId}`]: "curve", [`ed25519:${deviceId}`]: this.key.publicKey },
      },
      userId,
      deviceId,
    );
  }

  static async upload(client: HttpClient): Promise<SigningDevice> {
    const device = new SigningDevice(client);
    await client.call("POST", "/v3/keys/upload", { device_keys: device.keys });
    return device;
  }
}

/** Makes an identity for the user and uploads it. */
export async function uploadIdentity(client: HttpClient): Promise<Identity> {
  const identity = new Identity(client.userId);
  await client.call("POST", "/v3/keys/device_signing/upload", identity.body);
  return identity;
}

function crossSigningKey(userId: string, usage: string, { publicKey }: SigningKey): JsonObject {
  return { user_id: userId, usage: [usage], keys: { [`ed25519:${publicKey}`]: publicKey } };
}

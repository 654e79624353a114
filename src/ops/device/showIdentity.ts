/** Who the device is, for `docket identity show`: what others see of it, and what stands behind that. */
import { existsSync } from "node:fs";
import { z } from "zod";
import { IdentityDrafts } from "../../journal/identityDrafts.ts";
import type { DeviceOperation } from "./deviceOperation.ts";

const identityPage = z.object({
  userId: z.string(),
  deviceId: z.string(),
  /** The device's Ed25519 key, in unpadded base64: the fingerprint that other clients show. */
  fingerprint: z.string(),
  /** The account's public master key; null: it has no identity. */
  masterKey: z.string().nullable(),
  /** Of the device, by that identity; the signatures are verified. */
  signature: z.enum(["no_keys", "unsigned", "broken", "signed"]),
  /** The identity's private keys are in the data directory. */
  hasPrivateKeys: z.boolean(),
  backup: z.object({ state: z.string(), version: z.string().nullable() }),
  /** `kept`: in docket.db, because nobody could be given it yet. */
  recoveryKey: z.enum(["configured", "kept", "elsewhere"]),
  /** Whose signatures the homeserver shows on the master key. They are not verified. */
  verifiedBy: z.object({ users: z.array(z.string()), ownDevices: z.array(z.string()) }),
});
export type IdentityPage = z.output<typeof identityPage>;

export const showIdentity: DeviceOperation<null, never, IdentityPage> = {
  name: "identity-show",
  input: z.null(),
  report: z.never(),
  result: identityPage,
  question: z.never(),
  reply: z.never(),
  async run({ session: { engine }, database, config }, _input, { signal }) {
    const { userId, deviceId, ed25519 } = engine.identity;
    const { master, signature, hasPrivateKeys, signers } = await engine.crossSigning.look(signal);
    const { kind: state, version } = await engine.backup.check(signal);
    const users = signers.filter((signer) => signer.userId !== userId).map((signer) => signer.userId);
    const own = signers.filter((signer) => signer.userId === userId).map(({ key }) => key.replace(/^ed25519:/, ""));
    const { recoveryKey } = config.account;
    const isConfigured =
      recoveryKey !== null && (recoveryKey.file === null ? recoveryKey.value !== null : existsSync(recoveryKey.file));
    const isKept = new IdentityDrafts(database).kept() !== null;
    return {
      userId,
      deviceId,
      fingerprint: ed25519,
      masterKey: master,
      signature,
      hasPrivateKeys,
      backup: { state, version },
      recoveryKey: isKept ? "kept" : isConfigured ? "configured" : "elsewhere",
      verifiedBy: { users: [...new Set(users)], ownDevices: own },
    };
  },
};

/** Who the device is, for `docket identity show`. */
import { z } from "zod";
import type { DeviceOperation } from "./deviceOperation.ts";

const identityPage = z.object({
  userId: z.string(),
  deviceId: z.string(),
  /** The device's Ed25519 key, in unpadded base64: the fingerprint that other clients show. */
  fingerprint: z.string(),
});
export type IdentityPage = z.output<typeof identityPage>;

export const showIdentity: DeviceOperation<null, never, IdentityPage> = {
  name: "identity-show",
  input: z.null(),
  report: z.never(),
  result: identityPage,
  question: z.never(),
  reply: z.never(),
  run: ({ session: { engine } }) => {
    const { userId, deviceId, ed25519 } = engine.identity;
    return Promise.resolve({ userId, deviceId, fingerprint: ed25519 });
  },
};

/** What the engine tells of its own keys, to those who judge whether they are still the newest (session/copyWatch.ts). */
import type { Clock } from "../clock.ts";
import type { Logger } from "../logging.ts";
import type { RoomId } from "../protocol/ids.ts";
import type { Vitals } from "../vitals.ts";
import type { OutgoingRequestsOptions } from "./outgoingRequests.ts";

export interface OwnKeyNews {
  /** Room keys from before the start are not sent with until `outbound.trustAllBut`; false by default. */
  readonly doubtsRoomKeys?: boolean;
  /** Told of each encrypted message before anybody gets it; what it throws keeps the message back. */
  readonly onEncrypted?: (roomId: RoomId, sessionId: string, messageIndex: number) => void;
  /** Told of each upload of our own keys that the homeserver took. */
  readonly onKeysUploaded?: () => void;
  /** Told, once or more, that the homeserver has other one-time keys under the IDs of those that the bot wants to upload. */
  readonly onKeysRefused?: () => void;
}

/** How uploads of our keys ended, for all who want to know. */
export function uploadNews(
  options: OwnKeyNews & { readonly clock: Clock; readonly log: Logger; readonly vitals?: Vitals },
): {
  readonly onUpload: NonNullable<OutgoingRequestsOptions["onUpload"]>;
  readonly onKeysRefused: () => void;
} {
  const { clock, log, vitals, onKeysUploaded, onKeysRefused } = options;
  return {
    onKeysRefused: () => {
      log.warn({}, "the homeserver refuses the bot's one-time keys, because it has others under their IDs");
      onKeysRefused?.();
    },
    onUpload: (error) => {
      if (error !== null) return vitals?.keyUploadFailed(clock.now(), error);
      vitals?.keysUploaded();
      onKeysUploaded?.();
    },
  };
}

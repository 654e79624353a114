/** Waits until everybody can see this device's keys: who answers before that can't encrypt the answer for it. */
import type { Clock } from "../clock.ts";
import { Cancelled, ServerRefused, ServerUnreachable } from "../errors.ts";
import { uploadedKey } from "../session/ownKeys.ts";
import type { Session } from "../session/openSession.ts";

const POLL_MS = 250;
const LONGEST_WAIT_MS = 30_000;

/**
 * @throws ServerUnreachable the homeserver does not show them in time
 * @throws ServerRefused | Cancelled
 */
export async function keysPublished(
  { engine, homeserver }: Pick<Session, "engine" | "homeserver">,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const endsAt = clock.now() + LONGEST_WAIT_MS;
  for (;;) {
    const shown = await uploadedKey(homeserver, engine.identity, signal).catch((error: unknown) => {
      // The engine uploads them until it succeeds; a homeserver that fails now and then is asked again.
      if (error instanceof ServerUnreachable || (error instanceof ServerRefused && error.retryable)) return null;
      throw error;
    });
    if (shown === engine.identity.ed25519) return;
    if (clock.now() >= endsAt)
      throw new ServerUnreachable(
        "The homeserver does not show this device's keys, so nobody could encrypt an answer for it. Nothing was sent. Look at the homeserver's log, and try again.",
        { doubtful: false },
      );
    await clock.sleep(POLL_MS, signal);
    if (signal.aborted) throw new Cancelled("Cancelled while waiting for this device's keys.");
  }
}

/** Takes the account's whole key backup in, for `docket identity restore`: with the key that is here, or else with the recovery key. */
import { z } from "zod";
import { backupSecret, type BackupSecret } from "../../session/backupSecret.ts";
import { recoveryKeyNow } from "../../session/recoveryFile.ts";
import type { Device, DeviceOperation, Talk } from "./deviceOperation.ts";

const report = z.object({
  /** Keys dealt with, of all in the backup. */
  done: z.number(),
  total: z.number(),
});
type Report = z.output<typeof report>;

const result = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("restored"),
    version: z.string(),
    /** Keys in the backup. */
    total: z.number(),
    /** New here, or better than what was here; the others were here already, or are corrupt. */
    imported: z.number(),
    corrupt: z.number(),
    /** The first of the corrupt ones. */
    named: z.array(z.object({ roomId: z.string(), sessionId: z.string() })),
  }),
  z.object({
    kind: z.literal("nothing"),
    why: z.enum([
      "no_backup",
      "unsupported_backup",
      "no_storage",
      "unsupported_storage",
      "no_secret",
      "wrong_key",
      "other_backup",
      "unreadable_key",
    ]),
    /** Of the recovery key, without quoting it; for `unreadable_key`. */
    problem: z.string().nullable(),
  }),
]);
export type RestoreResult = z.output<typeof result>;
export type WhyNothing = Extract<RestoreResult, { kind: "nothing" }>["why"];

/** What the person is asked for, where the configuration has none. */
const question = z.literal("recovery_key");

export const restoreBackup: DeviceOperation<null, Report, RestoreResult, "recovery_key", string> = {
  name: "backup-restore",
  input: z.null(),
  report,
  result,
  question,
  reply: z.string(),
  run,
};

async function run(device: Device, _: null, talk: Talk<Report, "recovery_key", string>): Promise<RestoreResult> {
  const { backup } = device.session.engine;
  const { signal } = talk;
  const { kind } = await backup.check(signal);
  if (kind === "absent" || kind === "unknown") return nothing("no_backup");
  if (kind === "unsupported") return nothing("unsupported_backup");
  if (kind !== "in_use") {
    const secret = await findKey(device, talk);
    if (secret.kind === "unreadable_key") return nothing(secret.kind, secret.problem);
    if (secret.kind !== "found") return nothing(secret.kind);
    if (!(await backup.adopt(secret.decryptionKey, signal))) return nothing("other_backup");
  }
  const restored = await backup.restore((progress) => talk.tell(progress), signal);
  return restored === null ? nothing("other_backup") : { kind: "restored", ...restored, named: [...restored.named] };
}

/** With the configured recovery key; if there is none, or it does not open the storage, a person may have another. */
async function findKey({ session, config }: Device, talk: Talk<Report, "recovery_key", string>): Promise<BackupSecret> {
  const configured = await recoveryKeyNow(config.account);
  const found = configured === null ? null : await backupSecret(configured, session, talk.signal);
  if (found !== null && found.kind !== "wrong_key" && found.kind !== "unreadable_key") return found;
  return await backupSecret((await talk.ask("recovery_key")).trim(), session, talk.signal);
}

function nothing(why: WhyNothing, problem: string | null = null): RestoreResult {
  return { kind: "nothing", why, problem };
}

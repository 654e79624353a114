/** Facts of a bot with which all is well, to change one of them. */
import type { Config } from "../../../../src/config/config.ts";
import type { Census } from "../../../../src/journal/census.ts";
import type { EpochMs } from "../../../../src/clock.ts";
import type { Asked, BotFacts, Facts } from "../../../../src/ops/doctor/facts.ts";
import type { HealthReport } from "../../../../src/ops/readiness.ts";
import type { DeviceId, RoomId, UserId } from "../../../../src/protocol/ids.ts";
import { Vitals } from "../../../../src/vitals.ts";
import { loadText, smallest } from "../../config/loadText.ts";

export const NOW: EpochMs = 1_800_000_000_000;
export const USER = "@docket:example.org" as UserId;
const DEVICE = "docket1" as DeviceId;
export const ROOM = "!room:example.org" as RoomId;

export const known = <T>(value: T): Asked<T> => ({ kind: "known", value });

export const census: Census = {
  inbox: { new: 0, ready: 0, oldestReceivedAt: null },
  parked: { count: 0, beforeJoin: 0, oldestParkedAt: null, reasons: [] },
  givenUp: [],
  gaps: [],
  outbox: { response: 0, receipt: 0, notice: 0 },
  answers: { oldestQueuedAt: null, doubtful: 0 },
  dropped: [],
  droppedDoubtful: 0,
  trust: { withheld: [], untrusted: { count: 0, senders: 0 }, identityChanges: [] },
  copySign: null,
  joined: [{ roomId: ROOM, encrypted: true }],
};

export function running(
  change: (vitals: Vitals) => void = () => undefined,
  health: Partial<HealthReport> = {},
): BotFacts {
  const vitals = new Vitals();
  vitals.backupFound({ kind: "in_use", version: "1" });
  change(vitals);
  const check = { ok: true, since: NOW, problem: null };
  const report: HealthReport = {
    ready: true,
    since: NOW,
    phase: "running",
    problem: null,
    checks: { syncing: check, decrypting: check, writing: check, sending: check },
    notes: [],
    ...health,
  };
  return { kind: "running", health: report, vitals: vitals.facts(), noted: vitals.noted() };
}

/** @param yaml put at the end of the smallest configuration */
export async function wellFacts(yaml = ""): Promise<Facts & { readonly config: Config }> {
  const config = await loadText(smallest + yaml);
  return {
    config,
    at: NOW,
    configuration: { kind: "good", config },
    bot: running(),
    directoryPath: "/var/lib/docket",
    directory: { kind: "good", owner: { userId: USER, deviceId: DEVICE, role: "bot", isSignedOut: false } },
    files: [
      { path: "/etc/docket/config.yaml", kind: "configuration", mode: 0o644, sameOwner: true },
      { path: "/var/lib/docket", kind: "data directory", mode: 0o700, sameOwner: true },
      { path: "/var/lib/docket/docket.db", kind: "data", mode: 0o600, sameOwner: true },
    ],
    freeDiskBytes: 1e12,
    journal: known(census),
    identity: known({ userId: USER, deviceId: DEVICE, ed25519: "ED", curve25519: "CURVE" }),
    recovery: { isKept: false, configured: "there" },
    server: {
      greeting: known({
        versions: { versions: ["v1.1", "v1.16"], unstableFeatures: { "org.matrix.msc4089": true } },
        date: NOW,
        sentAt: NOW,
        receivedAt: NOW + 20,
      }),
      whoami: known({ userId: USER, deviceId: DEVICE }),
      device: known({ displayName: "Docket" }),
      keys: known({ ed25519: "ED", curve25519: "CURVE", signature: "signed" }),
      backup: known(true),
      oneTimeKeys: known({ oneTimeKeys: 50, hasFallback: true }),
      advertised: known(true),
      rooms: [{ roomId: ROOM, encrypted: true, levels: known({ own: 0, needed: {}, neededByDefault: 0 }) }],
    },
    renewable: false,
    limit: known({ messagesPerSecond: 0 }),
  };
}

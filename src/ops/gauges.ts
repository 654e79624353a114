/**
 * Metrics that are read when somebody asks for them: the depths of the queues, health, what this program is. Guarantee: reading them
 * costs some milliseconds, however much is in the database.
 */
import { Gauge, type Registry } from "prom-client";
import { type Depths, inboxStates, lanes } from "../journal/depths.ts";
import type { Vitals } from "../vitals.ts";
import { checkNames } from "./healthChecks.ts";
import type { HealthReport } from "./readiness.ts";

export interface GaugePorts {
  readonly depths: Depths;
  readonly vitals: Vitals;
  readonly report: () => HealthReport;
  /** How many room keys the crypto engine holds; 0 before it runs. */
  readonly roomKeys: () => number;
  readonly version: string;
}

/** Adds them to the registry. */
export function registerGauges(registry: Registry, { depths, vitals, report, roomKeys, version }: GaugePorts): void {
  const registers = [registry];
  const gauge = (name: string, help: string, value: () => number): void =>
    void new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value());
      },
    });
  const labelled = <L extends string>(
    name: string,
    help: string,
    label: string,
    values: readonly L[],
    valueOf: (value: L) => number,
  ): void =>
    void new Gauge({
      name,
      help,
      labelNames: [label],
      registers,
      collect() {
        for (const value of values) this.set({ [label]: value }, valueOf(value));
      },
    });

  labelled("docket_inbox_events", "Events on their way, by state.", "state", inboxStates, (state) =>
    depths.inbox(state),
  );
  labelled("docket_outbox_events", "Outgoing events that wait, by lane.", "lane", lanes, (lane) => depths.outbox(lane));
  gauge("docket_open_gaps", "Parts of timelines that /sync left out and that are not filled.", () => depths.openGaps());
  gauge("docket_joined_rooms", "Rooms that the bot is in.", () => depths.joinedRooms());
  gauge("docket_crypto_room_keys", "Room keys that the crypto engine holds, to decrypt with.", roomKeys);
  gauge(
    "docket_crypto_room_keys_backed_up",
    "Room keys of the crypto engine that are in the account's key backup, as counted after the last upload; 0 before.",
    () => vitals.facts().backup.counts?.backedUp ?? 0,
  );
  gauge(
    "docket_crypto_unused_fallback_key",
    "Whether the homeserver has a fallback key that nobody has used: 1 or 0.",
    () => Number(vitals.facts().keyCounts?.hasFallback ?? 0),
  );
  gauge("docket_data_older_copy", "Whether the data directory looks like an older copy: 1 or 0.", () =>
    Number(vitals.facts().copySign !== null),
  );
  gauge("docket_free_disk_bytes", "Free room on the disk of the data directory; 0 before it was looked at.", () => {
    return vitals.facts().freeDiskBytes ?? 0;
  });
  gauge("docket_last_sync_timestamp_seconds", "When the last sync was taken in; 0 before the first.", () => {
    return (vitals.facts().lastSyncAt ?? 0) / 1000;
  });
  gauge("docket_ready", "Whether the bot is ready: 1 or 0.", () => Number(report().ready));
  labelled(
    "docket_check_ok",
    "Whether a check of the health report is well, by check: 1 or 0.",
    "check",
    checkNames,
    (check) => Number(report().checks[check].ok),
  );
  new Gauge({
    name: "docket_build_info",
    help: "Always 1; the label says which version runs.",
    labelNames: ["version"],
    registers,
  }).set({ version }, 1);
}

/**
 * What is counted and measured. Names follow the Prometheus conventions; labels are closed sets, never identifiers or content.
 * docs/operations.md lists each; a test holds the list to this file. What is only counted when somebody asks stands in ops/gauges.ts.
 */
import { Counter, Gauge, Histogram, Registry } from "prom-client";

export class Metrics {
  readonly registry = new Registry();
  private readonly registers = [this.registry];

  /** One for each event that was decided. */
  readonly decisions = new Counter({
    name: "docket_decisions_total",
    help: "Events decided, by decision and reason.",
    labelNames: ["decision", "reason"],
    registers: this.registers,
  });
  readonly malformedEvents = new Counter({
    name: "docket_malformed_events_total",
    help: "What the homeserver sent as an event and is none; set aside.",
    registers: this.registers,
  });
  readonly gaps = new Counter({
    name: "docket_gaps_total",
    help: "Parts of timelines that /sync left out.",
    registers: this.registers,
  });
  readonly decryptionFailures = new Counter({
    name: "docket_decryption_failures_total",
    help: "Events that could not be decrypted, by reason; again for each time that one was tried.",
    labelNames: ["reason"],
    registers: this.registers,
  });
  readonly parked = new Counter({
    name: "docket_parked_events_total",
    help: "Events that were set aside until their key comes, by reason.",
    labelNames: ["reason"],
    registers: this.registers,
  });
  readonly keyBundles = new Counter({
    name: "docket_key_bundles_total",
    help: "History that was shared with an invitation, by what became of it.",
    labelNames: ["outcome"],
    registers: this.registers,
  });
  readonly decryptedEvents = new Counter({
    name: "docket_decrypted_events_total",
    help: "Encrypted events of others that were decrypted, by what was known then of the device that sent them.",
    labelNames: ["trust"],
    registers: this.registers,
  });
  readonly keysRefused = new Counter({
    name: "docket_room_keys_refused_total",
    help: "Room keys that others do not give to the bot, by the code of their notice.",
    labelNames: ["code"],
    registers: this.registers,
  });
  readonly keysWithheld = new Counter({
    name: "docket_room_keys_withheld_total",
    help: "Devices that the bot gives no room key, once for each key, by the code of its notice.",
    labelNames: ["code"],
    registers: this.registers,
  });
  readonly identityChanges = new Counter({
    name: "docket_identity_changes_total",
    help: "Cross-signing identities of others that became other ones.",
    registers: this.registers,
  });
  readonly sends = new Counter({
    name: "docket_sends_total",
    help: "Outgoing events that were finished, by lane and outcome.",
    labelNames: ["lane", "outcome"],
    registers: this.registers,
  });
  readonly foreignDevices = new Counter({
    name: "docket_request_device_mismatches_total",
    help: "Requests whose from_device is not the device that encrypted them.",
    registers: this.registers,
  });
  readonly answerSeconds = new Histogram({
    name: "docket_answer_duration_seconds",
    help: "From the receipt of a request to its answer.",
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 90],
    registers: this.registers,
  });
  readonly oneTimeKeys = new Gauge({
    name: "docket_crypto_one_time_keys",
    help: "One-time keys of the bot that the homeserver holds, as the last sync told.",
    registers: this.registers,
  });
  readonly backupLookups = new Counter({
    name: "docket_crypto_backup_lookups_total",
    help: "Room keys that the key backup was asked for because an event could not be decrypted, by outcome.",
    labelNames: ["outcome"],
    registers: this.registers,
  });
  readonly cryptoCallSeconds = new Histogram({
    name: "docket_crypto_call_duration_seconds",
    help: "Calls to the crypto library, by call, without the wait for their turn.",
    labelNames: ["call"],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10],
    registers: this.registers,
  });
  readonly requests = new Counter({
    name: "docket_homeserver_requests_total",
    help: "Requests to the homeserver, by method, endpoint and class of the status.",
    labelNames: ["method", "endpoint", "status"],
    registers: this.registers,
  });
  readonly requestSeconds = new Histogram({
    name: "docket_homeserver_request_duration_seconds",
    help: "Requests to the homeserver, by endpoint; without long polls.",
    labelNames: ["endpoint"],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers: this.registers,
  });
}

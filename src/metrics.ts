/** What is counted. Names follow the Prometheus conventions; labels are closed sets, never identifiers or content. */
import { Counter, Histogram, Registry } from "prom-client";

export class Metrics {
  readonly registry = new Registry();
  /** One for each event that was decided. */
  readonly decisions = new Counter({
    name: "docket_decisions_total",
    help: "Events decided, by decision and reason.",
    labelNames: ["decision", "reason"],
    registers: [this.registry],
  });
  readonly malformedEvents = new Counter({
    name: "docket_malformed_events_total",
    help: "What the homeserver sent as an event and is none; set aside.",
    registers: [this.registry],
  });
  readonly gaps = new Counter({
    name: "docket_gaps_total",
    help: "Parts of timelines that /sync left out.",
    registers: [this.registry],
  });
  readonly parked = new Counter({
    name: "docket_parked_events_total",
    help: "Events that could not be decrypted when they came, by reason.",
    labelNames: ["reason"],
    registers: [this.registry],
  });
  readonly sends = new Counter({
    name: "docket_sends_total",
    help: "Outgoing events that were finished, by lane and outcome.",
    labelNames: ["lane", "outcome"],
    registers: [this.registry],
  });
  readonly foreignDevices = new Counter({
    name: "docket_request_device_mismatches_total",
    help: "Requests whose from_device is not the device that encrypted them.",
    registers: [this.registry],
  });
  readonly answerSeconds = new Histogram({
    name: "docket_answer_duration_seconds",
    help: "From the receipt of a request to its answer.",
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 90],
    registers: [this.registry],
  });
}

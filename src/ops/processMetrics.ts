/**
 * Metrics of the process: CPU, memory, event loop, garbage collection. They belong to the process and not to a bot, and prom-client's
 * observers can't be taken off again: so there is one set, made when somebody asks for the first time.
 */
import { collectDefaultMetrics, Registry } from "prom-client";

let made: Registry | null = null;

export function processMetrics(): Registry {
  if (made === null) {
    made = new Registry();
    collectDefaultMetrics({ register: made });
  }
  return made;
}

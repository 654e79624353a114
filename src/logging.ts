/**
 * Logs: JSON lines by pino. Lines carry `roomId`, `eventId`, `code`, `reason` and milliseconds; never bodies, tokens or keys
 * (test/integration/canaries.test.ts plants some and looks for them).
 */
import { pino, type DestinationStream } from "pino";

export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined | readonly string[]>>;

/** What rooms may ask of a logger: fields first, then a sentence that never contains data. */
export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** A logger whose threshold can change while it runs. */
export interface AdjustableLogger extends Logger {
  setLevel(level: LogLevel): void;
}

/**
 * @param level lines below it are dropped
 * @param destination where lines go; one JSON object a line
 */
export function createLogger(level: LogLevel, destination: DestinationStream): AdjustableLogger {
  const lines = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  return {
    debug: (fields, message) => lines.debug(fields, message),
    info: (fields, message) => lines.info(fields, message),
    warn: (fields, message) => lines.warn(fields, message),
    error: (fields, message) => lines.error(fields, message),
    setLevel: (next) => void (lines.level = next),
  };
}

export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/** Durations and sizes as people write them (`20s`, `2GiB`), and back. */

const DURATION_UNITS_MS: ReadonlyMap<string, number> = new Map([
  ["ms", 1],
  ["s", 1_000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
  ["y", 365 * 86_400_000],
]);

const SIZE_UNITS_BYTES: ReadonlyMap<string, number> = new Map([
  ["B", 1],
  ["KB", 1_000],
  ["MB", 1_000 ** 2],
  ["GB", 1_000 ** 3],
  ["TB", 1_000 ** 4],
  ["KiB", 1_024],
  ["MiB", 1_024 ** 2],
  ["GiB", 1_024 ** 3],
  ["TiB", 1_024 ** 4],
]);

/** For JSON Schema: what `parseDuration` reads. */
export const DURATION_PATTERN = "^([0-9]{1,12}(ms|s|m|h|d|y)|0)$";
/** For JSON Schema: what `parseSize` reads. */
export const SIZE_PATTERN = "^([0-9]{1,12}(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)|0)$";

/**
 * @param value what stands in the configuration: `500ms`, `20s`, `5m`, `24h`, `7d`, `10y` (a year has 365 days), or `0`
 * @returns milliseconds; null when it is no duration
 */
export function parseDuration(value: unknown): number | null {
  return parseQuantity(value, DURATION_UNITS_MS);
}

/**
 * @param value what stands in the configuration: `10KB`, `512MiB`, `2GiB`, or `0`
 * @returns bytes; null when it is no size
 */
export function parseSize(value: unknown): number | null {
  return parseQuantity(value, SIZE_UNITS_BYTES);
}

function parseQuantity(value: unknown, units: ReadonlyMap<string, number>): number | null {
  if (value === 0 || value === "0") return 0;
  if (typeof value !== "string") return null;
  const match = /^([0-9]{1,12})([A-Za-z]+)$/.exec(value);
  const factor = units.get(match?.[2] ?? "");
  if (match === null || factor === undefined) return null;
  const quantity = Number(match[1]) * factor;
  return Number.isSafeInteger(quantity) ? quantity : null;
}

/** @returns the duration in the largest unit that divides it: 90000 is `90s` */
export function formatDuration(ms: number): string {
  return formatQuantity(ms, DURATION_UNITS_MS);
}

/** @returns the size in the largest unit that divides it: 536870912 is `512MiB` */
export function formatSize(bytes: number): string {
  return formatQuantity(bytes, SIZE_UNITS_BYTES);
}

function formatQuantity(quantity: number, units: ReadonlyMap<string, number>): string {
  if (quantity === 0) return "0";
  let best = String(quantity);
  let bestFactor = 0;
  for (const [unit, factor] of units) {
    if (factor <= bestFactor || quantity % factor !== 0) continue;
    best = `${quantity / factor}${unit}`;
    bestFactor = factor;
  }
  return best;
}

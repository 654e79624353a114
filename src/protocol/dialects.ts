/**
 * The three dialects of status requests and responses (MSC4300) that are in use, and the names each gives to things. Docket
 * answers in the dialect of the request; on the reading side any name of any dialect is understood.
 */

/** In the order of the operator's default list. */
export const dialectNames = ["stable", "msc4300", "gematik"] as const;
export type Dialect = (typeof dialectNames)[number];

export interface DialectTerms {
  /** Content block that asks for a status; found in any event. */
  readonly requestBlock: string;
  /** Event type of the answer. */
  readonly responseType: string;
  /** Content blocks that carry the answer; each holds the same value. */
  readonly responseBlocks: readonly string[];
  /** Key of the text in a message (MSC1767 extensible text, or the network's own name for it). */
  readonly textKey: string;
}

export const dialects: Readonly<Record<Dialect, DialectTerms>> = {
  stable: {
    requestBlock: "m.request.status",
    responseType: "m.response.status",
    responseBlocks: ["m.response.status"],
    textKey: "m.text",
  },
  msc4300: {
    requestBlock: "de.gematik.msc4300.request.status",
    responseType: "de.gematik.msc4300.response.status",
    // Older readers look under the stable name, because the proposal can be read as prefixing the event type alone.
    responseBlocks: ["de.gematik.msc4300.response.status", "m.response.status"],
    textKey: "m.text",
  },
  gematik: {
    requestBlock: "de.gematik.request.status",
    responseType: "de.gematik.response.status",
    responseBlocks: ["de.gematik.response.status"],
    textKey: "de.gematik.text",
  },
};

const allTerms = dialectNames.map((name) => dialects[name]);

/** Content blocks that ask for a status, of all dialects. */
export const requestBlocks: ReadonlySet<string> = new Set(allTerms.map((terms) => terms.requestBlock));

/** Event types of answers, of all dialects. */
export const responseTypes: ReadonlySet<string> = new Set(allTerms.map((terms) => terms.responseType));

/** Content blocks that carry an answer, of all dialects. */
export const responseBlocks: ReadonlySet<string> = new Set(allTerms.flatMap((terms) => terms.responseBlocks));
